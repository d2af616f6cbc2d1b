"""Runs are found again by their key, held by one process at a time, and written whole or not at all."""

import errno
import json
import multiprocessing
import os
import time
from contextlib import nullcontext
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from ganfer.errors import WorkspaceError
from ganfer.runtime.files import atomic_path, digest_json, write_csv, write_json
from ganfer.workspace import FORMAT, Workspace

KEY = {"config": {"steps": 3}, "inputs": {"data": "abc"}, "seed": 0}


def finish(workspace: Workspace, kind: str = "gans", key: dict | None = None, prefix: str = "dcgan") -> str:
    run = workspace.run(kind, prefix, key or KEY)
    with run.work("test"):
        run.finish(digest="d1", figures={"kid": 0.5})
    return run.name


def test_the_same_key_finds_the_same_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    name = finish(workspace)
    again = workspace.run("gans", "dcgan", dict(reversed(KEY.items())))
    assert again.name == name
    assert again.complete
    assert again.figures == {"kid": 0.5}
    assert workspace.run("gans", "dcgan", {**KEY, "seed": 1}).name != name


def test_an_interrupted_run_is_not_complete_and_keeps_its_seconds(tmp_path: Path) -> None:
    run = Workspace(tmp_path).run("gans", "dcgan", KEY)
    with pytest.raises(KeyboardInterrupt), run.work("test"):
        time.sleep(0.05)
        run.tick()
        raise KeyboardInterrupt
    assert not run.complete
    with run.work("test") as record:
        assert record["status"] == "running"
        run.finish(digest="d", figures={})
    assert run.record["seconds"] >= 0.05


def test_latest_is_the_last_finished_on_the_given_inputs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first = finish(workspace, key={**KEY, "seed": 9})
    second = finish(workspace, key={**KEY, "seed": 1})
    finish(workspace, key={**KEY, "inputs": {"data": "other"}})
    unfinished = workspace.run("gans", "dcgan", {**KEY, "seed": 5})
    with unfinished.work("test"):
        pass
    newest = workspace.latest("gans", data="abc")
    assert newest is not None
    assert newest.name == second != first
    assert workspace.latest("gans", data="nothing") is None
    assert workspace.latest("reports") is None


def test_the_newest_is_the_last_that_finished_whatever_the_clock_says(tmp_path: Path) -> None:
    """Set back in between, or another machine's that is ahead; a damaged record beside it is not this run's matter."""
    workspace = Workspace(tmp_path)
    ahead = "2999-12-31T23:59:59.999999+00:00"
    for number in range(3):
        name = finish(workspace, key={**KEY, "seed": number})
        assert workspace.latest("gans").name == name  # type: ignore[union-attr]
        file = tmp_path / "gans" / name / "record.json"
        if number == 0:
            write_json(file, {**json.loads(file.read_text()), "finished": ahead})
    assert json.loads(file.read_text())["finished"] == "3000-01-01T00:00:00.000001+00:00"
    file.write_text("{")
    finish(workspace, key={**KEY, "seed": 3})


def test_a_run_that_is_asked_for_again_is_the_newest(tmp_path: Path) -> None:
    """What the last command named is what the next one takes, also where it was there already."""
    workspace = Workspace(tmp_path)
    first, second = finish(workspace, key={**KEY, "seed": 9}), finish(workspace, key={**KEY, "seed": 1})
    made, newer = (workspace.find("gans", name).record for name in (first, second))
    with workspace.run("gans", "dcgan", {**KEY, "seed": 1}).work("test"):
        assert workspace.find("gans", second).record == newer  # it was the newest
    with workspace.run("gans", "dcgan", {**KEY, "seed": 9}).work("test") as record:
        assert record == made
    assert [run.name for run in workspace.runs("gans")] == [second, first]
    newest = workspace.latest("gans")
    assert newest is not None
    assert {**newest.record, "asked": ""} == {**made, "asked": ""}


def test_find_by_beginning(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    name = finish(workspace)
    assert workspace.find("gans", name[:-2]).name == name
    finish(workspace, key={**KEY, "seed": 1})
    with pytest.raises(WorkspaceError, match="fits 2"):
        workspace.find("gans", "dcgan")
    with pytest.raises(WorkspaceError, match="Did you mean"):
        workspace.find("gans", name[:-1] + "~")
    with pytest.raises(WorkspaceError, match="no finished reports yet"):
        workspace.find("reports", "x")


def hold(root: Path, held: Event, release: Event) -> None:
    run = Workspace(root).run("gans", "dcgan", KEY)
    with run.work("test"):
        held.set()
        release.wait(20)
        run.finish(digest="theirs", figures={})


def test_a_second_process_waits_and_finds_the_work_done(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(20)
    context.Process(target=_set_later, args=(release,)).start()
    with Workspace(tmp_path).run("gans", "dcgan", KEY).work("test") as record:
        assert record["digest"] == "theirs"
    other.join(20)
    assert "another ganfer process is at work on it" in capfd.readouterr().err


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_run_that_the_starting_process_holds_is_refused_and_one_of_that_number_elsewhere_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    fcntl = pytest.importorskip("fcntl")
    run = Workspace(tmp_path).run("gans", "dcgan", KEY)
    with run.work("test"):
        mine, host = (run.path / ".holder").read_text().split(maxsplit=1)
    assert int(mine) == os.getpid()
    (run.path / ".holder").write_text(f"{os.getppid()} {host}{'-2' * elsewhere}")
    with (run.path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        monkeypatch.setattr("ganfer.workspace.say", lambda text: fcntl.flock(lock, fcntl.LOCK_UN))
        refused = nullcontext() if elsewhere else pytest.raises(WorkspaceError, match="would wait for ever")
        with refused, run.work("test"):
            pass


def _set_later(event: Event) -> None:
    time.sleep(0.5)
    event.set()


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    run = Workspace(tmp_path).run("gans", "dcgan", KEY)
    run.path.mkdir(parents=True)
    (run.path / "record.json").write_text("{")
    with pytest.raises(WorkspaceError, match=r"record.json is damaged .* Remove"):
        _ = run.record


def test_a_newer_workspace_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "workspace.json", {"format": FORMAT + 1})
    with pytest.raises(WorkspaceError, match="newer ganfer"):
        Workspace(tmp_path)


def test_a_file_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace(tmp_path / "file")


def test_the_users_folder_is_meant_by_its_sign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace("~/work").root == tmp_path / "work"
    assert Workspace("work~").root == Path("work~")


def test_a_name_that_is_no_utf_8_is_no_workspace() -> None:
    """The weights of a network are not read by such a path."""
    with pytest.raises(WorkspaceError, match="cannot be a workspace: its name is no UTF-8 text"):
        Workspace(os.fsdecode(b"w\xff"))


def test_the_environment_names_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFER_WORKSPACE", str(tmp_path / "here"))
    assert Workspace().root == tmp_path / "here"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    write_csv(file, ["a"], [{"a": 1}])
    before = file.read_bytes()
    with pytest.raises(ValueError, match=r"no columns \['b'\]"):
        write_csv(file, ["a"], [{"a": 1}, {"b": 2}])
    assert file.read_bytes() == before
    with pytest.raises(OSError, match="No space"), atomic_path(file) as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_nan_does_not_go_into_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_digests_ignore_the_order_of_keys() -> None:
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json(json.loads('{"b": [1, 2], "a": 1}'))


def test_a_full_disk_is_named_from_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Workspace(tmp_path).run("data", "x", {"config": {}})

    def full(path: Path, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left") as caught, run.work("data add"):
        pass
    assert caught.value.filename == str(run.path)
