"""Logs of every order and kind give the timeline of the same people; whoever was away comes back as the same one."""

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ganfer.errors import DataError
from ganfer.live.timeline import timeline
from ganfer.live.viewers import read_session

COLUMNS = [
    *("source", "frame", "seconds", "person", "x", "y", "width", "height", "detection", "expression", "confidence"),
    *("attention", "yaw", "pitch", "closed", "blinks", "calibrated", "p_happy", "p_neutral"),
]
Rows = list[dict[str, Any]]


def face(frame: float, person: object, at: float = 0.0, *, rate: float = 2.0, **more: object) -> dict[str, Any]:
    row = {"source": "anna.mp4", "frame": frame, "seconds": frame / rate, "person": person, "x": at, "y": 0}
    row |= {"width": 90, "height": 110, "detection": 0.9, "expression": "neutral", "confidence": 0.9}
    row |= {"attention": "attentive", "yaw": 0, "pitch": 0, "closed": 0.1, "blinks": 3, "calibrated": True}
    return row | {"p_happy": 0.1, "p_neutral": 0.9} | more


def nobody(frame: float, rate: float = 2.0) -> dict[str, Any]:
    return {"source": "anna.mp4", "frame": frame, "seconds": frame / rate, "attention": "no face"}


def write(path: Path, rows: Iterable[dict[str, Any]], **how: Any) -> Path:
    with path.open("w", newline="", encoding=how.pop("encoding", "utf-8")) as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", **how)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("minutes", [3, 60])
def test_one_viewer_with_breaks_stays_one(tmp_path: Path, minutes: int) -> None:
    rows = [face(i, i // 120 + 1) if i % 120 < 114 else nobody(i) for i in range(minutes * 120)]
    figures = timeline([write(tmp_path / "anna.csv", rows)], tmp_path / "out").figures
    (viewer,) = figures["viewers"]
    assert viewer["name"] == "anna"
    assert figures["attending"] == pytest.approx(0.95, abs=0.01)
    assert viewer["blinks"] == 3 * minutes
    assert f"{minutes} numbers were joined to one viewer" in figures["notes"][0]


def test_a_passer_by_does_not_break_the_one_viewer(tmp_path: Path) -> None:
    rows = [face(i, i // 120 + 1) if i % 120 < 114 else nobody(i) for i in range(1200)]
    rows += [face(i, 99, 400) for i in range(300, 304)]
    session = read_session([write(tmp_path / "anna.csv", rows)])
    assert [viewer.name for viewer in session.viewers] == ["anna"]
    assert session.notes[1] == "anna: left out as passing by: person 99 (2.0 s at 2:30)."


def two_with_breaks(place: Callable[[int], float]) -> Rows:
    """Persons 1 and 2 beside each other; 1 comes back as 3, 2 as 4, at `place`."""
    rows = [face(i, 1 if i < 100 else 3, 0 if i < 100 else place(0)) for i in range(200) if not 90 <= i < 100]
    rows += [face(i, 2 if i < 60 else 4, 300 if i < 60 else place(300)) for i in range(200) if not 50 <= i < 60]
    return rows


def test_two_who_come_back_to_their_places_stay_two(tmp_path: Path) -> None:
    session = read_session([write(tmp_path / "a.csv", two_with_breaks(lambda at: at + 20))])
    assert [(v.name, round(float(v.seen.mean()), 2)) for v in session.viewers] == [
        ("a, person 1", 0.95),
        ("a, person 2", 0.95),
    ]
    assert "4 numbers were joined to 2 viewers, by their place" in session.notes[0]


def test_two_who_come_back_elsewhere_are_reported_and_joined_on_demand(tmp_path: Path) -> None:
    log = write(tmp_path / "a.csv", two_with_breaks(lambda at: 1500 - at))
    session = read_session([log])
    assert len(session.viewers) == 4
    assert "at most 2 seen at once, yet 4 viewers" in " ".join(session.notes)
    assert len(read_session([log], people=2).viewers) == 2
    with pytest.raises(DataError, match="shows 2 people at once"):
        read_session([log], people=1)


def test_many_short_parts_of_several_people_are_not_all_dropped(tmp_path: Path) -> None:
    rows = [face(i, 1 + i // 40 * 2 + k, 1000 * (i // 40 % 5) + 300 * k) for i in range(7200) for k in (0, 1)]
    session = read_session([write(tmp_path / "a.csv", rows)])
    assert len(session.viewers) >= 2
    assert session.viewers[0].seen.sum() > 0


@pytest.fixture(scope="module")
def rows() -> Rows:
    return [face(i, k, 200 * k, rate=5) for i in range(300) for k in (1, 2, 3)]


ORDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "as written": lambda row: 0,
    "by person": lambda row: (row["person"], row["seconds"]),
    "newest first": lambda row: -row["seconds"],
    "by expression": lambda row: (row["p_happy"], row["x"], -row["frame"]),
}


@pytest.mark.parametrize("order", sorted(ORDERS))
def test_the_order_of_rows_says_nothing(tmp_path: Path, rows: Rows, order: str) -> None:
    session = read_session([write(tmp_path / "v.csv", sorted(rows, key=ORDERS[order]))])
    assert len(session.viewers) == 3
    assert all((viewer.attention == 1).all() for viewer in session.viewers)
    assert session.notes == ()


def test_what_spreadsheets_save_is_read(tmp_path: Path, rows: Rows) -> None:
    rows = [{**row, "source": "Hörsaal.mp4"} for row in rows]
    german = [{k: str(v).replace(".", ",") if k != "source" else v for k, v in row.items()} for row in rows]
    cases = {
        "mark": {"encoding": "utf-8-sig"},
        "semicolon": {"encoding": "utf-8-sig", "delimiter": ";"},
        "windows": {"encoding": "cp1252", "delimiter": ";"},
        "tabs": {"encoding": "utf-16", "delimiter": "\t"},
    }
    plain = read_session([write(tmp_path / "plain.csv", rows)])
    for name, how in cases.items():
        path = write(tmp_path / f"{name}.csv", german if "delimiter" in how else rows, **how)
        session = read_session([path])
        assert session.viewers[2].seen.tolist() == plain.viewers[2].seen.tolist()
        assert session.viewers[2].scores.tolist() == plain.viewers[2].scores.tolist()
    told = tmp_path / "told.csv"
    told.write_text("sep=;\n" + (tmp_path / "semicolon.csv").read_text(encoding="utf-8-sig") + ";;;;\n\n")
    assert read_session([told]).duration == plain.duration
    told.write_text(told.read_text().replace(";True;0,1;", ";True;zero;", 1))
    with pytest.raises(DataError, match="line 3, is damaged"):
        read_session([told])


def test_rows_and_logs_that_are_there_twice_count_once_and_are_said(tmp_path: Path, rows: Rows) -> None:
    once = write(tmp_path / "v.csv", rows)
    twice = tmp_path / "twice.csv"
    twice.write_text(once.read_text() + once.read_text())  # put together, with the heading in the middle
    session = read_session([twice])
    assert [viewer.seen.max() for viewer in session.viewers] == [1, 1, 1]
    assert session.notes == ("twice.csv: 900 row(s) that were there twice were left out.",)
    copy = write(tmp_path / "copy.csv", rows)
    session = read_session([once, copy])
    assert len(session.viewers) == 3
    assert "holds the same as" in session.notes[0]
    other = write(tmp_path / "other.csv", [row | {"confidence": 0.5} for row in rows])
    assert "its people count more than once" in read_session([once, other]).notes[0]
    mixed = tmp_path / "mixed.csv"
    mixed.write_text(once.read_text() + other.read_text())
    with pytest.raises(DataError, match="person 1 is twice in one frame"):
        read_session([mixed])


def test_rows_of_another_classifier_are_left_out_and_said(tmp_path: Path) -> None:
    """The live page leaves the first model's columns empty while another one is chosen."""
    path = tmp_path / "page.csv"
    rows = ["source,frame,seconds,person,expression,p_happy,p_sad,other.p_happy,other.p_sad"]
    rows += [f"camera,{t},{t},1,happy,0.9,0.1,," for t in range(6)]
    rows += [f"camera,{t},{t},1,sad,,,0.2,0.8" for t in range(6, 9)]
    path.write_text("\n".join(rows))
    session = read_session([path])
    assert session.viewers[0].scores[:, 0].tolist() == pytest.approx([0.9] * session.bins)
    assert any("3 row(s) without the scores of its first classifier" in note for note in session.notes)


def test_two_films_of_one_name_in_one_log_are_two(tmp_path: Path) -> None:
    rows = [face(i, 1) | {"source": f"{day}/l.mp4"} for day in ("monday", "tuesday") for i in range(40)]
    session = read_session([write(tmp_path / "v.csv", rows)])
    assert [viewer.name for viewer in session.viewers] == ["v: monday/l.mp4", "v: tuesday/l.mp4"]


def test_in_an_older_log_a_gap_is_absence(tmp_path: Path) -> None:
    rows = [face(i, 1, attention="") for i in range(120) if not 30 <= i < 90]
    figures = timeline([write(tmp_path / "v.csv", rows)], tmp_path / "out").figures
    assert figures["viewers"][0]["seen"] == 0.5
    assert "60 in its gaps count as absence" in figures["notes"][0]
    assert json.loads((tmp_path / "out" / "timeline.json").read_text())["notes"] == figures["notes"]
    assert "count as absence" in (tmp_path / "out" / "index.html").read_text()
