"""Optional packages: asked for before any plan or work, so that a dry run says what is missing, too."""

from importlib.util import find_spec

from ganfer.errors import GanferError


def require(what: str, extra: str, *modules: str) -> None:
    """GanferError with the line to type unless all of the extra's modules can be imported. Imports none."""
    for module in modules:
        if find_spec(module) is None:
            raise GanferError(f"{what} needs {module}, which is not installed.", f"Run: pip install 'ganfer[{extra}]'.")
