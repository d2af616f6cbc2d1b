"""Small films of any kind: varying rates, turned, of wide pixels, with sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def make_film(
    path: Path,
    times: list[float],
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    sound: str = "",
    aspect: Fraction | None = None,
    last: float = 0.04,
) -> Path:
    """A film whose frame i is shown from times[i] on, ever brighter. sound: the codec of a tone, "" for none."""
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25, options={"g": "5", "bf": "0"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        tone = out.add_stream(sound, rate=48_000) if sound else None
        ends = [*times[1:], times[-1] + last]
        lasting = {}
        for i, (at, end) in enumerate(zip(times, ends, strict=True)):
            picture = np.full((size[1], size[0], 3), 20 + 200 * i // len(times), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
            lasting[frame.pts] = round((end - at) * 1000)
            mux(out, video.encode(frame), lasting)
        mux(out, video.encode(), lasting)
        if tone is not None:
            seconds = times[-1] + last
            wave = np.sin(np.arange(int(48_000 * seconds)) * 2 * np.pi * 440 / 48_000)
            samples = np.repeat((wave * 9000).astype(np.int16)[None], 1, axis=0)
            sounds = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            sounds.sample_rate, sounds.pts, sounds.time_base = 48_000, 0, Fraction(1, 48_000)
            for packet in [*tone.encode(sounds), *tone.encode()]:
                out.mux(packet)
    return path


def mux(out: av.container.OutputContainer, packets: list[av.Packet], lasting: dict[int, int]) -> None:
    for packet in packets:
        at = round(float(packet.pts * packet.time_base) * 1000)
        if at in lasting:
            packet.duration = round(Fraction(lasting[at], 1000) / packet.time_base)
        out.mux(packet)


def streams_of(path: Path) -> dict[str, tuple[str, float, float]]:
    """Codec, seconds and start of every stream of a file, by its kind."""
    with av.open(str(path)) as film:
        return {
            s.type: (s.codec_context.name, float(s.duration * s.time_base), float((s.start_time or 0) * s.time_base))
            for s in film.streams
        }


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as film:
        return [float(frame.pts * frame.time_base) for frame in film.decode(video=0)]
