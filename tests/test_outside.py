"""What comes from outside (names, disks, signals, damaged files of our own) ends in one line, and nothing is left."""

import csv
import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganfer.cli import main as command_line
from ganfer.errors import GanferError, WorkspaceError
from ganfer.label.labels import newest_labels
from ganfer.live.journal import NAME as JOURNAL
from ganfer.live.journal import Journal
from ganfer.page.sheet import _environment
from ganfer.results import table
from ganfer.runtime import files
from ganfer.runtime.extras import require
from ganfer.runtime.files import atomic_path, create_npy, read_object, remove_abandoned, write_csv, write_npy_parts
from ganfer.runtime.tables import marked, read_rows, unmarked
from ganfer.runtime.text import one_line, safe_lines
from ganfer.status import status
from ganfer.workspace import KINDS, Run, Workspace

HOSTILE = "a\x1b]0;owned\x07b\x9bc\nd\u202ee\udcfff"


def test_nothing_in_a_line_acts_on_a_terminal() -> None:
    assert one_line(HOSTILE) == "a\\x1b]0;owned\\x07b\\x9bc\\nd\\u202ee\\xfff"
    assert safe_lines("a\tb\nc\rd") == "a\tb\nc\\rd"
    assert one_line("Zürich, 東京, 👩‍👩‍👧") == "Zürich, 東京, 👩‍👩‍👧"
    assert one_line(HOSTILE).encode().decode().isprintable()


def test_nothing_acts_on_a_page() -> None:
    template = _environment().from_string("<p>{{ text }}</p>")
    assert template.render(text="x<\x1b\u202e") == "<p>x&lt;\\x1b\\u202e</p>"


FORMULAS = (
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-happy",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "\n=x",
    "＝1",
    "－x",
    "'＋",
    "'=x",
    "''x",
    "'x",
    "x",
    "",
)
NUMBERS = ("-0.5", "+1e-3", "-inf", "nan", "-.5", "12")


def test_formulas_stand_as_text_and_come_back(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    columns = ["class", "=head", "file_name", "n"]
    rows = [{"class": text, "=head": 1, "file_name": text or "x", "n": -0.5} for text in (*FORMULAS, *NUMBERS)]
    write_csv(file, columns, rows)
    with file.open(newline="") as stream:
        cells = list(csv.reader(stream))
    assert cells[0] == ["class", "'=head", "file_name", "n"]
    for row in cells[1:]:
        for cell in row:
            assert not cell.startswith(("=", "@", "\t", "\r", "\n", "＝", "－"))
            assert not cell.startswith(("+", "-")) or cell in NUMBERS
        assert row[3] == "-0.5"
    with file.open(newline="") as stream:
        back = list(read_rows(stream))
    assert [row["class"] for row in back] == [row["class"] for row in rows]
    assert [row["file_name"] for row in back] == [row["file_name"] for row in rows]
    assert cells[1][2] == "./=1+1"  # still the file's path


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_marking_is_undone(text: str) -> None:
    for column in ("", "file_name"):
        assert unmarked(marked(text, column), column) == text


def test_names_that_are_no_utf8_go_into_tables(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ["a"], [{"a": "x\udcff"}])
    assert (tmp_path / "t.csv").read_text() == "a\nx\\xff\n"


def test_tables_of_before_are_read() -> None:
    assert list(read_rows(["a,b", "'quoted',2", "=old,3"])) == [{"a": "'quoted'", "b": "2"}, {"a": "=old", "b": "3"}]
    with pytest.raises(ValueError, match="row 2 has 1 cells"):
        list(read_rows(["a,b", "x"]))


# --- disks -----------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk() -> Iterator[None]:
    """Files of this process may have 4 kB: writing fails as on a full disk, at the first byte over it.

    No fixture: between a test and its fixtures' end pytest itself writes, perhaps into a long file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "features.npy"
    part = np.zeros((100, 64), np.float16)
    with small_disk(), pytest.raises(OSError, match="large") as error, atomic_path(file) as temporary:
        write_npy_parts(temporary, (1000, 64), np.float16, (part for _ in range(10)))
    assert error.value.filename == str(file)
    assert "features.npy" in (command_line._file_system_line(error.value) or "")
    with small_disk(), pytest.raises(OSError, match="large"):
        create_npy(tmp_path / "votes.npy", (1000, 8), np.float32)
    assert [path.name for path in tmp_path.iterdir()] == ["votes.npy"]


def test_arrays_written_in_parts_are_whole(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.float32).reshape(20, 3)
    write_npy_parts(tmp_path / "a.npy", (20, 3), np.float16, iter(np.split(array, 4)))
    found = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, array)
    mapped = create_npy(tmp_path / "b.npy", (5, 2), np.float32)
    mapped[3] = 7
    mapped.flush()
    assert np.load(tmp_path / "b.npy").sum() == 14


def test_temporary_files_of_the_dead_go_when_the_run_is_taken(tmp_path: Path) -> None:
    run = Run(tmp_path / "reports" / "r", {})
    run.path.mkdir(parents=True)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = run.path / f".features-1.npy.{files._HOST}-{gone.pid}-abcdefgh.tmp.npy"
    mine = run.path / f".features-1.npy.{files._HOST}-{os.getpid()}-abcdefgh.tmp.npy"
    other = run.path / f".features-1.npy.{'0' * 6}-{gone.pid}-abcdefgh.tmp.npy"
    before = run.path / ".features-1.npy.abcdefgh.tmp.npy"  # as they were called without a process
    kept = [run.path / ".gitignore", run.path / "features.tmp.npy", run.path / ".notes.tmp"]
    for file in (dead, mine, other, before, *kept):
        file.write_text("x")
    with run.work("test"):
        pass
    assert not dead.exists()
    assert all(file.exists() for file in (mine, other, before, *kept))
    for file in (other, before):
        os.utime(file, (0, 0))
    remove_abandoned(run.path)
    assert not other.exists()
    assert not before.exists()


@pytest.mark.parametrize("number", sorted(command_line._FILE_SYSTEM))
def test_what_a_disk_fails_with_is_one_line(number: int, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fail(**given: object) -> None:
        raise OSError(number, os.strerror(number), "some/\x1bfile")

    monkeypatch.setattr(command_line.cli, "main", fail)
    monkeypatch.setattr(command_line, "end_in_order", lambda: None)
    with pytest.raises(SystemExit) as end:
        command_line.main()
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "some/\\x1bfile" in said


def test_places_where_no_workspace_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for place in ("file", "file/below", "file/below/deeper", "link", "circle", "x" * 300, f"new/{'x' * 300}", "a\0b"):
        with pytest.raises(WorkspaceError, match="-w DIR") as error:
            Workspace(tmp_path / place).run("reports", "r", {})
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO, errno.EINVAL])
def test_a_file_system_without_locks(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise OSError(number, os.strerror(number))

    run = Run(tmp_path / "reports" / "r", {})
    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(WorkspaceError, match="cannot be locked"), run.work("test"):
        pass


# --- damaged files of our own ----------------------------------------------------------------------------------------

WHOLE = {"status": "complete", "key": {}, "finished": "2026-01-01T00:00:00+00:00", "digest": "d", "figures": {}}
DAMAGED = ("[]", "null", "3", '"text"', "[" * 100_000, "{", "", "\xff", '{"a": 1' + "9" * 5000)


@pytest.mark.parametrize("content", DAMAGED, ids=lambda text: text[:8])
def test_json_of_another_type_is_one_line(content: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "classifiers" / "c")
    for file in (run.path / "record.json", tmp_path / "workspace.json", tmp_path / "data" / "active.json"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode("latin-1"))
    reading: list[Callable[[], object]] = [
        lambda: run.record,
        lambda: run.complete,
        lambda: Workspace(tmp_path),
        lambda: Workspace.active_data.fget(workspace),  # type: ignore[attr-defined]
        lambda: workspace.runs("classifiers"),
        lambda: workspace.latest("classifiers", data="x"),
        lambda: read_object(run.path / "record.json", "Do that."),
    ]
    (tmp_path / "workspace.json").unlink()
    workspace = Workspace(tmp_path)
    (tmp_path / "workspace.json").write_bytes(content.encode("latin-1"))
    for read in reading:
        with pytest.raises(WorkspaceError, match="damaged") as error:
            read()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "record",
    [{"status": 1}, {"figures": []}, {"key": []}, {"key": {"inputs": 3}}, {"finished": 5}, {"seconds": "1"},
     {"seconds": True}, {"digest": None}, {"finished": "yesterday"}, {"status": "finished"}],
    ids=str,
)  # fmt: skip
def test_entries_of_another_type_are_one_line(record: dict[str, Any], tmp_path: Path) -> None:
    run = Run(tmp_path / "classifiers" / "c")
    run.path.mkdir(parents=True)
    (run.path / "record.json").write_text(json.dumps({**WHOLE, **record}))
    with pytest.raises(WorkspaceError, match="damaged"):
        Workspace(tmp_path).latest("classifiers", data="x")


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_without_its_parts_is_damaged_and_not_unfinished(kind: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run = workspace.run(kind, "r", {})
    run.path.mkdir(parents=True)
    file = run.path / "record.json"
    broken = [*({n: v for n, v in WHOLE.items() if n != name} for name in WHOLE), {}, {"status": "running"}]
    for record in broken:
        file.write_text(json.dumps(record))
        reading: list[Callable[[], object]] = [
            lambda: workspace.latest(kind), lambda: workspace.find(kind, "r"), lambda: status(workspace),
            lambda: run.work("test").__enter__(),
        ]  # fmt: skip
        for read in reading:
            with pytest.raises(WorkspaceError, match=r"record.json is damaged \(.*\)\. Remove .*r-.* and run") as error:
                read()
            assert "\n" not in str(error.value)
        assert json.loads(file.read_text()) == record  # nothing was written over it
    file.write_text(json.dumps(WHOLE))
    latest = workspace.latest(kind)
    assert latest is not None
    with pytest.raises(WorkspaceError, match="its figures have no 'model'"):
        latest.figures["model"]
    assert latest.figures.get("model") is None
    file.unlink()
    file.mkdir()
    with pytest.raises(WorkspaceError, match="damaged"):
        workspace.latest(kind)


def test_labels_with_a_damaged_record_are_not_passed_over(tmp_path: Path) -> None:
    labels = tmp_path / "synthetic" / "b" / "labels" / "l"
    labels.mkdir(parents=True)
    (labels / "record.json").write_text("{}")
    with pytest.raises(WorkspaceError, match="record.json is damaged"):
        newest_labels(Run(tmp_path / "synthetic" / "b"))


@pytest.mark.parametrize(
    "line", ["[]", "3", "null", "{}", '{"of": "x", "done": {}}', '{"of": 0, "mark": []}', "[" * 9000]
)
def test_a_damaged_line_of_a_journal_ends_what_is_known(line: str, tmp_path: Path) -> None:
    good = [{"key": {"a": 1}}, {"of": 0, "row": {"x": 1}}, {"of": 0, "done": {"n": 1}}]
    (tmp_path / JOURNAL).write_text("".join(f"{json.dumps(entry)}\n" for entry in good) + f"{line}\n")
    assert Journal(tmp_path, {"a": 1}).done == {0: {"n": 1}}
    (tmp_path / JOURNAL).write_text(f"{line}\n")
    assert not Journal(tmp_path, {"a": 1}).resumed


@pytest.mark.parametrize("name", ["../../x", "..", "", "a/b", 3, None, "a\0b"])
def test_the_active_set_is_a_set_of_the_workspace(name: object, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "active.json").write_text(json.dumps({"name": name}))
    with pytest.raises(WorkspaceError, match="names no set"):
        _ = Workspace(tmp_path).active_data


# --- signals and extras ----------------------------------------------------------------------------------------------

SLEEPER = """
import sys, time
from ganfer.cli import main as command_line
def work(context):
    print("working", flush=True)
    time.sleep(30)
command_line.cli.invoke = work  # within click, which has an exception of its own for Ctrl-C
sys.argv = ["ganfer", "status"]
command_line.main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_signals_end_a_command_with_a_line(number: int, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(number)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == code
    assert said.strip().count("\n") == 0
    assert "the same command goes on" in said


def test_a_missing_extra_is_said_before_any_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    require("this", "test", "json")
    with pytest.raises(GanferError, match=r"this needs no_such_module.*pip install 'ganfer\[gaze\]'"):
        require("this", "gaze", "json", "no_such_module")


def test_a_table_keeps_every_row_in_its_line() -> None:
    lines = table(["file", "class"], [["a\nb.png", "\x1b[31msad"], ["c.png", "happy"]], "<<")
    assert len(lines) == 4
    assert lines[2].split() == ["a\\nb.png", "\\x1b[31msad"]
