"""The timeline of several viewers: bins and moments by hand-worked numbers, bad logs, the page in a browser."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from live_logs import NAMES, write_log

from ganfer.cli.main import cli
from ganfer.errors import DataError, GanferError
from ganfer.live.clock import as_clock, parse_seconds
from ganfer.live.drawing import strip
from ganfer.live.moments import curves, moments
from ganfer.live.timeline import timeline, timeline_folder
from ganfer.live.viewers import read_session

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files"),
    *("--enable-logging=stderr", "--dump-dom", "--virtual-time-budget=4000"),
)


def small_log(path: Path, rows: list[tuple[float, int | str, str, str, float]], names: tuple[str, ...]) -> Path:
    """Rows of (seconds, person, attention, expression, its probability); the rest goes to the other class."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "seconds", "person", "expression", "attention", *(f"p_{name}" for name in names)])
        for seconds, person, attention, expression, p in rows:
            scores = [p if name == expression else 1 - p for name in names] if expression else ["", ""]
            writer.writerow([path.stem, seconds, person, expression, attention, *scores])
    return path


def test_bins_of_two_viewers_by_hand(tmp_path: Path) -> None:
    names = ("happy", "sad")
    a = small_log(tmp_path / "a.csv", [(t / 2, 1, "attentive", "happy", 0.8) for t in range(8)], names)
    b_rows: list[tuple[float, int | str, str, str, float]] = [(t / 2, 1, "looking away", "sad", 0.6) for t in range(4)]
    b_rows += [(2.0, "", "no face", "", 0), (2.5, "", "no face", "", 0), (3.0, 1, "attentive", "sad", 0.6)]
    b = small_log(tmp_path / "b.csv", [*b_rows, (3.5, "", "no face", "", 0)], names)
    session = read_session([a, b])
    assert [viewer.name for viewer in session.viewers] == ["a", "b"]
    assert (session.seconds, session.bins, session.class_names) == (1.0, 4, names)
    assert session.viewers[1].seen.tolist() == [1, 1, 0, 0.5]
    assert session.viewers[1].attention.tolist() == [0, 0, 0, 0.5]
    found = curves(session)
    assert found.attending.tolist() == [0.5, 0.5, 0.5, 0.75]
    assert found.scores[0] == pytest.approx([(0.8 + 0.4) / 2, (0.2 + 0.6) / 2])
    assert found.scores[2] == pytest.approx([0.8, 0.2])  # only who is seen counts
    per_bin = np.array([(1 * 0.9 + 0) / 2, 0.45, 0.45, (0.9 + 0.5 * 0.7) / 2])
    assert found.engagement == pytest.approx([per_bin.mean()] * 4)  # ten seconds are longer than the whole
    assert found.confusion == pytest.approx([0] * 4)  # nobody changed


def test_frames_in_which_attention_was_not_measured_say_nothing_of_it(tmp_path: Path) -> None:
    states = ["attentive", "", "attentive", "looking away", "", "", "attentive", "attentive"]
    rows: list[tuple[float, int | str, str, str, float]] = [
        (t / 2, 1, state, "happy", 0.8) for t, state in enumerate(states)
    ]
    (viewer,) = read_session([small_log(tmp_path / "a.csv", rows, ("happy", "sad"))]).viewers
    assert viewer.seen.tolist() == [1, 1, 1, 1]
    np.testing.assert_array_equal(viewer.attention, [1, 0.5, np.nan, 1])
    assert re.findall('class="(here|away|gone)"', strip(viewer)) == ["here", "gone", "here"]


def test_the_joke_engages_and_the_hard_part_confuses(tmp_path: Path) -> None:
    logs = [write_log(tmp_path / f"v{i}.csv", seed=i, seconds=600) for i in range(3)]
    session = read_session(logs)
    found = moments(session, curves(session))
    engaging = [moment.seconds for moment in found if moment.kind == "engaging"]
    confusing = [moment.seconds for moment in found if moment.kind == "confusing"]
    assert len(engaging) == len(confusing) == 1
    assert 150 <= engaging[0] <= 180
    assert 380 <= confusing[0] <= 420
    assert "attending" in found[0].reason
    assert "happy" in found[0].reason


def test_a_lecture_where_nothing_changes_has_no_moments(tmp_path: Path) -> None:
    rows: list[tuple[float, int | str, str, str, float]] = [(t, 1, "attentive", "happy", 0.7) for t in range(100)]
    session = read_session([small_log(tmp_path / "a.csv", rows, ("happy", "sad"))])
    assert moments(session, curves(session)) == []


def test_a_resting_frown_is_no_confusion_and_looking_away_no_engagement(tmp_path: Path) -> None:
    names = ("happy", "sad")
    frown: list[tuple[float, int | str, str, str, float]] = [(t, 1, "attentive", "sad", 0.9) for t in range(60)]
    away: list[tuple[float, int | str, str, str, float]] = [(t, 1, "looking away", "happy", 0.9) for t in range(60)]
    found = curves(
        read_session([small_log(tmp_path / "a.csv", frown, names), small_log(tmp_path / "b.csv", away, names)])
    )
    assert found.confusion.max() == pytest.approx(0)
    assert found.engagement == pytest.approx([0.5 * (0.5 + 0.5 * 0.1)] * 60)


def test_offsets_put_late_recordings_on_one_clock(tmp_path: Path) -> None:
    early = write_log(tmp_path / "early.csv", seconds=300, joke=(100, 120))
    late = write_log(tmp_path / "late.csv", seconds=300, joke=(70, 90))
    session = read_session([early, late], {"late": 30.0})
    assert session.duration == pytest.approx(329)
    happy = np.stack([np.nan_to_num(viewer.scores[:, NAMES.index("happy")]) for viewer in session.viewers])
    assert [row.argmax() // 30 for row in happy] == [3, 3]
    with pytest.raises(DataError, match="--offset for latte"):
        read_session([early], {"latte": 1.0})


def test_two_logs_of_one_name_are_two_viewers(tmp_path: Path) -> None:
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
    days = enumerate(("monday", "tuesday"))
    logs = [write_log(tmp_path / day / "anna.csv", seed=i, seconds=30, gone=(0, 1)) for i, day in days]
    assert [viewer.name[-12:] for viewer in read_session(logs).viewers] == ["/monday/anna", "tuesday/anna"]


def test_passers_by_are_no_viewers(tmp_path: Path) -> None:
    rows: list[tuple[float, int | str, str, str, float]] = [(t, 1, "attentive", "happy", 0.7) for t in range(200)]
    rows += [(50.0, 2, "attentive", "sad", 0.7), (51.0, 2, "attentive", "sad", 0.7)]
    rows.sort(key=lambda row: row[0])
    session = read_session([small_log(tmp_path / "a.csv", rows, ("happy", "sad"))])
    assert [viewer.name for viewer in session.viewers] == ["a"]


def test_wrong_logs_are_said_in_one_line(tmp_path: Path) -> None:
    good = write_log(tmp_path / "good.csv", seconds=20, gone=(30, 31))
    other = small_log(tmp_path / "other.csv", [(float(t), 1, "", "happy", 0.7) for t in range(20)], ("happy", "sad"))
    cases = {
        "other columns.csv": ("a,b\n1,2\n", "is no log of ganfer predict"),
        "empty.csv": ("", "is no log of ganfer predict"),
        "damaged.csv": (good.read_text().replace("good.mp4,3,3,", "good.mp4,3,x,"), "line 5, is damaged"),
        "nobody.csv": (good.read_text().splitlines()[0] + "\n", "hold nobody"),
    }
    for name, (text, said) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=said) as failure:
            read_session([tmp_path / name])
        assert "\n" not in str(failure.value)
    with pytest.raises(DataError, match="cannot be read"):
        read_session([tmp_path / "absent.csv"])
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no log"):
        read_session([tmp_path / "binary.csv"])
    with pytest.raises(DataError, match="has the classes happy, sad; others have"):
        read_session([good, other])


def test_without_attention_presence_counts(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.csv", seconds=100, attention=False)
    result = timeline([log], tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "looking away" not in page
    assert result.figures["attending"] is None


def test_the_command_writes_page_json_and_csv(tmp_path: Path) -> None:
    write_log(tmp_path / "a.csv", seconds=300, joke=(100, 130))
    write_log(tmp_path / "b.csv", seed=1, seconds=300, joke=(100, 130))
    arguments = ["timeline", "a.csv", "b.csv", "--out", "out", "--title", "<Lecture> & 1", "--json"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    figures = json.loads(result.stdout)
    assert [viewer["name"] for viewer in figures["viewers"]] == ["a", "b"]
    saved = json.loads(Path("out/timeline.json").read_text())
    with Path("out/timeline.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(saved["bins"]) == 300
    assert float(rows[110]["p_happy"]) > 0.5
    page = Path("out/index.html").read_text()
    assert "Art. 5(1)(f)" in page
    assert "Art. 5(1)(f)" in figures["notice"]
    assert "&lt;Lecture&gt; &amp; 1" in page
    assert "<Lecture>" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    wrong = CliRunner().invoke(cli, ["timeline", "a.csv", "--offset", "a=soon"])
    assert wrong.exit_code == 2
    assert "is not LOG=SECONDS" in wrong.output


def test_a_name_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    names = ("happy", "</script><script>alert(1)</script>")
    rows: list[tuple[float, int | str, str, str, float]] = [(float(t), 1, "attentive", "happy", 0.7) for t in range(20)]
    timeline([small_log(tmp_path / "a.csv", rows, names)], tmp_path / "out")
    assert "<script>alert" not in (tmp_path / "out" / "index.html").read_text()


FRAMES = """<!DOCTYPE html><html><body>{frames}<pre id="found"></pre><script>
onload = () => {{
  console.error("probe");
  found.textContent = [...document.querySelectorAll("iframe")].map((frame) => {{
    const page = frame.contentDocument, scrub = page.getElementById("scrub");
    const pin = page.querySelector(".pin.engaging");
    pin.click();
    const said = page.getElementById("said").textContent, at = scrub.value;
    scrub.value = 70; scrub.dispatchEvent(new Event("input"));
    const label = page.querySelector(".lane .label").getBoundingClientRect();
    return [frame.width, page.documentElement.scrollWidth, at, pin.dataset.at, said,
            page.getElementById("clock").value, page.getElementById("said").textContent,
            page.getElementById("cursor").style.left].join("|");
  }}).join("\\n");
}};
</script></body></html>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_the_page_scrubs_in_a_browser_on_a_phone_and_a_desk(tmp_path: Path) -> None:
    assert CHROMIUM
    logs = [
        write_log(tmp_path / f"{'very-' * 12 * i}long{i}.csv", seed=i, seconds=300, joke=(150, 180)) for i in (0, 1)
    ]
    timeline(logs, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").as_uri()
    frames = "".join(f'<iframe src="{page}" width="{width}" height="600"></iframe>' for width in (400, 1400))
    (tmp_path / "frames.html").write_text(FRAMES.format(frames=frames))
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "frames.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    found = re.search(r'<pre id="found">([^<]+)</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    for line in found[1].splitlines():
        width, scrolled, at, wanted, said, clock, then, cursor = line.split("|")
        assert int(scrolled) <= int(width)
        assert float(at) == pytest.approx(float(wanted), abs=0.1)
        assert "mostly happy" in said
        assert clock == "1:10"
        assert then == "0% attending, no face"
        assert float(cursor.removesuffix("%")) == pytest.approx(100 * 70 / 300, abs=0.1)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert len(console) == 1, console


def test_clocks() -> None:
    assert [parse_seconds(text) for text in ("1s", "500ms", "2min", ".5", " 3 ", "1h")] == [1, 0.5, 120, 0.5, 3, 3600]
    assert [as_clock(seconds) for seconds in (0, 65.9, 3725)] == ["0:00", "1:05", "1:02:05"]
    for wrong in ("", "s", "-1s", "1 2", "1x"):
        with pytest.raises(ValueError, match="is no time"):
            parse_seconds(wrong)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((1e300, 1, "attentive", "happy", 0.8), "line 3, is damaged .*more than a year"),
        ((1.0, 1, "attentive", "happy", 7), "line 3, is damaged .*not within 0 and 1"),
    ],
)
def test_rows_that_cannot_be_are_said(
    tmp_path: Path, row: tuple[float, int | str, str, str, float], words: str
) -> None:
    log = small_log(tmp_path / "a.csv", [(0.0, 1, "attentive", "happy", 0.8), row], ("happy", "sad"))
    with pytest.raises(DataError, match=words):
        read_session([log])


def test_an_offset_of_ages_is_said(tmp_path: Path) -> None:
    log = small_log(tmp_path / "a.csv", [(0.0, 1, "attentive", "happy", 0.8)], ("happy", "sad"))
    with pytest.raises(DataError, match="more than a year"):
        read_session([log], {"a": 1e12})


def test_timelines_of_other_logs_and_a_users_page_stay(tmp_path: Path) -> None:
    rows: list[tuple[float, int | str, str, str, float]] = [(t / 2, 1, "attentive", "happy", 0.8) for t in range(12)]
    a, b = (small_log(tmp_path / name, rows, ("happy", "sad")) for name in ("a.csv", "b.csv"))
    folder = timeline_folder(tmp_path, [a])
    timeline([a], folder)
    assert timeline_folder(tmp_path, [a]) == folder
    assert timeline_folder(tmp_path, [a, b]) == folder  # the same lecture, with one viewer more
    assert timeline_folder(tmp_path, [b]).name == "timeline-2"
    with pytest.raises(GanferError, match="is the timeline of"):
        timeline([b], folder)
    mine = tmp_path / "mine" / "index.html"
    mine.parent.mkdir()
    mine.write_text("my own")
    with pytest.raises(GanferError, match="no timeline of ganfer's"):
        timeline([a], mine.parent)
    assert mine.read_text() == "my own"
