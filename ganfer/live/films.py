"""Annotated pictures and films, written whole or not at all; films that browsers play, in step with the original and
with its sound."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ganfer.data.provenance import picture_comment
from ganfer.errors import GanferError
from ganfer.live.folders import MARK
from ganfer.live.videos import ffmpeg_name
from ganfer.runtime.files import atomic_path, remove_abandoned

_QUALITY = 92  # of JPEG
_TICKS = 90_000  # of a second; what MPEG counts in
_LONGEST = 20_000 * _TICKS  # of one frame; MP4 holds 2**31 ticks
_MOST_REPEATS = 100  # of a frame that lasts longer: 23 days
_CODECS = {"libx264": {"crf": "21", "preset": "veryfast", "bf": "0"}, "libopenh264": {}, "libvpx-vp9": {"crf": "33"}}
_COPIED_SOUND = frozenset(("aac", "mp3", "mp3float", "opus", "flac"))  # browsers play these in MP4; others become AAC


def write_picture(path: Path, picture: np.ndarray, mark: str = MARK) -> None:
    """An (H, W, 3) uint8 RGB picture as JPEG, marked as ganfer's own."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(
            temporary, "JPEG", quality=_QUALITY, comment=picture_comment(f"annotated photo, {mark}")
        )


def check_films() -> str:
    """The codec that films will be written with; GanferError where there is none."""
    try:
        import av
    except ImportError as error:
        raise GanferError(
            "Annotated films need PyAV.", "Install it: pip install av. Or leave them out: --no-pictures."
        ) from error
    known = next((name for name in _CODECS if name in av.codecs_available), None)
    if known is None:
        raise GanferError("PyAV here writes neither H.264 nor VP9.", "Leave the films out with --no-pictures.")
    return known


class Film:
    """Frames on their way into an MP4 file, each shown from its own time on, with the sound of another film.

    The first frame fixes the size; later ones are scaled to it. rate: usual frames per second.
    """

    def __init__(self, path: Path, rate: float, sound_of: Path | None = None, mark: str = MARK) -> None:
        import av

        self.notes: list[str] = []
        self._rate = max(0.1, min(rate, 120.0))
        self._codec = check_films()
        self._out = av.open(ffmpeg_name(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._out.metadata["comment"] = picture_comment(f"annotated film, {mark}").decode()
        self._sound = _Sound(sound_of, self._out) if sound_of is not None else None
        self._stream: Any = None
        self._ticks = -1
        self._skipped = 0  # ticks of gaps that no film holds
        self._held: Any = None  # the last frame, until it is known how long it is shown
        self._lasting: dict[int, int] = {}  # of frames on their way through the encoder, in ticks

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """One (H, W, 3) uint8 RGB frame, shown from `seconds` on."""
        if self._stream is None:
            self._begin(picture)
        size = (self._stream.width, self._stream.height)
        if (picture.shape[1], picture.shape[0]) != size:
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        self._hold(picture, seconds)

    def _begin(self, picture: np.ndarray) -> None:
        height, width = picture.shape[:2]
        rate = Fraction(self._rate).limit_denominator(1001)
        self._stream = self._out.add_stream(self._codec, rate=rate, options=dict(_CODECS[self._codec]))
        self._stream.width, self._stream.height = max(2, width & ~1), max(2, height & ~1)  # the codec wants even sides
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        if self._sound is not None:
            self._sound.begin()

    def _hold(self, picture: np.ndarray, seconds: float) -> None:
        import av

        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        ticks = max(self._ticks + 1, round(seconds * _TICKS) - self._skipped)
        beyond = ticks - max(self._ticks, 0) - _LONGEST * _MOST_REPEATS
        if beyond > 0:
            self._skipped, ticks = self._skipped + beyond, ticks - beyond
            self.notes.append(f"The copy leaves out {beyond / _TICKS / 86400:.0f} days before {seconds:.0f} s.")
        if self._held is not None:
            self._show_until(ticks)
        frame.pts, frame.time_base = ticks, Fraction(1, _TICKS)
        self._held, self._ticks = frame, ticks
        if self._sound is not None:
            self._sound.until(seconds)

    def _show_until(self, ticks: int) -> None:
        """The held frame, now that it is known for how long it is shown: again and again over a long gap."""
        while ticks - self._ticks > _LONGEST:
            self._pass_on(_LONGEST)
            self._ticks += _LONGEST
            self._held.pts = self._ticks
        self._pass_on(ticks - self._ticks)

    def _pass_on(self, ticks: int) -> None:
        self._lasting[self._ticks] = ticks
        self._mux(self._stream.encode(self._held))

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            told = self._lasting.pop(round(packet.pts * packet.time_base * _TICKS), None)
            if told is not None:
                packet.duration = round(Fraction(told, _TICKS) / packet.time_base)
            self._out.mux(packet)

    def end(self, seconds: float | None = None) -> None:
        """The last frame is shown until `seconds`, where that is known; then the file is finished."""
        if self._held is None:
            return
        last = self._ticks / _TICKS
        ends = last + 1 / self._rate
        if seconds is not None:
            ends = max(ends, min(seconds - self._skipped / _TICKS, last + _LONGEST * _MOST_REPEATS / _TICKS))
        self._show_until(max(self._ticks + 1, round(ends * _TICKS)))
        self._held = None
        if self._sound is not None:
            self._sound.until(ends)
            self._sound.end()
            self.notes += self._sound.notes
        self._mux(self._stream.encode())

    def close(self) -> None:
        """Let go of the files."""
        if self._sound is not None:
            self._sound.close()
        if self._stream is not None:
            self._out.close()


class _Sound:
    """The first sound track of a film, packet by packet into another, on the clock of its pictures."""

    def __init__(self, path: Path, out: Any) -> None:
        import av

        self.notes: list[str] = []
        self._path, self._out = path, out
        self._target: Any = None
        self._source: Any = None
        self._pending: Any = None
        try:
            self._source = av.open(ffmpeg_name(path))
        except (av.FFmpegError, OSError):
            return
        if not self._source.streams.audio or not self._source.streams.video:
            self.close()
            return
        pictures, self._track = self._source.streams.video[0], self._source.streams.audio[0]
        self._zero = float((pictures.start_time or 0) * pictures.time_base)
        self._copied = self._track.codec_context.name in _COPIED_SOUND
        self._packets = self._source.demux(self._track)

    def begin(self) -> None:
        """Announce the track, before the first packet of the film."""
        if self._source is None:
            return
        if self._copied:
            self._target = self._out.add_stream_from_template(self._track)
        else:
            self._target = self._out.add_stream("aac", rate=self._track.codec_context.sample_rate)

    def until(self, seconds: float) -> None:
        """Everything that sounds before `seconds`. What cannot be read ends the sound, with a note."""
        import av

        if self._target is None:
            return
        try:
            while True:
                packet = self._pending or next(self._packets, None)
                self._pending = None
                if packet is None:
                    return
                if packet.pts is None:
                    continue
                at = float(packet.pts * packet.time_base) - self._zero
                if at >= seconds:
                    self._pending = packet
                    return
                if at >= 0:
                    self._pass_on(packet)
        except (av.FFmpegError, ValueError) as error:
            self.notes.append(f"{self._path}: the copy's sound ends at {seconds:.0f} s ({error}).")
            self._target = None

    def _pass_on(self, packet: Any) -> None:
        shift = round(self._zero / packet.time_base)
        if self._copied:
            packet.pts -= shift
            packet.dts = packet.pts
            packet.stream = self._target
            self._out.mux(packet)
            return
        for frame in packet.decode():
            if frame.pts is not None:
                frame.pts -= round(self._zero / frame.time_base)
            self._out.mux(self._target.encode(frame))

    def end(self) -> None:
        """What the encoder still holds."""
        if self._target is not None and not self._copied:
            self._out.mux(self._target.encode())

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None


@contextmanager
def film(path: Path, rate: float, sound_of: Path | None = None, mark: str = MARK) -> Iterator[Film]:
    """A film that takes its place when the block ends well and it has a frame. What a killed run left goes."""
    if path.parent.is_dir():
        remove_abandoned(path.parent)
    with atomic_path(path) as temporary, ExitStack() as stack:
        out = Film(temporary, rate, sound_of, mark)
        stack.callback(out.close)
        yield out
        out.end()
