"""What does not fit on the disk is refused before anything is drawn, read or trained."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ganfer.cli.main import cli
from ganfer.config import load_config
from ganfer.data.provenance import encode_png
from ganfer.errors import GanferError
from ganfer.generate.room import face_bytes, need_room_for
from ganfer.live.sources import find_sources
from ganfer.runtime.room import in_words, need_room


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A disk with 1 MB and 100 files left."""
    facts = SimpleNamespace(f_blocks=9000, f_bavail=250, f_frsize=4000, f_files=1000, f_favail=100)
    monkeypatch.setattr(os, "statvfs", lambda path: facts)
    return facts


def test_the_line_says_how_much_is_free_and_where(disk: SimpleNamespace, tmp_path: Path) -> None:
    need_room(tmp_path / "not" / "there", 1_000_000, "This", "Do that.", num_files=100)
    with pytest.raises(GanferError, match=f"This takes about 1 MB, and 1 MB are free in {tmp_path}. Do that."):
        need_room(tmp_path / "not" / "there", 1_000_001, "This", "Do that.")
    with pytest.raises(GanferError, match="This takes 101 files, and the disk of .* holds 100 more"):
        need_room(tmp_path, 1, "This", "Do that.", num_files=101)
    disk.f_files = disk.f_favail = 0  # a file system that does not count them
    need_room(tmp_path, 1, "This", "Do that.", num_files=10**9)
    disk.f_blocks = disk.f_bavail = 0  # nor its blocks
    need_room(tmp_path, 10**15, "This", "Do that.")


def test_bytes_in_words() -> None:
    assert [in_words(n) for n in (0, 999, 1500, 123_456, 8.8e12, 3e21)] == [
        "0 bytes", "999 bytes", "1.5 kB", "123 kB", "8.8 TB", "3,000 EB",
    ]  # fmt: skip


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (48, 1), (64, 3), (256, 3)])
def test_the_estimate_is_near_what_faces_take_and_not_above_it(size: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (channels, 8, 8)), np.ones((size // 8, size // 8)))
    image = np.clip(smooth + rng.normal(0, 4, (channels, size, size)), 0, 255).astype(np.uint8)
    taken = len(encode_png(image, {"seed": 1, "class": "happy", "generator": "0" * 64, "device": "cpu"}))
    for form in ("png", "webdataset"):
        about = face_bytes(size, channels, load_config(overrides={"generate.format": form}))
        assert 0.25 * taken < about <= (-(-taken // 4096) * 4096 if form == "png" else taken + 2048) + 100


def test_an_interrupted_batch_needs_room_for_the_rest_only(disk: SimpleNamespace, tmp_path: Path) -> None:
    need_room_for(tmp_path, 100, 16, 1, load_config())
    with pytest.raises(GanferError, match="101 faces of 1 x 16 x 16 pixels takes 101 files|faces"):
        need_room_for(tmp_path, 101, 16, 1, load_config())


LINES = {
    "generate --n 1000000": "1,000,000 faces of 1 x 32 x 32 pixels",
    "generate --n 1000000 --format webdataset": "1,000,000 faces",
    "generate --n 1000000 --dry-run": "1,000,000 faces",
    "generate --class happy=9999999": "free in",
    "generate --set gan.conditional=false --seeds 0-99999": "100,000 faces",
    "predict photo.bmp": "The annotated copies",
    "data add classes --size 1024": "4 images of 1 x 1024 x 1024 pixels",
}


@pytest.mark.parametrize("line", LINES)
def test_nothing_is_begun_that_does_not_fit(line: str, disk: SimpleNamespace) -> None:
    disk.f_bavail = 2  # 8 kB
    Image.fromarray(np.zeros((800, 800, 3), np.uint8)).save("photo.bmp")
    for number, name in enumerate(("happy", "sad", "happy", "sad")):
        Path("classes", name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (48, 48), number).save(f"classes/{name}/{number}.png")
    with pytest.raises(GanferError, match=LINES[line]) as failure:
        CliRunner().invoke(cli, [*line.split(), "-w", "work", "--device", "cpu"], catch_exceptions=False)
    assert "\n" not in str(failure.value)
    assert not list(Path("work").rglob("*.np*"))


def test_a_film_that_claims_a_billion_frames_is_taken_by_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0" * 5000)
    capture: Any = SimpleNamespace(get=lambda fact: 9e8, release=lambda: None)
    monkeypatch.setattr("ganfer.live.sources.open_capture", lambda place, name: capture)
    (source,) = find_sources([str(film)])
    assert source.copy_bytes() == 5000
    monkeypatch.undo()
    assert source.copy_bytes() == 0  # damaged: reading it says so
