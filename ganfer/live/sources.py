"""Where pictures come from: photos, folders, animations, video files, cameras; each as a stream of frames."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from ganfer.errors import DataError
from ganfer.live.detect import quiet_opencv
from ganfer.live.pictures import animation_frames, as_rgb, is_animation, read_picture

PICTURES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
}
VIDEOS = {
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".3gp", ".ogv", ".ts", ".mts", ".m2ts", ".y4m", ".mjpeg"),
}
_FALLBACK_FPS = 25.0  # of a video that does not say
_MAX_FPS = 1000.0
_DAMAGED_FRAMES = 25  # in a row that cannot be decoded, then the video is given up
_MISSED_READS = 30  # of a camera in a row, then it was unplugged


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source. image: (H, W, 3) uint8 RGB. index counts the source's own frames, from 0."""

    image: np.ndarray
    index: int = 0
    seconds: float = 0.0


@dataclass
class Source:
    """A photo, video or camera that can be opened. notes: what went wrong on the way without ending it."""

    name: str
    kind: Literal["photo", "animation", "video", "camera"]
    place: Path | int
    notes: list[str] = field(default_factory=list)
    fps: float = _FALLBACK_FPS  # known once it was opened

    @property
    def moving(self) -> bool:
        return self.kind != "photo"

    def frames(self, every: float = 0.0) -> Iterator[Frame]:
        """Its frames, or one per `every` seconds. DataError when it has none or cannot be opened."""
        if self.kind == "photo":
            yield Frame(read_picture(Path(str(self.place))))
        elif self.kind == "animation":
            yield from _animation(Path(str(self.place)), every)
        else:
            yield from _video(self, every)

    def length(self, every: float = 0.0) -> int | None:
        """About how many frames there will be, for a progress bar; None when nobody knows."""
        if self.kind == "photo":
            return 1
        if self.kind != "video":
            return None
        capture = _open(self)
        count, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), _fps(capture)
        capture.release()
        if not 0 < count < 1e9:
            return None
        return math.ceil(count / max(1.0, every * fps)) if every else int(count)

    def rate(self, every: float = 0.0) -> float:
        """Frames per second of what `frames` gives, for a copy of it."""
        if self.kind in ("photo", "animation"):
            rate = 10.0
        else:
            rate = self.fps
        return min(rate, 1 / every) if every > 0 else rate


def find_sources(arguments: Sequence[str | Path]) -> list[Source]:
    """The sources that paths, folders and camera numbers stand for.

    DataError for a path that is not there, is neither picture nor video, or a folder without any. In a folder, files
    that by their names are neither are left out in silence, and damaged ones are named when they are read.
    """
    sources: list[Source] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES | VIDEOS and p.is_file())
            if not found:
                raise DataError(f"{path} holds no pictures or videos.", "Give another folder.")
            sources += [_by_name(file) for file in found]
        elif path.is_file():
            sources.append(_by_content(path))
        elif str(argument).isdecimal():
            sources.append(Source(f"camera {argument}", "camera", int(str(argument))))
        else:
            raise DataError(f"{argument} does not exist.", "Give a picture, a video, a folder or a camera's number.")
    return sources


def _by_name(path: Path) -> Source:
    return Source(str(path), "video" if path.suffix.lower() in VIDEOS else _picture_kind(path), path)


def _picture_kind(path: Path) -> Literal["photo", "animation"]:
    try:
        return "animation" if is_animation(path) else "photo"
    except DataError:
        return "photo"  # reading it will say what is wrong


def _by_content(path: Path) -> Source:
    """Whatever the file is called: a picture if Pillow reads it, else a video if OpenCV does."""
    if not path.stat().st_size:
        raise DataError(f"{path} is empty (0 bytes).", "Give a picture or a video.")
    if path.suffix.lower() in VIDEOS:
        return Source(str(path), "video", path)
    try:
        return Source(str(path), "animation" if is_animation(path) else "photo", path)
    except DataError:
        if path.suffix.lower() in PICTURES:
            raise
    source = Source(str(path), "video", path)
    try:
        _open(source).release()
    except DataError as error:
        raise DataError(f"{path} is neither a picture nor a video.", "Give another file.") from error
    return source


def _animation(path: Path, every: float) -> Iterator[Frame]:
    due = 0.0
    for index, (seconds, image) in enumerate(animation_frames(path)):
        if seconds >= due - 1e-6:
            yield Frame(image, index, seconds)
            due = _next_due(seconds, every)


def _next_due(seconds: float, every: float) -> float:
    """The next multiple of `every`, so that rounding does not add up."""
    return (math.floor(seconds / every + 1e-6) + 1) * every if every > 0 else 0.0


def _open(source: Source) -> Any:
    """An open cv2.VideoCapture; DataError when there is nothing to open."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's own lines say less than ours
    with quiet_opencv():
        try:
            place: Any = source.place if isinstance(source.place, int) else os.fsencode(source.place)
            capture = cv2.VideoCapture(place)  # bytes: a file's name need not be UTF-8
        except cv2.error as error:
            raise DataError(f"{source.name} cannot be opened ({error.err}).", "Give another video.") from error
    if capture.isOpened():
        return capture
    capture.release()
    if source.kind == "camera":
        raise DataError(
            f"There is no camera {source.place}, or another program holds it.",
            "Plug it in, close the other program, or try another number: ganfer predict 1.",
        )
    if not Path(str(source.place)).stat().st_size:
        raise DataError(f"{source.name} is empty (0 bytes).", "Give a picture or a video.")
    raise DataError(
        f"{source.name} is no video that OpenCV reads, or it is damaged.",
        "Convert it: ffmpeg -i VIDEO -c:v libx264 OUT.mp4",
    )


def _fps(capture: Any) -> float:
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if math.isfinite(fps) and 0 < fps <= _MAX_FPS else _FALLBACK_FPS


def _video(source: Source, every: float) -> Iterator[Frame]:
    """Frames of a file or a camera; those that are not due are skipped without being converted."""
    capture = _open(source)
    camera = source.kind == "camera"
    start = cv2.getTickCount()
    fps, promised = _fps(capture), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    source.fps = fps
    index, shown, missed, due, last = 0, 0, 0, 0.0, 0.0
    try:
        while True:
            with quiet_opencv():
                there = capture.grab()
            if not there:
                missed += 1
                if missed >= (_MISSED_READS if camera else _DAMAGED_FRAMES) or (
                    not camera and (index >= promised - 1 or promised <= 0)
                ):
                    break
                index += not camera
                continue
            missed = 0
            if camera:
                seconds = (cv2.getTickCount() - start) / cv2.getTickFrequency()
            else:
                seconds = _timestamp(capture, index, fps, last)
            if seconds >= due - 1e-6:
                done, picture = capture.retrieve()
                if done and picture is not None and picture.size:
                    yield Frame(as_rgb(picture), index, seconds)
                    shown += 1
                    due = _next_due(seconds, every)
            last = seconds
            index += 1
    finally:
        capture.release()
    if not shown:
        if camera:
            raise DataError(f"{source.name} gives no picture.", "Plug it in again, or close what else uses it.")
        raise DataError(f"{source.name} holds no picture that can be decoded.", "Convert it, or give another video.")
    if camera:
        source.notes.append(f"{source.name} stopped giving pictures after {last:.0f} s; it may have been unplugged.")
    elif promised > 0 and index < 0.9 * promised:
        source.notes.append(f"{source.name} ends after {index} of {promised:.0f} frames: it is damaged or cut off.")


def _timestamp(capture: Any, index: int, fps: float, last: float) -> float:
    """Seconds from the start; from the frame rate where the file's own times make no sense."""
    milliseconds = float(capture.get(cv2.CAP_PROP_POS_MSEC))
    counted = index / fps
    if math.isfinite(milliseconds) and milliseconds / 1000 >= last and (milliseconds > 0 or index == 0):
        return milliseconds / 1000
    return max(counted, last)
