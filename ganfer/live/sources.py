"""Where pictures come from: photos, folders, animations, video files, cameras; each as a stream of frames."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2

from ganfer.errors import DataError
from ganfer.live.folders import LeftOut, files_of
from ganfer.live.pictures import animation_frames, frames_in, read_scaled, unreadable
from ganfer.live.videos import (
    FALLBACK_FPS,
    Frame,
    camera_frames,
    film_facts,
    next_due,
    open_capture,
    rate_of,
    video_frames,
)

PICTURES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif", ".avifs"),
    *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".tga", ".psd", ".pcx", ".sgi", ".qoi", ".ico", ".dds", ".mpo"),
}
VIDEOS = {
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".3gp", ".ogv", ".ts", ".mts", ".m2ts", ".y4m", ".mjpeg"),
}


_COPY_OF_PHOTO = 0.02  # of a photo's bytes: a JPEG of what was stored without loss
_FILM_BITS = 0.005  # of a copy's bits per pixel and frame, where hardly anything moves


@dataclass
class MediaSource:
    """A photo, video or camera that can be opened. notes: what went wrong on the way without ending it."""

    name: str
    kind: Literal["photo", "animation", "video", "camera"]
    place: Path | int
    notes: list[str] = field(default_factory=list)
    fps: float = FALLBACK_FPS  # known once it was opened

    @property
    def moving(self) -> bool:
        return self.kind != "photo"

    def frames(self, every: float = 0.0, start: int = 0) -> Iterator[Frame]:
        """Its frames, or one per `every` seconds, from number `start` on. DataError when it has none or cannot be
        opened."""
        if self.kind == "camera":
            assert isinstance(self.place, int)
            yield from camera_frames(self.place, self.name, every, self.notes)
            return
        path = Path(str(self.place))
        if self.kind == "photo":
            picture = read_scaled(path)
            yield Frame(picture.image, scale=picture.scale)
        elif self.kind == "animation":
            yield from (frame for frame in _animation(path, every, self.notes) if frame.index >= start)
        else:
            yield from video_frames(path, self.name, every, self.notes, start)

    def length(self, every: float = 0.0) -> int | None:
        """About how many frames there will be, for a progress bar; None when nobody knows."""
        if self.kind == "photo":
            return 1
        if self.kind != "video":
            return None
        capture = open_capture(self.place, self.name)
        count, self.fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), rate_of(capture)
        capture.release()
        if not 0 < count < 1e9:
            return None
        return math.ceil(count / max(1.0, every * self.fps)) if every else int(count)

    def copy_bytes(self, every: float = 0.0, seconds: float = 0.0) -> float:
        """What an annotated copy takes at the least, about; 0 where nobody knows."""
        if self.kind not in ("photo", "video"):
            return 0.0
        try:
            whole = Path(str(self.place)).stat().st_size
            if self.kind == "photo":
                return _COPY_OF_PHOTO * whole
            capture = open_capture(self.place, self.name)
        except (OSError, DataError):  # reading it will say what is wrong
            return 0.0
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        capture.release()
        frames = self.length(every) or 0
        if seconds and frames:
            frames = min(frames, math.ceil(seconds / every if every else seconds * self.fps))
        return min(_FILM_BITS * frames * pixels / 8, float(whole))  # a damaged file may claim any number of frames

    def shown_seconds(self) -> float | None:
        """How long a film's pictures are shown, where its file says so."""
        return film_facts(Path(str(self.place))).seconds if self.kind == "video" else None

    def rate(self, every: float = 0.0) -> float:
        """Frames per second of what `frames` gives, about, for a copy of it."""
        if self.kind in ("photo", "animation"):
            rate = 10.0
        else:
            rate = self.fps
        return min(rate, 1 / every) if every > 0 else rate


def find_sources(
    arguments: Sequence[str | Path], left_out: LeftOut | None = None, results: Path | None = None
) -> list[MediaSource]:
    """The sources that paths, folders and camera numbers stand for, each once.

    left_out: gathers what of the folders is not looked at. results: a folder that will be written. DataError for a path
    that is not there, is neither picture nor video, or a folder without any.
    """
    left_out = LeftOut() if left_out is None else left_out
    found: dict[object, MediaSource] = {}
    for argument in arguments:
        for source in _of_argument(argument, left_out, results):
            key = source.place if isinstance(source.place, int) else source.place.resolve()
            left_out.repeated += key in found
            found.setdefault(key, source)
    return list(found.values())


def _of_argument(argument: str | Path, left_out: LeftOut, results: Path | None) -> list[MediaSource]:
    path = Path(argument)
    try:
        if path.is_dir():
            files = files_of(path, PICTURES | VIDEOS, left_out, results)
            found = [source for file in files if (source := _by_name(file, left_out)) is not None]
            if not found:
                raise DataError(
                    f"{path} holds no pictures or videos. {' '.join(left_out.lines())}", "Give another folder."
                )
            return found
        if path.is_file():
            return [_by_content(path)]
        if str(argument).isdecimal():
            return [MediaSource(f"camera {argument}", "camera", int(str(argument)))]
        path.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise unreadable(str(argument), error) from error
    raise DataError(f"{argument} does not exist.", "Give a picture, a video, a folder or a camera's number.")


def _by_name(path: Path, left_out: LeftOut) -> MediaSource | None:
    """A file of a folder; None for a picture that ganfer made."""
    if path.suffix.lower() in VIDEOS:
        return MediaSource(str(path), "video", path)
    source, own = _picture(path)
    left_out.own += own
    return None if own else source


def _picture(path: Path) -> tuple[MediaSource, bool]:
    """A picture, and whether ganfer made it to be looked at."""
    try:
        moving, pages, own = frames_in(path)
    except DataError:
        return MediaSource(str(path), "photo", path), False  # reading it will say what is wrong
    notes = [f"{path} has {pages} pages; the first is looked at."] if pages > 1 else []
    return MediaSource(str(path), "animation" if moving else "photo", path, notes), own


def _by_content(path: Path) -> MediaSource:
    """Whatever the file is called: a picture if Pillow reads it, else a video if OpenCV does."""
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise unreadable(str(path), error) from error
    if empty:
        raise DataError(f"{path} is empty (0 bytes).", "Give a picture or a video.")
    if path.suffix.lower() in VIDEOS:
        return MediaSource(str(path), "video", path)
    try:
        frames_in(path)
        return _picture(path)[0]
    except DataError:
        if path.suffix.lower() in PICTURES:
            raise
    try:
        open_capture(path, str(path)).release()
    except DataError as error:
        raise DataError(f"{path} is neither a picture nor a video.", "Give another file.") from error
    return MediaSource(str(path), "video", path)


def _animation(path: Path, every: float, notes: list[str]) -> Iterator[Frame]:
    """Its frames; of a damaged one those before the damage, as of a video."""
    due, read = 0.0, 0
    try:
        for index, (seconds, picture) in enumerate(animation_frames(path)):
            if seconds >= due - 1e-6:
                yield Frame(picture.image, index, seconds, picture.scale)
                due = next_due(seconds, every)
            read += 1
    except DataError:
        if not read:
            raise
        notes.append(f"{path} ends after {read} frames: it is damaged or cut off.")
