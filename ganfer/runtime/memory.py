"""A GPU whose memory runs out: one clear line that names the setting to lower."""

from contextlib import AbstractContextManager
from types import TracebackType

from classifiers.memory import is_out_of_memory
from ganfer.errors import GanferError


class NamingTheSetting(AbstractContextManager[None]):
    """Turns what torch, cuDNN or cuBLAS say of memory that ran out during its blocks into a GanferError."""

    def __init__(self, what: str, remedy: str) -> None:
        self._what, self._remedy = what, remedy

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and is_out_of_memory(error):
            raise GanferError(f"Out of GPU memory: {self._what}.", self._remedy) from None
