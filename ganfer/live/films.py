"""Annotated pictures and videos, written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from PIL import Image

from ganfer.data.provenance import picture_comment
from ganfer.errors import GanferError
from ganfer.live.detect import quiet_opencv
from ganfer.runtime.files import atomic_path

_QUALITY = 92  # of JPEG
_CODEC = cv2.VideoWriter.fourcc(*"mp4v")
_LONGEST_STILL = 60.0  # seconds that one frame is repeated at most


def write_picture(path: Path, picture: np.ndarray) -> None:
    """An (H, W, 3) uint8 RGB picture as JPEG."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, quality=_QUALITY, comment=picture_comment("annotated photo"))


class Film:
    """Frames on their way into an MP4 file of constant rate: a frame stays until the next one's time.

    The first one fixes the size; later ones are scaled to it.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, max(0.1, min(fps, 120.0))
        self._writer: Any = None
        self._size = (0, 0)
        self._count, self._start = 0, 0.0
        self._before: np.ndarray | None = None

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """One (H, W, 3) uint8 RGB frame, shown from `seconds` on."""
        if self._writer is None:
            height, width = picture.shape[:2]
            self._size = (max(2, width & ~1), max(2, height & ~1))  # the codec wants even sides
            with quiet_opencv():
                self._writer = cv2.VideoWriter(str(self.path), _CODEC, self.fps, self._size)
            self._start = seconds
            if not self._writer.isOpened():
                raise GanferError("OpenCV cannot write MP4 here.", "Leave the video out with --no-pictures.")
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        late = min(round((seconds - self._start) * self.fps) - self._count, int(_LONGEST_STILL * self.fps))
        for _ in range(late if self._before is not None else 0):
            self._put(self._before)
        self._before = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        self._put(self._before)

    def _put(self, picture: np.ndarray | None) -> None:
        self._writer.write(picture)
        self._count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()


@contextmanager
def film(path: Path, fps: float) -> Iterator[Film]:
    """A film that takes its place when the block ends well and it has a frame."""
    with atomic_path(path) as temporary, Film(temporary, fps) as out:
        yield out
