"""Names from anywhere as text that can be printed, written and compared."""

import unicodedata


def printable(name: str) -> str:
    """A file's name as UTF-8 text in one line, whatever bytes it has."""
    try:
        text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair, as JSON may write it
        text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def composed(name: str) -> str:
    """A name as most systems write it (NFC): a Mac's files have their accents apart, and look the same."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """A name as names of classes are compared: composed, without space around it, in lower case."""
    return composed(name).strip().lower()
