"""The command line: it parses, calls the pipeline, and prints. Importing it loads no torch."""
