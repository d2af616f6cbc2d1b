"""The one error of this package: an expected failure, told in one line."""

from __future__ import annotations


class BridgeError(Exception):
    """Something outside the program is wrong: a file, an address, a request. One line, which names the remedy."""

    exit_code = 1
