"""`ganfer timeline`: the logs of all viewers of a lecture as one page with a scrubber, and the same as JSON and CSV."""

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from ganfer.errors import GanferError
from ganfer.live.clock import as_clock
from ganfer.live.drawing import area, lines, strip
from ganfer.live.emoji import colour, emoji
from ganfer.live.law import NOTICE
from ganfer.live.moments import Curves, Moment, curves, moments
from ganfer.live.viewers import Session, Viewer, read_session
from ganfer.results import Result
from ganfer.runtime.files import write_csv, write_json, write_text
from ganfer.runtime.text import for_page

_TEMPLATES = Path(__file__).parent / "templates"
_EMOJI = 96
_TICKS = 8
_ROUND_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200)


def timeline(
    paths: Sequence[Path],
    out: Path,
    *,
    title: str = "Lecture timeline",
    offsets: Mapping[str, float] | None = None,
    people: int | None = None,
) -> Result:
    """Write `index.html`, `timeline.json` and `timeline.csv` for these logs of `predict --attention --log`.

    people: how many are in each recording at most; None: as the logs show.
    """
    check_page(out, paths)
    session = read_session(paths, offsets, people)
    found = curves(session)
    marked = moments(session, found)
    figures = _figures(session, found, marked)
    write_json(out / "timeline.json", {**figures, "logs": _places(paths), "bins": _rows(session, found)})
    write_csv(out / "timeline.csv", list(_rows(session, found)[0]), _rows(session, found))
    page = out / "index.html"
    write_text(page, render(session, found, marked, title))
    said = [f"{len(session.viewers)} viewer(s), {as_clock(session.duration)}"]
    said += [f"{as_clock(m.seconds):>8}  most {m.kind}: {m.reason}" for m in marked] or ["no moment stands out"]
    said += [f"Note: {note}" for note in session.notes]
    return Result("ganfer timeline", out, figures, [*said, "", f"page: {page.resolve()}", NOTICE])


def timeline_folder(parent: Path, paths: Sequence[Path]) -> Path:
    """`parent`/timeline, numbered where that holds the page of other logs."""
    folder, number = parent / "timeline", 2
    while not set(_held(folder) or ()) <= set(_places(paths)):
        folder, number = parent / f"timeline-{number}", number + 1
    return folder


def check_page(out: Path, paths: Sequence[Path]) -> None:
    """GanferError where the page would replace a file of the user's or the page of other logs."""
    page = out / "index.html"
    if not page.exists():
        return
    held = _held(out)
    if held is None:
        raise GanferError(f"{page} exists and is no timeline of ganfer's.", "Give another --out.")
    if not set(held) <= set(_places(paths)):
        raise GanferError(f"{page} is the timeline of {', '.join(held)}.", "Give another --out, or remove it.")


def _places(paths: Sequence[Path]) -> list[str]:
    return sorted(str(path.resolve()) for path in paths)


def _held(folder: Path) -> list[str] | None:
    """The logs whose page a folder holds; [] where an earlier ganfer did not write which, None where there is none."""
    try:
        found = json.loads((folder / "timeline.json").read_text(encoding="utf-8"))
        return [str(log) for log in found.get("logs", [])] if "bins" in found else None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def render(session: Session, found: Curves, marked: Sequence[Moment], title: str) -> str:
    """The self-contained page."""
    span = session.bins * session.seconds
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, finalize=for_page)
    attention = area([np.nan_to_num(found.attending if session.measured_attention else found.seen)], ["here"])
    mix = np.nan_to_num(found.scores.T) * np.nan_to_num(found.seen)
    top = max(0.05, float(max(found.engagement.max(), found.confusion.max())))
    both = lines([(found.engagement / top, "engage"), (found.confusion / top, "confuse")])
    lanes = [
        {"label": "Attending" if session.measured_attention else "Seen", "kind": "area", "svg": attention},
        {"label": "Expressions", "kind": "area", "svg": area(list(mix), [f"e{i}" for i in range(len(mix))])},
        {"label": "Engagement and confusion", "kind": "lines", "svg": both},
    ]
    return environment.get_template("timeline.html.jinja").render(
        title=title,
        css=Markup((_TEMPLATES / "timeline.css").read_text(encoding="utf-8")),
        js=Markup((_TEMPLATES / "timeline.js").read_text(encoding="utf-8")),
        inks=[(name, "#{:02x}{:02x}{:02x}".format(*colour(name))) for name in session.class_names],
        viewers=session.viewers,
        duration=session.duration,
        seconds=session.seconds,
        step=min(0.1, session.seconds),
        span=span,
        clock=as_clock,
        tiles=_tiles(session, found, marked),
        moments=marked,
        lanes=lanes,
        strips=[{"name": v.name, "note": _note(v, session.seconds), "svg": strip(v)} for v in session.viewers],
        ticks=_ticks(span),
        measured=session.measured_attention,
        notes=session.notes,
        notice=NOTICE,
        data=Markup(_script_safe(_page_data(session, found, span))),
    )


def _figures(session: Session, found: Curves, marked: Sequence[Moment]) -> dict[str, Any]:
    means = np.nan_to_num(np.nanmean(found.scores, axis=0)) if np.isfinite(found.scores).any() else np.zeros(0)
    return {
        "viewers": [
            {
                "name": v.name,
                "seen": _number(_average(v.seen)),
                "attending": _number(_average(v.attention)),
                "blinks": v.blinks,
            }
            for v in session.viewers
        ],
        "notes": list(session.notes),
        "notice": NOTICE,
        "seconds": round(session.duration, 3),
        "seconds_per_bin": session.seconds,
        "attending": _number(_average(found.attending)),
        "mean_scores": {name: _number(value) for name, value in zip(session.class_names, means, strict=True)},
        "moments": [
            {"kind": m.kind, "seconds": round(m.seconds, 3), "value": _number(m.value), "reason": m.reason}
            for m in marked
        ],
    }


def _rows(session: Session, found: Curves) -> list[dict[str, Any]]:
    """Who felt and attended what when, a row per bin."""
    rows = []
    for place in range(session.bins):
        row: dict[str, Any] = {
            "seconds": round(place * session.seconds, 3),
            "viewers_seen": sum(bool(v.seen[place] > 0) for v in session.viewers),
            "attending": _number(found.attending[place]),
            "engagement": _number(found.engagement[place]),
            "confusion": _number(found.confusion[place]),
        }
        row |= {f"p_{n}": _number(found.scores[place, k]) for k, n in enumerate(session.class_names)}
        rows.append(row)
    return rows


def _tiles(session: Session, found: Curves, marked: Sequence[Moment]) -> list[dict[str, str]]:
    tiles = []
    if session.measured_attention:
        low = int(np.argmin(np.where(np.isfinite(found.attending), found.attending, np.inf)))
        lowest = f"lowest {np.nan_to_num(found.attending[low]):.0%} at {as_clock(low * session.seconds)}"
        tiles.append({"what": "Attending on average", "value": f"{_average(found.attending):.0%}", "more": lowest})
    means = np.nan_to_num(np.nanmean(found.scores, axis=0))
    order = np.argsort(-means)
    second = f"then {session.class_names[order[1]]} {means[order[1]]:.0%}" if len(order) > 1 else ""
    most = f"{session.class_names[order[0]]} {means[order[0]]:.0%}"
    tiles.append({"what": "Shown most", "value": most, "more": second})
    for kind in ("engaging", "confusing"):
        best = max((m for m in marked if m.kind == kind), key=lambda m: m.value, default=None)
        value = as_clock(best.seconds) if best else "none"
        more = best.reason if best else "no moment stands out"
        tiles.append({"what": f"Most {kind}", "value": value, "more": more})
    return tiles


def _page_data(session: Session, found: Curves, span: float) -> dict[str, Any]:
    def plain(values: np.ndarray) -> list[float | None]:
        return [_number(value) for value in values]

    return {
        "bins": session.bins,
        "seconds": session.seconds,
        "span": span,
        "duration": session.duration,
        "names": list(session.class_names),
        "emoji": [_data_uri(name) for name in session.class_names],
        "attending": plain(found.attending),
        "scores": [plain(row) if np.isfinite(row).all() else None for row in found.scores],
    }


def _script_safe(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _data_uri(name: str) -> str:
    out = io.BytesIO()
    Image.fromarray(emoji(name, _EMOJI)).quantize(128).save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _ticks(span: float) -> list[float]:
    step = next((s for s in _ROUND_STEPS if span / s <= _TICKS), math.ceil(span / _TICKS / 3600) * 3600)
    return [float(tick) for tick in range(0, int(span) + 1, step)]


def _note(viewer: Viewer, seconds: float) -> str:
    parts = [f"{_average(viewer.attention):.0%} attending"] if np.isfinite(viewer.attention).any() else []
    minutes = float(np.nan_to_num(viewer.seen).sum()) * seconds / 60
    parts += [f"{viewer.blinks / minutes:.0f} blinks/min"] if viewer.blinks is not None and minutes > 0 else []
    return ", ".join(parts) or f"seen {_average(viewer.seen):.0%}"


def _average(values: np.ndarray) -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else math.nan


def _number(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
