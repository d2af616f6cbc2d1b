"""The log of decisions: written at once, undone one by one, whole after a kill, the same for two people at once."""

import csv
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ganfer.errors import DataError
from ganfer.review.decisions import Decision, Log, decisions_digest, log_of
from ganfer.review.exchange import csv_text, export_decisions, import_decisions

WRITER = """
import sys
from pathlib import Path
from ganfer.review.decisions import log_of
log = log_of(Path(sys.argv[1]))
for i in range(100_000):
    log.reject([f"face {i}"], "ada")
    print(i, flush=True)
"""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_of(tmp_path)


def test_the_newest_decision_counts_and_is_undone_by_whom_took_it(log: Log) -> None:
    log.keep({"a": "happy", "b": "sad"}, "ada")
    log.reject(["a", "c"], "ben")
    log.keep({"a": "fear"}, "ada")
    assert log.state() == {
        "a": Decision(True, "fear", "ada"),
        "b": Decision(True, "sad", "ada"),
        "c": Decision(False, "", "ben"),
    }
    assert log.state("ben") == {"a": Decision(False, "", "ben"), "c": Decision(False, "", "ben")}
    assert log.undo("ada") == ("a",)
    assert log.state()["a"] == Decision(False, "", "ben")
    assert log.undo("ada") == ("a", "b")
    assert log.undo("ada") == ()
    assert log.state() == {"a": Decision(False, "", "ben"), "c": Decision(False, "", "ben")}
    assert log.reviewers == ["ben"]
    assert Log(log.path).state() == log.state()  # as somebody else reads it


def test_a_torn_last_line_never_counted_and_is_cut_off(log: Log) -> None:
    log.reject(["a"], "ada")
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + b'{"id":"x","by":"ada","do":"reject","names":["b"')
    later = Log(log.path)
    assert set(later.state()) == {"a"}
    later.reject(["c"], "ada")
    assert set(Log(log.path).state()) == {"a", "c"}
    assert log.path.read_bytes().startswith(whole + b'{"id":')
    assert set(log.state()) == {"a", "c"}  # who had it open before reads on


DAMAGED = ("no json", "[]", "7", '{"do":"keep"}', '{"undo":"nobody"}', '{"id":"x","by":"a","do":"burn","names":[]}')


@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_is_named(log: Log, line: str) -> None:
    log.reject(["a"], "ada")
    with log.path.open("a") as file:
        file.write(line + "\n")
        file.write('{"id":"y","by":"ada","do":"reject","names":["b"]}\n')
    later, whole = Log(log.path), log.path.read_bytes()
    for ask in (later.state, later.state, lambda: later.reject(["c"], "ada"), lambda: later.undo("ada")):
        with pytest.raises(DataError, match="line 2, is damaged"):
            ask()
    assert log.path.read_bytes() == whole  # nothing is added behind it
    log.path.write_bytes(whole.replace(line.encode() + b"\n", b""))
    assert set(later.state()) == {"a", "b"}  # once it is removed, as the message says


def test_what_was_said_to_be_written_survives_a_kill(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    done = {f"face {int(line)}" for line in said if line.strip()}
    assert len(done) >= 20
    log = log_of(tmp_path)
    assert done <= set(log.state())
    log.reject(["one more"], "ada")
    assert "one more" in log.state()


def test_threads_with_logs_of_their_own_lose_nothing(tmp_path: Path) -> None:
    def work(by: str) -> None:
        mine = log_of(tmp_path)
        for i in range(20):
            mine.reject([f"{by} {i}"], by)

    threads = [threading.Thread(target=work, args=(by,)) for by in ("ada", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log_of(tmp_path).state()) == 40


def test_the_digest_is_of_what_counts(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    assert decisions_digest(tmp_path) == ""
    log.keep({"a": "happy"}, "ada")
    first = decisions_digest(tmp_path)
    log.keep({"a": "happy"}, "ben")
    assert decisions_digest(tmp_path) == first  # whoever said it, whenever
    log.keep({"a": "sad"}, "ben")
    assert decisions_digest(tmp_path) != first
    log.undo("ben")
    log.undo("ben")
    log.undo("ada")
    assert decisions_digest(tmp_path) == ""


def test_decisions_go_out_as_csv_and_come_back(tmp_path: Path) -> None:
    log, other = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    log.keep({"a": "happy", "b, c": "sad"}, "ada")
    log.reject(["a"], 'ben "the eye"')
    table = tmp_path / "decisions.csv"
    assert export_decisions(log, table) == 3
    assert table.read_text().splitlines()[0] == "file_name,reviewer,decision,label"
    names, classes = ("a", "b, c"), ("happy", "sad")
    assert import_decisions(other, table, names, classes) == (3, 0)
    assert [other.state(by) for by in other.reviewers] == [log.state(by) for by in log.reviewers]
    assert import_decisions(other, table, names, classes) == (0, 3)
    again = tmp_path / "again.csv"
    export_decisions(other, again)
    assert again.read_bytes() == table.read_bytes()


def test_names_that_a_spreadsheet_would_run_stand_as_text_and_come_back(tmp_path: Path) -> None:
    log, other = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    names, classes = ("=a.png", "+b.png", "c.png"), ("@sad", "-happy")
    log.keep({"=a.png": "@sad", "+b.png": "-happy"}, "=HYPERLINK(1)")
    log.keep({"c.png": "-happy"}, "'=quoted")
    table, page = tmp_path / "decisions.csv", tmp_path / "page.csv"
    export_decisions(log, table)
    page.write_text(csv_text(log), newline="")
    assert page.read_bytes() == table.read_bytes()
    cells = [cell for row in csv.reader(table.read_text().splitlines()) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert import_decisions(other, table, names, classes) == (3, 0)
    assert [other.state(by) for by in other.reviewers] == [log.state(by) for by in log.reviewers]
    assert set(other.reviewers) == {"=HYPERLINK(1)", "'=quoted"}


@pytest.mark.parametrize(("encoding", "delimiter"), [("utf-8-sig", ";"), ("utf-16", "\t"), ("utf-16-le", ",")])
def test_a_table_that_a_spreadsheet_saved_again_is_taken_up(encoding: str, delimiter: str, tmp_path: Path) -> None:
    log, table = log_of(tmp_path / "one"), tmp_path / "saved.csv"
    rows = [("file_name", "reviewer", "decision", "label"), ("a", "Zoë", "keep", "happy")]
    table.write_text("".join(delimiter.join(row) + "\n" for row in rows), encoding=encoding)
    assert import_decisions(log, table, ("a",), ("happy",)) == (1, 0)
    assert list(log.reviewers) == ["Zoë"]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("z,ada,keep,happy", "no image 'z'"),
        ("a,ada,maybe,happy", "decision is 'maybe'"),
        ("a,ada,keep,hapy", "no class 'hapy'.*happy"),
        ("a,,reject,", "is no name"),
        (f"a,{'x' * 65},reject,", "is no name"),
        ("a, ada,keep,happy", "another decision of ada on 'a'"),
    ],
)
def test_a_wrong_table_changes_nothing(tmp_path: Path, row: str, what: str) -> None:
    log = log_of(tmp_path)
    table = tmp_path / "decisions.csv"
    table.write_text(f"file_name,reviewer,decision,label\na,ada,reject,\n{row}\n")
    with pytest.raises(DataError, match=f"line 3: .*{what}"):
        import_decisions(log, table, ("a",), ("happy",))
    table.write_text("file,who\na,ada\n")
    with pytest.raises(DataError, match="lacks a column"):
        import_decisions(log, table, ("a",), ("happy",))
    assert not log.path.exists()
