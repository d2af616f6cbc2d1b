"""How much disk a batch of faces takes, about."""

from pathlib import Path

from ganfer.config import Config
from ganfer.data.imageset import read_set
from ganfer.runtime.room import BLOCK, need_room
from ganfer.workspace import Workspace

_PACKED = 0.4  # of the pixels' bytes: what a PNG of a face has, rather less than most
_TEXT = 900  # bytes of a PNG's own and its text chunks
_ROW = 100  # bytes of metadata.csv
_TAR_BLOCK = 512


def face_bytes(size: int, channels: int, config: Config) -> int:
    """What one face takes on the disk: a file of whole blocks, its part of a tar shard, or a row of Parquet."""
    content = _PACKED * channels * size * size + _TEXT
    if config.generate.format == "webdataset":
        return _rounded(content, _TAR_BLOCK) + 2 * _TAR_BLOCK + _ROW  # two headers, without the short JSON
    if config.generate.format == "parquet":
        return int(content) + 2 * _ROW
    return _rounded(content, BLOCK) + _ROW


def need_room_for(folder: Path, count: int, size: int, channels: int, config: Config) -> None:
    """GanferError where the disk of the folder has no room for so many faces more."""
    apart = config.generate.format == "png"
    need_room(
        folder,
        count * face_bytes(size, channels, config),
        f"{count:,} faces of {channels} x {size} x {size} pixels",
        "Ask for fewer, free space, or choose a workspace on another disk with -w DIR.",
        num_files=count if apart else 0,
    )


def check_room(workspace: Workspace, config: Config, count: int) -> None:
    """GanferError where so many faces do not fit, before a GAN is trained to draw them."""
    data = workspace.active_data
    shape = (config.data.size, config.data.channels)
    if data is not None:
        images = read_set(data.path)
        shape = (images.size, images.channels)
    need_room_for(workspace.root / "synthetic", count, *shape, config)


def already(folder: Path) -> int:
    """Faces that an earlier, interrupted call has left in a batch's folder."""
    images = folder / "images"
    return sum(1 for name in images.iterdir() if name.suffix == ".png") if images.is_dir() else 0


def _rounded(num_bytes: float, block: int) -> int:
    return -(-int(num_bytes) // block) * block
