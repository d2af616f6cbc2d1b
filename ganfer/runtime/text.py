"""Text from outside (file and class names, cards) on its way to a terminal, a page or a table: nothing in it acts."""

import re
from typing import Any

#: Controls (C0, C1), lone surrogates of file names that are not UTF-8, line separators, marks that turn the direction.
_ACTING = r"\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_IN_LINES = re.compile(f"[{_ACTING}]")
_USER = re.compile(r"(\b[\w+.-]+://)[^/\s@]*(?:@[^/\s@]*)*@")
_TOKEN = re.compile(r"(--token[= ])(?:'[^']*'|\S+)")
_IN_A_LINE = re.compile(f"[\\t\\n{_ACTING}]")


def one_line(text: str) -> str:
    """The text with everything that a terminal would act on as an escape: `\\x1b`, `\\n`, `\\u202e`."""
    return _IN_A_LINE.sub(_escaped, text)


def safe_lines(text: str) -> str:
    """The same, but tabs and line ends stay."""
    return _IN_LINES.sub(_escaped, text)


def hide_secrets(text: str) -> str:
    """The text with user and password in addresses (`http://user:word@host`), and what follows --token, as `***`."""
    return _TOKEN.sub(r"\1***", _USER.sub(r"\1***@", text))


def for_page(value: Any) -> Any:
    """A template's value as it goes onto a page (jinja's `finalize`); the page's own markup stays markup."""
    if not isinstance(value, str) or not _IN_LINES.search(value):
        return value
    return type(value)(_IN_LINES.sub(_escaped, str(value)))


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
