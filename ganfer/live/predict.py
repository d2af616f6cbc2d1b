"""`ganfer predict`: sources in; annotated pictures, rows with every score, and a summary out."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ganfer.config import LiveConfig
from ganfer.errors import DataError, GanferError
from ganfer.live.analyse import Analyser
from ganfer.live.annotate import annotate
from ganfer.live.attention import AttentionMeter
from ganfer.live.films import Film, film, write_picture
from ganfer.live.records import Recorder, recording
from ganfer.live.sources import Frame, Source
from ganfer.live.summary import Seen, lines_of, totals
from ganfer.live.track import Tracker
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.runtime.device import graceful_stop
from ganfer.runtime.files import write_json
from ganfer.workspace import command_line

_TOGETHER = 8  # frames whose faces go through the classifiers together
_WINDOW = "ganfer (q ends)"
_KEY_MILLISECONDS = 1


@dataclass(frozen=True)
class Request:
    """What to do with the sources. every: seconds between frames, 0 = all. seconds: of each source at most, 0 = all.

    log: the CSV file, where not faces.csv in `out`. pictures: write annotated copies. show: in a window while it runs.
    """

    out: Path
    log: Path | None = None
    every: float = 0.0
    seconds: float = 0.0
    attention: bool = False
    pictures: bool = True
    show: bool = False


def predict(analyser: Analyser, sources: Sequence[Source], config: LiveConfig, request: Request) -> Result:
    """Analyse every source. Ctrl-C ends it well: what was seen until then is written.

    A damaged file among several is named and left out. DataError when none could be read.
    """
    csv_path = request.log or request.out / "faces.csv"
    models, names = list(analyser.classifiers), analyser.class_names
    seen: list[Seen] = []
    failures: list[str] = []
    with ExitStack() as stack:
        stop = stack.enter_context(graceful_stop())
        recorder = stack.enter_context(
            recording(csv_path, request.out / "faces.json", models, names, request.attention)
        )
        if request.show:
            stack.callback(_close_windows)
        pictures = _picture_names(request.out, sources)
        for source, picture in zip(sources, pictures, strict=True):
            if stop():
                break
            try:
                seen.append(_one(analyser, source, picture, config, request, recorder, stop))
            except DataError as error:
                if len(sources) == 1:
                    raise
                failures.append(str(error))
                say(f"Left out: {error}")
        if not seen and not failures:
            raise KeyboardInterrupt  # before the first frame
        if not seen:
            raise DataError(f"None of the {len(sources)} files could be read; the first: {failures[0]}")
    figures: dict[str, Any] = {
        "by": command_line(),
        "models": {name: model.digest for name, model in analyser.classifiers.items()},
        **totals(seen),
        "sources": [one.figures() for one in seen],
        "left_out": failures,
        "faces_csv": str(csv_path),
        "faces_json": str(request.out / "faces.json"),
    }
    write_json(request.out / "summary.json", figures)
    lines = [*lines_of(seen, models), *(note for one in seen for note in one.source.notes), ""]
    lines += [f"{len(failures)} file(s) could not be read: {failures[0]}"] if failures else []
    lines += [f"every score: {csv_path}"]
    shown = [one.picture for one in seen if one.picture]
    lines += [f"annotated: {shown[0] if len(shown) == 1 else request.out}"] if shown else []
    return Result("ganfer predict", request.out, figures, lines)


def _one(
    analyser: Analyser,
    source: Source,
    picture: Path,
    config: LiveConfig,
    request: Request,
    recorder: Recorder,
    stop: Callable[[], bool],
) -> Seen:
    """One source from its first frame to its last."""
    seen = Seen(source)
    tracker = Tracker(smooth_seconds=config.smooth, forget_seconds=config.forget) if source.moving else None
    meter = AttentionMeter(
        calibrate_seconds=config.calibrate if source.moving else 0.0,
        away_yaw=config.away_yaw,
        away_pitch=config.away_pitch,
    )
    with ExitStack() as stack:
        advance = stack.enter_context(progress(Path(source.name).name, source.length(request.every)))
        out: Film | None = None
        ended = False
        for frames in _chunks(source, request, stop):
            for frame, faces in zip(frames, analyser.analyse([frame.image for frame in frames]), strict=True):
                if tracker is not None:
                    faces = tracker.update(faces, frame.seconds)
                if request.attention:
                    faces = meter.update(faces, frame.seconds)
                recorder.write(source.name, frame, faces)
                seen.add(frame, faces)
                advance(1)
                if not (request.pictures or request.show):
                    continue
                marked = annotate(frame.image, faces)
                if request.pictures and source.moving:
                    out = out or stack.enter_context(film(picture, source.rate(request.every)))
                    out.add(marked, frame.seconds)
                elif request.pictures:
                    write_picture(picture, marked)
                ended = ended or (request.show and _closed(marked, wait=not source.moving))
            if ended:
                break
        if request.pictures and seen.frames:
            seen.picture = str(picture)
    return seen


def _chunks(source: Source, request: Request, stop: Callable[[], bool]) -> Iterator[list[Frame]]:
    """Frames in small lists, until the source ends, the time is over or the user has enough."""
    size = 1 if request.show or source.kind == "camera" else _TOGETHER
    frames = source.frames(request.every)
    if request.seconds > 0:
        frames = itertools.takewhile(lambda frame: frame.seconds < request.seconds, frames)
    while not stop() and (chunk := list(itertools.islice(frames, size))):
        yield chunk


def _closed(picture: np.ndarray, *, wait: bool) -> bool:
    """Show a picture; whether the user pressed q or Escape."""
    try:
        cv2.imshow(_WINDOW, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(0 if wait else _KEY_MILLISECONDS) & 0xFF in (ord("q"), 27)
    except cv2.error as error:
        raise GanferError("--show: OpenCV cannot open a window here.", "Leave --show out.") from error


def _close_windows() -> None:
    with suppress(cv2.error):  # an OpenCV without windows has none to close
        cv2.destroyAllWindows()


def slug(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "faces"


def _picture_names(out: Path, sources: Sequence[Source]) -> list[Path]:
    """Where each annotated copy goes: the source's own name, numbered where two have the same."""
    names: list[Path] = []
    taken: set[str] = set()
    for source in sources:
        stem = slug(Path(source.name).stem)
        suffix = ".faces.mp4" if source.moving else ".faces.jpg"
        name, number = stem + suffix, 2
        while name.lower() in taken:
            name, number = f"{stem}-{number}{suffix}", number + 1
        taken.add(name.lower())
        names.append(out / name)
    return names
