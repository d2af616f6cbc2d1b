"""The version of ganfer, as the package, its files and its pages state it."""

__version__ = "0.1.0"
