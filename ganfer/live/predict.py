"""`ganfer predict`: sources in; annotated pictures, rows with every score, and a summary out."""

import dataclasses
import errno
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from ganfer.live.faces import FaceResult
from ganfer.live.films import Film, film, write_picture
from ganfer.live.journal import Journal
from ganfer.live.outputs import make_room, mark_of, picture_names
from ganfer.live.pictures import unreadable
from ganfer.live.records import Recorder, face_of
from ganfer.live.sources import MediaSource
from ganfer.live.summary import Seen, lines_of, totals
from ganfer.live.track import Tracker
from ganfer.live.videos import Frame
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.runtime.device import graceful_stop
from ganfer.runtime.files import write_json
from ganfer.workspace import command_line

_TOGETHER = 8  # frames whose faces go through the classifiers together
_WINDOW = "ganfer (q ends)"
_KEY_MILLISECONDS = 1
_MARK_SECONDS = 5.0  # of work between two marks from which a film can be gone on with
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, None)  # these fail for every file alike
_WINDOW_SECONDS = 60  # a window takes to open, at most


@dataclass(frozen=True)
class Request:
    """What to do with the sources. every: seconds between frames, 0 = all. seconds: of each source at most, 0 = all.

    log: the CSV file, where not faces.csv in `out`. blendshapes: with a column each in the rows. pictures: write
    annotated copies. show: in a window while it runs.
    """

    out: Path
    log: Path | None = None
    every: float = 0.0
    seconds: float = 0.0
    attention: bool = False
    blendshapes: bool = False
    pictures: bool = True
    show: bool = False

    @property
    def csv_path(self) -> Path:
        return self.log or self.out / "faces.csv"


def predict(
    analyser: Analyser,
    sources: Sequence[MediaSource],
    config: LiveConfig,
    request: Request,
    *,
    about: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> Result:
    """Analyse every source. Rows are written as they come; after a kill the same call goes on from them. Ctrl-C ends
    well: what was seen until then is written.

    A damaged file among several is named and left out. DataError when none could be read. about: what else shapes the
    result, for telling whether a run is the same. notes: for the summary.
    """
    models, names = list(analyser.classifiers), analyser.class_names
    make_room(request.out, request.csv_path, sources)
    journal = Journal(request.out, _key(analyser, sources, config, request, about))
    recorder = Recorder(
        request.csv_path, journal, models, names, attention=request.attention, blendshapes=request.blendshapes
    )
    seen: list[Seen] = []
    failures: list[str] = []
    unfinished = keep = False
    try:
        with ExitStack() as stack:
            stop = stack.enter_context(graceful_stop())
            if request.show:
                stack.callback(_close_windows)
            if journal.resumed:
                recorder.begin()
            for number, (source, picture) in enumerate(zip(sources, picture_names(request.out, sources), strict=True)):
                before = journal.done.get(number)
                if before is not None:
                    _recall(before, source, seen, failures)
                    continue
                if stop():
                    unfinished = True
                    break
                keep = True
                try:
                    one, whole = _one(analyser, number, source, picture, config, request, recorder, stop)
                except (DataError, OSError) as error:
                    if isinstance(error, OSError):
                        if error.errno in _FATAL:
                            raise
                        error = unreadable(source.name, error)
                    if len(sources) == 1:
                        keep = False
                        raise error
                    failures.append(str(error))
                    journal.finish(number, {"failed": str(error)})
                    say(f"Left out: {error}")
                    continue
                seen.append(one)
                unfinished = not whole
                if unfinished:
                    break
                journal.finish(number, one.state())
        if not seen and not failures:
            keep = False
            raise KeyboardInterrupt  # before the first frame
        if not seen:
            keep = False
            raise DataError(f"None of the {len(sources)} files could be read; the first: {failures[0]}")
        recorder.begin()
        recorder.write_json(request.out / "faces.json")
        keep = unfinished and all(source.kind != "camera" for source in sources)
    finally:
        recorder.close()
        journal.close(keep=keep)
    figures: dict[str, Any] = {
        "by": command_line(),
        "models": {name: model.digest for name, model in analyser.classifiers.items()},
        **totals(seen),
        "sources": [one.figures() for one in seen],
        "left_out": failures,
        "notes": list(notes),
        "unfinished": keep,
        "files": sorted(name for name, *_ in _identities(sources)),
        "faces_csv": str(request.csv_path),
        "faces_json": str(request.out / "faces.json"),
    }
    write_json(request.out / "summary.json", figures)
    lines = [*lines_of(seen, models), *(note for one in seen for note in one.source.notes), *notes, ""]
    lines += [f"{len(failures)} file(s) could not be read: {failures[0]}"] if failures else []
    lines += ["Interrupted; the same command goes on from here."] if keep else []
    lines += [f"every score: {request.csv_path}"]
    shown = [one.picture for one in seen if one.picture]
    lines += [f"annotated: {shown[0] if len(shown) == 1 else request.out}"] if shown else []
    return Result("ganfer predict", request.out, figures, lines)


def _key(
    analyser: Analyser,
    sources: Sequence[MediaSource],
    config: LiveConfig,
    request: Request,
    about: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What makes a run the same: its files as they are now, models and settings. A camera's is never the same."""
    return {
        "sources": _identities(sources),
        "started": time.time() if any(source.kind == "camera" for source in sources) else 0,
        "models": {name: [model.digest, list(model.class_names)] for name, model in analyser.classifiers.items()},
        "live": dataclasses.asdict(config),
        "request": {name: str(value) for name, value in dataclasses.asdict(request).items()},
        "about": dict(about or {}),
    }


def _identities(sources: Sequence[MediaSource]) -> list[tuple[str, int, int]]:
    """Whole path, bytes and time of every source's file."""
    found = []
    for source in sources:
        if isinstance(source.place, int):
            found.append((source.name, 0, 0))
            continue
        try:
            facts = source.place.stat()
            found.append((str(source.place.resolve()), facts.st_size, facts.st_mtime_ns))
        except OSError:
            found.append((str(source.place), 0, 0))  # reading it will say what is wrong
    return found


def _recall(state: Mapping[str, Any], source: MediaSource, seen: list[Seen], failures: list[str]) -> None:
    if "failed" in state:
        failures.append(str(state["failed"]))
        return
    one = Seen(source)
    one.restore(state)
    seen.append(one)


def _one(
    analyser: Analyser,
    number: int,
    source: MediaSource,
    picture: Path,
    config: LiveConfig,
    request: Request,
    recorder: Recorder,
    stop: Callable[[], bool],
) -> tuple[Seen, bool]:
    """One source from its first frame, or from the journal's mark, to its last; and whether it got there."""
    seen = Seen(source)
    tracker = Tracker(smooth_seconds=config.smooth, forget_seconds=config.forget) if source.moving else None
    meter = AttentionMeter(
        calibrate_seconds=config.calibrate if source.moving else 0.0,
        away_yaw=config.away_yaw,
        away_pitch=config.away_pitch,
    )
    begin, known = _from_mark(recorder.journal, number, seen, tracker, meter)
    drawn = request.pictures or request.show
    last_mark = time.monotonic()
    with ExitStack() as stack:
        advance = stack.enter_context(progress(Path(source.name).name, source.length(request.every)))
        out: Film | None = None
        ended = False
        for frames in _chunks(source, request, stop, 0 if drawn else begin):
            new = [frame for frame in frames if frame.index >= begin]
            found = iter(analyser.analyse([frame.image for frame in new], [frame.scale[0] for frame in new]))
            for frame in frames:
                if frame.index < begin:
                    faces = [face_of(row, frame) for row in known.get(frame.index, ())]
                else:
                    faces = _followed(next(found), frame, tracker, meter if request.attention else None)
                    recorder.write(number, source.name, frame, faces)
                    seen.add(frame, faces)
                advance(1)
                if not drawn:
                    continue
                marked = annotate(frame.image, faces)
                if request.pictures and source.moving:
                    if out is None:
                        sound = source.place if source.kind == "video" and isinstance(source.place, Path) else None
                        mark = mark_of(source)
                        out = stack.enter_context(film(picture, source.rate(request.every), sound, mark))
                    out.add(marked, frame.seconds)
                elif request.pictures:
                    write_picture(picture, marked, mark_of(source))
                ended = ended or (request.show and _closed(marked, wait=not source.moving))
            recorder.flush()
            if tracker is not None and source.kind != "camera" and time.monotonic() - last_mark > _MARK_SECONDS:
                _mark(recorder, number, frames[-1], seen, tracker, meter)
                last_mark = time.monotonic()
            if ended:
                break
        whole = ended or not stop()
        if not whole and tracker is not None and seen.frames:
            _mark(recorder, number, Frame(np.empty(0), seen.index), seen, tracker, meter)
        if out is not None:
            out.end(source.shown_seconds() if whole and not ended and not request.seconds else None)
            source.notes += out.notes
        if request.pictures and seen.frames:
            seen.picture = str(picture)
    return seen, whole


def _followed(
    faces: list[FaceResult], frame: Frame, tracker: Tracker | None, meter: AttentionMeter | None
) -> list[FaceResult]:
    """Faces with their people's numbers and attention."""
    if tracker is not None:
        faces = tracker.update(faces, frame.seconds)
    return faces if meter is None else meter.update(faces, frame.seconds)


def _mark(recorder: Recorder, number: int, frame: Frame, seen: Seen, tracker: Tracker, meter: AttentionMeter) -> None:
    state = {"next": frame.index + 1, "seen": seen.state(), "tracker": tracker.state(), "meter": meter.state()}
    recorder.journal.note(number, state)
    recorder.flush()


def _from_mark(
    journal: Journal, number: int, seen: Seen, tracker: Tracker | None, meter: AttentionMeter
) -> tuple[int, dict[int, list[dict[str, Any]]]]:
    """The first frame that is not known yet, and the faces of those that are."""
    mark = journal.mark
    if mark is None or mark["of"] != number or tracker is None:
        return 0, {}
    seen.restore(mark["seen"])
    tracker.restore(mark["tracker"])
    meter.restore(mark["meter"])
    known: dict[int, list[dict[str, Any]]] = {}
    for row in journal.rows(number):
        if row.get("expression"):
            known.setdefault(row["frame"], []).append(row)
    return int(mark["next"]), known


def _chunks(source: MediaSource, request: Request, stop: Callable[[], bool], start: int) -> Iterator[list[Frame]]:
    """Frames in small lists, until the source ends, the time is over or the user has enough."""
    size = 1 if request.show or source.kind == "camera" else _TOGETHER
    frames = source.frames(request.every, start) if start else source.frames(request.every)
    if request.seconds > 0:
        frames = itertools.takewhile(lambda frame: frame.seconds < request.seconds, frames)
    while not stop() and (chunk := list(itertools.islice(frames, size))):
        yield chunk


def check_window() -> None:
    """GanferError where no window can be opened. Tried in a child: without a display, some toolkits end the process."""
    problem = GanferError("--show: no window can be opened here.", "Leave --show out.")
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise problem
    program = "import cv2; cv2.namedWindow('ganfer'); cv2.destroyAllWindows()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, timeout=_WINDOW_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise problem from error
    if done.returncode:
        raise problem


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
