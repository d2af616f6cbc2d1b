"""One look over a source's file names: enough to tell its layout and to plan its reading; a count per folder."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import PurePosixPath

from ganfer.data.names import EXPRESSIONS, canonical
from ganfer.data.sources.codes import coded_by
from ganfer.data.sources.trees import WORKSPACE, is_tar
from ganfer.data.sources.words import expression_in, split_word

# Extensions of what Pillow reads as pixels; EPS and the like are programs, not images.
_FORMATS = """
    jpg jpeg jpe jfif png apng bmp dib gif tif tiff webp ppm pgm pbm pnm tga pcx jp2 j2k jpx avif ico sgi rgb mpo dds
    icns msp xbm im fits qoi
"""
IMAGE_SUFFIXES = frozenset(f".{name}" for name in _FORMATS.split())
HEIF_SUFFIXES = frozenset((".heic", ".heif", ".hif"))
_CAMERA = "jxl dng cr2 cr3 nef arw raf orf rw2 pef srw psd svg mp4 mov avi mkv webm"
_CAMERA_SUFFIXES = frozenset(f".{name}" for name in _CAMERA.split())
TABLE_SUFFIXES = frozenset((".csv", ".tsv", ".jsonl", ".json", ".lst", ".xlsx", ".xls", ".parquet", ".mat", ".npy"))
ARCHIVE_SUFFIXES = frozenset((".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".xz", ".txz", ".bz2", ".tbz2", ".zst"))
_ARCHIVE_PART = re.compile(r"\.(\d{3}|[rz]\d\d)")
_TABLES_OF_IMAGES = frozenset((".parquet", ".arrow", ".tfrecord", ".h5", ".hdf5", ".npz", ".pkl"))
LABEL_SUFFIXES = frozenset((".csv", ".jsonl", ".lst", ".txt"))
DATASET_JSON = "dataset.json"

CK_NAME = re.compile(r"(?P<subject>S\d{3})_\d{3}_\d{8}\.\w+")
CK_LABEL = re.compile(r"S\d{3}_\d{3}_\d{8}_emotion\.txt")
RAF_NAME = re.compile(r"(?P<split>train|test)_(?P<number>\d{4,})(_aligned)?\.\w+")
_SPLIT_NAME = re.compile(
    r"(publictest|privatetest|train|training|val|valid|validation|test|testing|dev)[_\-. ]?\d", re.IGNORECASE
)
_KEPT_NAMES = 1000


@dataclass
class Survey:
    """What the names say.

    folders: images by folder, those of a format that cannot be read with 0. ck_names, raf_names: images named like
    those sets'; coded: images by the set whose names tell the expression. emotion_files: CK+'s labels. in_classes:
    images below a folder named like an expression. exp_arrays: AffectNet's labels. label_files: names, at most 1,000.
    parquet, tars: all of them. sample_labels, sample_json: files like KEY.cls and KEY.json, which WebDataset has beside
    an image. workspaces: files that may mark a workspace of ganfer's. packed: archives inside and Parquet files, at
    most 1,000.
    named: expressions that images of a folder are named after (`happy_01.png`), with their number. split_names: images
    whose own name begins with a split (`train_01.png`), by split, and split_example one of them.
    """

    images: int = 0
    files: int = 0
    folders: Counter[str] = field(default_factory=Counter)
    ck_names: int = 0
    raf_names: int = 0
    coded: Counter[str] = field(default_factory=Counter)
    emotion_files: int = 0
    in_classes: int = 0
    exp_arrays: int = 0
    label_files: list[str] = field(default_factory=list)
    parquet: list[str] = field(default_factory=list)
    tars: list[str] = field(default_factory=list)
    sample_labels: int = 0
    sample_json: int = 0
    workspaces: list[str] = field(default_factory=list)
    packed: list[str] = field(default_factory=list)
    named: dict[str, Counter[str]] = field(default_factory=dict)
    split_names: Counter[str] = field(default_factory=Counter)
    split_example: str = ""

    def has(self, *names: str) -> bool:
        """Whether a label file of one of these names (lower case, without folders) is there."""
        return any(base(path).lower() in names for path in self.label_files)

    @property
    def named_apart(self) -> int:
        """Images named like expressions, in folders that hold more than one of them."""
        return sum(found.total() for found in self.named.values() if len(found) > 1)

    @property
    def in_folders(self) -> int:
        """Images that lie in some folder of the source."""
        return self.images - self.folders.get("", 0)


def base(name: str) -> str:
    """A path's last part."""
    return name.rpartition("/")[2]


@cache
def _readable() -> frozenset[str]:
    """Extensions that this installation reads: HEIC with the extra `heif`, AVIF where Pillow has it built in."""
    from PIL import features

    heif = HEIF_SUFFIXES if find_spec("pillow_heif") else frozenset[str]()
    return (IMAGE_SUFFIXES if features.check("avif") else IMAGE_SUFFIXES - {".avif"}) | heif


def is_image(name: str) -> bool:
    """Whether a file's name ends like that of an image that can be read here."""
    return PurePosixPath(name).suffix.lower() in _readable()


def unreadable_picture(name: str) -> str:
    """Why a picture of another format cannot be read; "" for a file that is no picture."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in HEIF_SUFFIXES and not is_image(name):
        return "HEIC cannot be read (pip install 'ganfer[heif]', or save it as JPEG)"
    if suffix == ".avif" and not is_image(name):
        return "AVIF cannot be read (install Pillow 11.3 or newer)"
    return f"{suffix[1:].upper()} cannot be read (save it as JPEG or PNG)" if suffix in _CAMERA_SUFFIXES else ""


def looks_like_picture(name: str) -> bool:
    """Whether a file is an image, or a picture of a format that cannot be read here."""
    return is_image(name) or bool(unreadable_picture(name))


def split_of(name: str) -> str:
    """The split that a folder of the path names, the innermost first; "" where none does."""
    found = [split for part in name.split("/")[:-1] if (split := split_word(part))]
    return found[-1] if found else ""


def survey(names: Iterable[str]) -> Survey:
    """Count what tells layouts apart."""
    seen = Survey()
    for name in names:
        seen.files += 1
        folder, _, last = name.rpartition("/")
        if is_image(last):
            seen.images += 1
            seen.folders[folder] += 1
            seen.ck_names += CK_NAME.fullmatch(last) is not None
            _by_own_name(seen, name, folder, last)
            seen.raf_names += RAF_NAME.fullmatch(last) is not None
            kind = coded_by(last)
            if kind:
                seen.coded[kind] += 1
        elif last.endswith("_exp.npy"):
            seen.exp_arrays += 1
        elif last == WORKSPACE:
            seen.workspaces.append(name)
        elif last.endswith((".cls", ".CLS")):
            seen.sample_labels += 1
        elif is_packed(last):
            if last.lower().endswith(".parquet"):
                seen.parquet.append(name)
            if is_tar(last):
                seen.tars.append(name)
            seen.packed += [name] * (len(seen.packed) < _KEPT_NAMES)
        elif unreadable_picture(last):
            seen.folders[folder] += 0
        elif CK_LABEL.fullmatch(last):
            seen.emotion_files += 1
        elif last.endswith(".json") and last != DATASET_JSON:
            seen.sample_json += 1
        elif _may_label(last) and len(seen.label_files) < _KEPT_NAMES:
            seen.label_files.append(name)
    named = {folder: any(map(expression_in, folder.split("/"))) for folder in seen.folders}
    seen.in_classes = sum(count for folder, count in seen.folders.items() if named[folder])
    return seen


def _by_own_name(seen: Survey, name: str, folder: str, last: str) -> None:
    expression = canonical(last.rpartition(".")[0].strip("0123456789_-. ()"))
    if expression in EXPRESSIONS:
        seen.named.setdefault(folder, Counter())[expression] += 1
    begins = _SPLIT_NAME.match(last)
    if begins and not split_of(name):
        seen.split_names[split_word(begins[1])] += 1
        seen.split_example = seen.split_example or name


def is_archive(last: str) -> bool:
    """Whether a file's name ends like an archive's, or like a part of one (`origin.7z.001`)."""
    suffix = PurePosixPath(last).suffix.lower()
    return suffix in ARCHIVE_SUFFIXES or _ARCHIVE_PART.fullmatch(suffix) is not None


def is_packed(last: str) -> bool:
    """An archive, or a table that holds images."""
    return is_archive(last) or PurePosixPath(last).suffix.lower() in _TABLES_OF_IMAGES


def _may_label(last: str) -> bool:
    return PurePosixPath(last).suffix.lower() in LABEL_SUFFIXES or last.lower() == DATASET_JSON
