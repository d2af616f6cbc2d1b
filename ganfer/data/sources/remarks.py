"""What is said of a source beside its plan: why there is nothing to read, and what of it stays outside the set."""

from collections.abc import Iterable
from pathlib import Path

from ganfer.data.sources.items import Refused
from ganfer.data.sources.survey import Survey, base, looks_like_picture
from ganfer.data.sources.trees import LINK
from ganfer.data.sources.watched import ARCHIVE, UNREAD_TABLE
from ganfer.data.sources.words import split_and_rest

_SHOWN = 5  # files that a note names


def said_of(refused: Refused) -> str:
    """What the result says of files left out for such a reason, beside listing them; "" for nothing."""
    stem = base(refused.id).partition(".")[0]
    if refused.reason == UNREAD_TABLE:
        return "Not read: {}."
    if refused.reason == ARCHIVE:
        return "Not unpacked: {}. What is in there is not in the set; unpack it and add anew."
    if refused.reason == LINK and looks_like_picture(refused.id):
        return "Links in the archive, left out: {}. Unpack it and add the folder to have them."
    if refused.id.lower().endswith((".txt", ".lst")) and split_and_rest(stem)[0]:
        return "Not read: {}. If they list the splits, these are not kept; move the images into train/, val/ and test/."
    return ""


def some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def nothing(path: Path, seen: Survey, kinds: Iterable[str]) -> tuple[str, str]:
    """Problem and remedy where no layout fits. kinds: the layouts' names."""
    if 2 * seen.named_apart > seen.images:
        return named_files(path, seen)
    if seen.images:
        return (
            f"{path} holds {seen.images:,} images but no classes: they lie in no folder, and no label file names them.",
            "Put each class's images into a folder named after it, e.g. happy/, or write a metadata.csv.",
        )
    if seen.folders:
        return f"{path} holds pictures, but none that can be read here.", "Save them as JPEG or PNG."
    if seen.packed:
        return (
            f"{path} holds no images, but packed files that are not opened here ({some(seen.packed)}).",
            "Unpack them into one folder and add that; of Parquet and the like, save the images into class folders.",
        )
    tables = [name for name in seen.label_files if name.lower().endswith(".csv")]
    if tables:
        return (
            f"{path} holds no images, and CSV files that no layout names ({', '.join(tables[:_SHOWN])}).",
            "Give the one that holds the faces (emotion, pixels) as PATH.",
        )
    if seen.files:
        return f"{path} holds {seen.files:,} files but no image ganfer knows.", "Known layouts: " + "; ".join(
            kinds
        ) + "."
    return f"{path} is empty.", "Give a folder, zip, tar or CSV with labelled face images."


def split_names(seen: Survey) -> list[str]:
    """A line of the plan where files, and no folders, are named after several splits."""
    if len(seen.split_names) < 2 or 2 * seen.split_names.total() < seen.images:
        return []
    counts = ", ".join(f"{count:,} {split}" for split, count in sorted(seen.split_names.items()))
    return [
        f"no split: names of files say one ({counts}; {seen.split_example}), which is not used; to keep it, move the "
        "images into train/, val/ and test/"
    ]


def named_files(path: Path, seen: Survey) -> tuple[str, str]:
    """Problem and remedy where files, and no folders, are named after expressions."""
    return (
        f"{path}: {seen.named_apart:,} of {seen.images:,} images are named like expressions (sad_1.png), no folder is.",
        "Put each class's images into a folder named after it, or write a metadata.csv (file_name, label); if the "
        "folders are the classes: --class-level N.",
    )
