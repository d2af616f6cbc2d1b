"""What a request is refused with: an HTTP status and one line."""


class Refused(Exception):
    """A request that gets no result. status: HTTP. message: what is wrong and what to do. retry_after: seconds."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        self.status, self.message, self.retry_after = status, message, retry_after
        super().__init__(message)


def shown(value: object) -> str:
    """A client's value in a message: the beginning of a text, of anything else only what it is."""
    return repr(value[:40]) if isinstance(value, str) else f"a {type(value).__name__}"


class Busy(Refused):
    """More work than the queue holds: 429, with the seconds after which there is likely to be room."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(429, message, retry_after=retry_after)
