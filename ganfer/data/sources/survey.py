"""One look over a source's file names: enough to tell its layout, at constant memory."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ganfer.data.names import EXPRESSIONS, canonical

# Extensions of what Pillow reads as pixels; EPS and the like are programs, not images.
_FORMATS = """
    jpg jpeg jpe jfif png apng bmp dib gif tif tiff webp ppm pgm pbm pnm tga pcx jp2 j2k jpx avif ico sgi rgb mpo dds
    icns msp xbm im fits qoi
"""
IMAGE_SUFFIXES = frozenset(f".{name}" for name in _FORMATS.split())
LABEL_SUFFIXES = frozenset((".csv", ".jsonl", ".lst", ".txt"))

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training", "train_set", "training_set"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "val_set", "validation_set"), "val"),
    **dict.fromkeys(("publictest", "public_test"), "val"),
    **dict.fromkeys(("test", "testing", "test_set", "privatetest", "private_test"), "test"),
}

CK_NAME = re.compile(r"(?P<subject>S\d{3})_\d{3}_\d{8}\.\w+")
RAF_NAME = re.compile(r"(?P<split>train|test)_(?P<number>\d{4,})(_aligned)?\.\w+")
_KEPT_NAMES = 1000


@dataclass
class Survey:
    """What the names say.

    depths: images by the number of folders above them. ck_names, raf_names: images named like those sets'. in_classes:
    images below a folder named like an expression. exp_arrays: AffectNet's labels. label_files: names, at most 1,000.
    """

    images: int = 0
    files: int = 0
    depths: Counter[int] = field(default_factory=Counter)
    ck_names: int = 0
    raf_names: int = 0
    in_classes: int = 0
    exp_arrays: int = 0
    label_files: list[str] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        """Whether a label file of one of these names (lower case, without folders) is there."""
        return any(PurePosixPath(path).name.lower() in names for path in self.label_files)

    @property
    def depth(self) -> int:
        """Folders above most images."""
        return self.depths.most_common(1)[0][0] if self.depths else 0


def is_image(name: str) -> bool:
    """Whether a file's name ends like an image's."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def split_of(name: str) -> str:
    """The split that a folder of the path names; "" where none does."""
    found = [SPLIT_FOLDERS[part.lower()] for part in name.split("/")[:-1] if part.lower() in SPLIT_FOLDERS]
    return found[-1] if found else ""


def survey(names: Iterable[str]) -> Survey:
    """Count what tells layouts apart."""
    seen = Survey()
    for name in names:
        seen.files += 1
        *folders, base = name.split("/")
        if is_image(base):
            seen.images += 1
            seen.depths[len(folders)] += 1
            seen.ck_names += CK_NAME.fullmatch(base) is not None
            seen.raf_names += RAF_NAME.fullmatch(base) is not None
            seen.in_classes += any(canonical(folder) in EXPRESSIONS for folder in folders)
        elif base.endswith("_exp.npy"):
            seen.exp_arrays += 1
        elif PurePosixPath(base).suffix.lower() in LABEL_SUFFIXES and len(seen.label_files) < _KEPT_NAMES:
            seen.label_files.append(name)
    return seen
