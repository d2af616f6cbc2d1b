"""Archives from anywhere: what leads out, links or lies is refused; bombs, locks and damage end with one line."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from making_sources import classes, packed, png, tarred, zipped

from ganfer.data.sources import open_source, tars, trees
from ganfer.data.sources.items import Item, Refused
from ganfer.errors import DataError

GOOD = classes("happy sad", 2)


def read(path: Path) -> tuple[list[str], dict[str, str]]:
    everything = list(open_source(path).items())
    items = [item.id for item in everything if isinstance(item, Item)]
    return items, {item.id: item.reason for item in everything if isinstance(item, Refused)}


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    tarred(path, GOOD)
    with tarfile.open(path, "a") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(png(1)) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.size = len(png(1)) if kind == tarfile.REGTYPE else 0
    return info


HOSTILE = {
    "../../happy/escape.png": ("path leads out of the archive", tarfile.REGTYPE),
    "/happy/absolute.png": ("absolute path in the archive", tarfile.REGTYPE),
    "happy/soft.png": ("a link in the archive", tarfile.SYMTYPE),
    "happy/hard.png": ("a link in the archive", tarfile.LNKTYPE),
    "happy/device.png": ("a special file in the archive", tarfile.CHRTYPE),
    "happy/pipe.png": ("a special file in the archive", tarfile.FIFOTYPE),
}


def test_a_tar_with_hostile_members_gives_only_its_plain_files(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "x.tar", *(member(name, kind, "/etc/passwd") for name, (_, kind) in HOSTILE.items()))
    items, refused = read(path)
    assert sorted(items) == sorted(GOOD)
    assert refused == {name: reason for name, (reason, _) in HOSTILE.items()}
    assert sorted(tmp_path.iterdir()) == [path]  # and nothing was written anywhere


def test_a_zip_with_hostile_members_gives_only_its_plain_files(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", GOOD)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../happy/escape.png", png(1))
        archive.writestr("/happy/absolute.png", png(1))
        archive.writestr("C:/happy/drive.png", png(1))
        link = zipfile.ZipInfo("happy/link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    items, refused = read(path)
    assert sorted(items) == sorted(GOOD)
    assert set(refused.values()) == {
        "path leads out of the archive", "absolute path in the archive", "a link in the archive",
    }  # fmt: skip
    assert len(refused) == 4


@pytest.mark.parametrize("form", ["tar.gz", "tar.xz", "tar.bz2", "zip"])
def test_a_bomb_is_stopped_by_its_ratio(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "RATIO_FROM_BYTES", 2**20)
    monkeypatch.setattr(tars, "RATIO_FROM_BYTES", 2**20)
    path = packed(form, tmp_path, GOOD | {"happy/z.png": bytes(12 * 2**20)})
    with pytest.raises(DataError, match="a decompression bomb"):
        read(path)


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_a_member_beyond_the_absolute_limit_is_refused(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MAX_FILE_BYTES", 10_000)
    monkeypatch.setattr(tars, "MAX_FILE_BYTES", 10_000)
    items, refused = read(packed(form, tmp_path, GOOD | {"happy/z.png": bytes(20_000)}))
    assert len(items) == len(GOOD)
    assert list(refused) == ["happy/z.png"]


def test_a_tar_member_that_claims_more_than_there_is_ends_at_once(tmp_path: Path) -> None:
    info = member("happy/z.png")
    path = tarred(tmp_path / "x.tar", GOOD)
    info.size = 2**60
    with path.open("r+b") as file:  # a header of its own in place of the end mark, and no content
        file.seek(sum(512 + -(-len(data) // 512) * 512 for data in GOOD.values()))
        file.write(info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(DataError, match="a member is longer than the archive"):
        read(path)


def test_a_zip_directory_that_lies_about_a_size(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", GOOD)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    real = struct.unpack_from("<I", data, at + 24)[0]
    struct.pack_into("<I", data, at + 24, real - 10)
    path.write_bytes(bytes(data))
    items, refused = read(path)
    assert len(items) == len(GOOD) - 1
    assert len(refused) == 1


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", GOOD)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="is encrypted"):
        read(path)


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.xz", "tar.bz2"])
@pytest.mark.parametrize("share", [0.5, 0.97])
def test_a_tar_cut_off_in_the_middle(form: str, share: float, tmp_path: Path) -> None:
    path = packed(form, tmp_path, classes("happy sad", 60))
    data = path.read_bytes()
    end = data.rstrip(b"\0") if form == "tar" else data
    path.write_bytes(data[: int(len(end) * share)])
    with pytest.raises(DataError, match="damaged"):
        read(path)


@pytest.mark.parametrize("form", ["tar.gz", "tar.xz", "tar.bz2"])
def test_a_tar_with_a_flipped_bit(form: str, tmp_path: Path) -> None:
    path = packed(form, tmp_path, classes("happy sad", 60))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="damaged"):
        read(path)


def test_a_damaged_zip_member_is_refused_and_the_rest_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", GOOD)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 0xFF
    path.write_bytes(bytes(data))
    items, refused = read(path)
    assert len(items) == len(GOOD) - 1
    assert [reason.partition(" (")[0] for reason in refused.values()] == ["damaged in the archive"]


def test_a_cut_off_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", GOOD)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="not a whole zip"):
        read(path)


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.zip"])
def test_an_archive_in_name_only(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"this is no archive" * 100)
    with pytest.raises(DataError, match=name):
        read(tmp_path / name)


def test_an_empty_zip(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        read(zipped(tmp_path / "x.zip", {}))


def test_a_name_twice_in_a_tar_gives_two_items(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "x.tar", member("happy/0.png"))
    assert sorted(read(path)[0]).count("happy/0.png") == 2
