"""`python -m ganfer` is the command line."""

from ganfer.cli.main import main

if __name__ == "__main__":
    main()
