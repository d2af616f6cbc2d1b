"""Videos and cameras through OpenCV: frames at their times, upright, of square pixels; only what is known is said."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ganfer.errors import DataError
from ganfer.live.detect import quiet_opencv
from ganfer.live.pictures import as_rgb, unreadable

FALLBACK_FPS = 25.0  # of a video that does not say
_MAX_FPS = 1000.0
_DAMAGED_FRAMES = 25  # reads in a row that fail, then the video is given up
_MISSED_READS = 30  # of a camera in a row, then it was unplugged
_MOST_CAMERAS = 100  # OpenCV's numbers of hundreds name its ways to open one
_SHORT = 0.9  # a film whose pictures end before this share of its length is said to
_WIDEST = 8.0  # a pixel is wide or high at most


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source. image: (H, W, 3) uint8 RGB of square pixels. index counts the source's own frames, from
    0. scale: how many of the original's pixels one of these is wide and high."""

    image: np.ndarray
    index: int = 0
    seconds: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Facts:
    """What a film's file says of its pictures. frames: how many, where the file counts them (an estimate is none).

    seconds: how long they are shown, or None. sounds: whether it has sound.
    """

    frames: int | None = None
    seconds: float | None = None
    sounds: bool = False


def film_facts(path: Path) -> Facts:
    """Read from the file's index, without decoding; empty where it tells nothing."""
    try:
        import av
    except ImportError:
        return Facts()
    try:
        with av.open(ffmpeg_name(path)) as film:
            if not film.streams.video:
                return Facts()
            stream = film.streams.video[0]
            seconds = None
            if stream.duration and stream.time_base:
                seconds = float(stream.duration * stream.time_base)
            elif stream.metadata.get("DURATION"):
                hours, minutes, rest = stream.metadata["DURATION"].split(":")
                seconds = 3600 * int(hours) + 60 * int(minutes) + float(rest)
            elif film.duration and len(film.streams) == 1:
                seconds = film.duration / av.time_base
            if seconds and not stream.duration and "matroska" in film.format.name:  # it tells the end, not the length
                seconds -= float((stream.start_time or 0) * stream.time_base)
            return Facts(stream.frames or None, seconds, bool(film.streams.audio))
    except (av.FFmpegError, OSError, ValueError):
        return Facts()  # OpenCV, which reads it, says what is wrong


def ffmpeg_name(path: Path) -> str:
    """A path as FFmpeg takes it for a file: a relative `http:host?x.mp4` it would ask the network for."""
    return str(path.absolute())


def _as_opencv_takes_it(path: Path) -> Any:
    """The name as text; as bytes only where it is no UTF-8, which OpenCV takes from 4.11 on."""
    name = ffmpeg_name(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name)
    return name


def open_capture(place: Path | int, name: str) -> Any:
    """An open cv2.VideoCapture; DataError when there is nothing to open."""
    if isinstance(place, int) and place >= _MOST_CAMERAS:
        raise DataError(f"There is no camera {name.removeprefix('camera ')}.", "Try another number: ganfer predict 0.")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's own lines say less than ours
    with quiet_opencv():
        try:
            capture = cv2.VideoCapture(place if isinstance(place, int) else _as_opencv_takes_it(place))
        except cv2.error as error:
            reason = " ".join(str(error.err or error).split())[:160]
            raise DataError(f"{name} cannot be opened ({reason}).", "Rename it, or give another video.") from error
    if capture.isOpened():
        return capture
    capture.release()
    if isinstance(place, int):
        raise DataError(
            f"There is no camera {place}, or another program holds it.",
            "Plug it in, close the other program, or try another number: ganfer predict 1.",
        )
    try:
        with place.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise unreadable(name, error) from error
    if empty:
        raise DataError(f"{name} is empty (0 bytes).", "Give a picture or a video.")
    raise DataError(
        f"{name} is no video that OpenCV reads, or it is damaged.",
        "Convert it: ffmpeg -i VIDEO -c:v libx264 OUT.mp4",
    )


def rate_of(capture: Any) -> float:
    """Frames per second as the file or the camera says, within reason."""
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if math.isfinite(fps) and 0 < fps <= _MAX_FPS else FALLBACK_FPS


def camera_frames(place: int, name: str, every: float, notes: list[str]) -> Iterator[Frame]:
    """What a camera gives until it is unplugged, by the clock."""
    capture, start = open_capture(place, name), cv2.getTickCount()
    index, shown, missed, due, seconds = 0, 0, 0, 0.0, 0.0
    try:
        while missed < _MISSED_READS:
            with quiet_opencv():
                there = capture.grab()
            if not there:
                missed += 1
                continue
            missed = 0
            seconds = (cv2.getTickCount() - start) / cv2.getTickFrequency()
            if seconds >= due - 1e-6 and (image := _picture(capture)) is not None:
                yield Frame(image, index, seconds)
                shown += 1
                due = next_due(seconds, every)
            index += 1
    finally:
        capture.release()
    if not shown:
        raise DataError(f"{name} gives no picture.", "Plug it in again, or close what else uses it.")
    notes.append(f"{name} stopped giving pictures after {seconds:.0f} s; it may have been unplugged.")


def video_frames(path: Path, name: str, every: float, notes: list[str], start: int = 0) -> Iterator[Frame]:
    """Frames of a file; those that are not due, or before `start`, are skipped without being converted."""
    capture = open_capture(path, name)
    fps, facts, wide = rate_of(capture), film_facts(path), _pixel_aspect(capture)
    promised = facts.frames or capture.get(cv2.CAP_PROP_FRAME_COUNT)
    index, shown, failed, due, last = 0, 0, 0, 0.0, 0.0
    try:
        while failed < _DAMAGED_FRAMES:
            with quiet_opencv():
                there = capture.grab()
            if not there:
                if promised <= 0 or index >= promised - 1:
                    break
                failed += 1
                continue
            failed = 0
            seconds = _timestamp(capture, index, fps, last)
            if seconds >= due - 1e-6:
                image = _picture(capture) if index >= start else None
                if image is not None:
                    yield Frame(*_squared(image, index, seconds, wide))
                if image is not None or index < start:
                    shown += 1
                    due = next_due(seconds, every)
            last = seconds
            index += 1
    finally:
        capture.release()
    if not shown:
        raise DataError(f"{name} holds no picture that can be decoded.", "Convert it, or give another video.")
    notes += _ends_early(name, index, last + 1 / fps, facts, path)


def _ends_early(name: str, frames: int, seconds: float, facts: Facts, path: Path) -> list[str]:
    """Said where the file itself tells of more: a count of frames and a length, and both are missed."""
    if facts.seconds is None or seconds >= _SHORT * facts.seconds:
        return []
    if facts.frames is None:
        if _last_shown_until(path) >= _SHORT * facts.seconds:
            return []
        return [f"{name}: its {frames} frames end at {seconds:.1f} of {facts.seconds:.1f} s."]
    if frames >= facts.frames:
        return []  # the last one is shown for long
    of = f"of {facts.frames} frames, at {seconds:.1f} of {facts.seconds:.1f} s"
    return [f"{name} ends after {frames} {of}: it is damaged or cut off."]


def _last_shown_until(path: Path) -> float:
    """Seconds at which the file's last picture ends, as its packets say; 0 where they say nothing."""
    import av

    ends = 0.0
    try:
        with av.open(ffmpeg_name(path)) as film:
            stream = film.streams.video[0]
            start = stream.start_time or 0
            for packet in film.demux(stream):
                if packet.pts is not None:
                    ends = max(ends, float((packet.pts - start + (packet.duration or 0)) * packet.time_base))
    except (av.FFmpegError, OSError):
        pass  # what was read until there counts
    return ends


def _picture(capture: Any) -> np.ndarray | None:
    done, picture = capture.retrieve()
    return as_rgb(picture) if done and picture is not None and picture.size else None


def _pixel_aspect(capture: Any) -> float:
    """Width of a pixel by its height, of the upright picture; 1 where nothing sensible is said."""
    across, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    wide = across / down if across > 0 and down > 0 else 1.0
    if not 1 / _WIDEST <= wide <= _WIDEST:
        return 1.0
    return 1 / wide if round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180 == 90 else wide


def _squared(
    image: np.ndarray, index: int, seconds: float, wide: float
) -> tuple[np.ndarray, int, float, tuple[float, float]]:
    """The fields of a Frame of square pixels: the narrower side of a pixel is stretched."""
    if abs(wide - 1) < 1e-3:
        return image, index, seconds, (1.0, 1.0)
    height, width = image.shape[:2]
    size = (round(width * wide), height) if wide > 1 else (width, round(height / wide))
    stretched = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return stretched, index, seconds, (width / size[0], height / size[1])


def next_due(seconds: float, every: float) -> float:
    """The next multiple of `every`, so that rounding does not add up."""
    return (math.floor(seconds / every + 1e-6) + 1) * every if every > 0 else 0.0


def _timestamp(capture: Any, index: int, fps: float, last: float) -> float:
    """Seconds from the start; from the frame rate where the file's own times make no sense."""
    milliseconds = float(capture.get(cv2.CAP_PROP_POS_MSEC))
    counted = index / fps
    if math.isfinite(milliseconds) and milliseconds / 1000 >= last and (milliseconds > 0 or index == 0):
        return milliseconds / 1000
    return max(counted, last)
