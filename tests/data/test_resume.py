"""A long import goes on from its checkpoint, to the very set that an uninterrupted one gives."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from making_sources import png, tarred
from tiny import tree

from ganfer.config import load_config
from ganfer.data import checkpoint
from ganfer.data.imageset import read_set
from ganfer.data.ingest import add
from ganfer.data.writer import SetWriter
from ganfer.results import Result
from ganfer.workspace import Workspace

ROOT = Path(__file__).parents[2]
FILES = {f"{name}/{i}.png": png(i + 100 * k) for k, name in enumerate(("happy", "sad")) for i in range(300)}
FILES |= {"happy/7.png": b"no image", "notes.txt": b"text", "sad/9.png": b"", "sad/late.mp4": b"film"}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr("ganfer.data.decode_many.CHUNK_IMAGES", 64)


def added(path: Path, root: str, **options: object) -> Result:
    config = load_config(overrides={"data.size": 20, "data.workers": 1})
    return add(Workspace(root), config, path, **options)  # type: ignore[arg-type]


def interrupt_after(monkeypatch: pytest.MonkeyPatch, chunks: int, error: BaseException) -> None:
    append, count = SetWriter.append, []

    def interrupted(writer: SetWriter, *given: object) -> None:
        count.append(1)
        if len(count) > chunks:
            raise error
        append(writer, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(SetWriter, "append", interrupted)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, os.strerror(28))])
@pytest.mark.parametrize("merge", [False, True])
def test_what_was_interrupted_goes_on(error, merge, tmp_path, monkeypatch, capsys):
    source = tarred(tmp_path / "faces.tar", FILES)
    for root in ("whole", "w") if merge else ():
        added(
            tarred(
                tmp_path / "first.tar",
                {f"{name}/{i}.png": png(i + 900) for name in ("happy", "fear") for i in range(20)},
            ),
            root,
        )
    whole = added(source, "whole", merge=merge)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4, error)
        with pytest.raises(type(error)):
            added(source, "w", merge=merge)
    left = next(iter(Path("w").glob("data/*/.unfinished")))
    for name, half in (("images.npy", b"half an image"), ("names.jsonl", b'["half a na'), ("skipped.csv", b"half,")):
        with (left / name).open("ab") as file:  # as a kill between two checkpoints leaves it
            file.write(half)
    decoded = []
    append = SetWriter.append
    monkeypatch.setattr(
        SetWriter, "append", lambda self, pixels, rows: (decoded.append(len(rows)), append(self, pixels, rows))[1]
    )
    again = added(source, "w", merge=merge)
    assert "Going on after" in capsys.readouterr().err
    assert sum(decoded) < 500
    assert not left.exists()
    figures = [{k: v for k, v in each.figures.items() if k not in ("seconds", "reading")} for each in (again, whole)]
    assert figures[0] == figures[1]
    assert read_set(again.path).digest == read_set(whole.path).digest
    names = ("images.npy", "table.csv", "skipped.csv")
    assert [tree(again.path)[name] for name in names] == [tree(whole.path)[name] for name in names]


def test_killed_it_goes_on(tmp_path):
    source = tarred(tmp_path / "faces.tar", FILES)
    whole = added(source, "whole")
    code = f"""
import sys, time
from pathlib import Path
from ganfer.config import load_config
from ganfer.data import checkpoint, decode_many, ingest, writer
from ganfer.workspace import Workspace
checkpoint.SECONDS = 0.0
decode_many.CHUNK_IMAGES = 64
append = writer.SetWriter.append
writer.SetWriter.append = lambda self, *given: (time.sleep(0.1), append(self, *given))[1]
ingest.add(Workspace("w"), load_config(overrides={{"data.size": 20, "data.workers": 1}}), Path({str(source)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 120
    while not list(Path("w").glob("data/*/.unfinished/checkpoint.json")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = added(source, "w")
    assert read_set(again.path).digest == read_set(whole.path).digest
    assert tree(again.path)["skipped.csv"] == tree(whole.path)["skipped.csv"]


@pytest.mark.parametrize("damage", ["text", "version", "short"])
def test_a_checkpoint_that_is_not_whole_is_not_used(damage, tmp_path, monkeypatch, capsys):
    source = tarred(tmp_path / "faces.tar", FILES)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            added(source, "w")
    left = next(iter(Path("w").glob("data/*/.unfinished")))
    if damage == "text":
        (left / "checkpoint.json").write_text("{")
    elif damage == "short":
        os.truncate(left / "images.npy", 1000)
    else:
        state = (left / "checkpoint.json").read_text()
        (left / "checkpoint.json").write_text(state.replace('"ganfer": "', '"ganfer": "9'))
    assert added(source, "w").figures["images"] == 598
    assert "Going on" not in capsys.readouterr().err


def test_a_short_import_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 20.0)
    interrupt_after(monkeypatch, 4, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        added(tarred(tmp_path / "faces.tar", FILES), "w")
    assert not list(Path("w").glob("data/*/.unfinished"))
