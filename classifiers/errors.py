"""The one exception for expected failures of this package."""

from __future__ import annotations


class ClassifierError(Exception):
    """An expected failure: `message` is one line that names the value, the limit and the remedy."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class StorageError(ClassifierError):
    """The disk failed (full, gone, read-only): nothing about the training itself is wrong."""
