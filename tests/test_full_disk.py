"""A disk that is really full: a small file system in memory, where this machine lets one be mounted."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganfer.errors import GanferError
from ganfer.runtime.files import atomic_path, write_npy_parts
from ganfer.runtime.room import need_room

KILOBYTES = 512


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    mount = shutil.which("mount")
    if not sys.platform.startswith("linux") or mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system, on Linux")
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={KILOBYTES}k", "tmpfs", str(place)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"this machine mounts no file system: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


MAPPED = """
import sys, numpy as np
from ganfer.runtime.files import create_npy
how, path = sys.argv[1:]
try:
    if how == "ours":
        create_npy(__import__("pathlib").Path(path), (1000, 1024), np.uint8)
    else:
        np.lib.format.open_memmap(path, "w+", np.uint8, (1000, 1024))[:] = 1
except OSError as error:
    print("refused", error.errno)
"""


def test_a_mapped_array_is_refused_where_a_sparse_file_ends_the_process(disk: Path) -> None:
    def run(how: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", MAPPED, how, str(disk / f"{how}.npy")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        (disk / f"{how}.npy").unlink()
        return done

    assert run("numpy's").returncode == -signal.SIGBUS  # so this disk is full in earnest
    ours = run("ours")
    assert (ours.returncode, ours.stdout) == (0, "refused 28\n")


def test_what_does_not_fit_leaves_nothing_and_names_the_file(disk: Path) -> None:
    file = disk / "runs" / "features.npy"
    parts = (np.ones((100, 1024), np.uint8) for _ in range(10))
    with pytest.raises(OSError, match="No space left") as error, atomic_path(file) as temporary:
        write_npy_parts(temporary, (1000, 1024), np.uint8, parts)
    assert error.value.filename == str(file)
    assert list(file.parent.iterdir()) == []
    need_room(disk, 1000 * (KILOBYTES - 10), "This", "")
    with pytest.raises(GanferError, match=f"are free in {disk}"):
        need_room(disk / "not" / "there", 1025 * KILOBYTES, "This", "Free space.")


def test_an_import_onto_a_full_disk_is_one_line_and_goes_on_when_there_is_room(disk: Path, tmp_path: Path) -> None:
    archive = tmp_path / "faces.tar"  # whose number of images nobody knows before
    rng = np.random.default_rng(0)
    with tarfile.open(archive, "w") as tar:
        for number in range(40):
            out = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (20, 20), np.uint8)).save(out, "PNG")
            entry = tarfile.TarInfo(f"{'happy' if number % 2 else 'sad'}/{number}.png")
            entry.size = len(out.getvalue())
            tar.addfile(entry, io.BytesIO(out.getvalue()))
    work = disk / "work"

    def add() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ganfer", "data", "add", str(archive), "-w", str(work), "--size", "128"]
        return subprocess.run([*command, "--workers", "1"], capture_output=True, text=True, timeout=120)

    failed = add()
    assert failed.returncode == 1, failed.stderr
    last = failed.stderr.strip().splitlines()[-1]
    assert last.startswith("ganfer: No space left on the disk")
    assert str(work) in last
    assert not [file for file in work.rglob("*.npy") if file.parent.name != ".unfinished"]
    assert subprocess.run(["mount", "-o", "remount,size=8m", str(disk)]).returncode == 0
    whole = add()
    assert whole.returncode == 0, whole.stderr
    assert [path.name for path in work.rglob("*.npy")] == ["images.npy"]
