"""What a classifier is measured on: a split of a data set, or a folder of class folders from anywhere."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifiers import Predictor
from ganfer.classifier.opened import require_fitting, target_of
from ganfer.classifier.train import real_only
from ganfer.config import Config
from ganfer.data.decode_many import decode_items
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.names import class_named
from ganfer.data.sources.items import Item
from ganfer.data.sources.loose import images_below
from ganfer.data.sources.survey import split_of
from ganfer.data.sources.words import EVAL, meant_by_eval
from ganfer.data.text import printable
from ganfer.errors import DataError
from ganfer.runtime.console import progress, say
from ganfer.runtime.files import digest_json
from ganfer.workspace import Run

_SHOWN = 5  # left-out files named on the terminal
_SYNTHETIC = "synthetic: figures measured on it would mean nothing"


@dataclass(frozen=True)
class Subject:
    """Labelled real images. held_out: validation images of the same classes, for calibration and thresholds."""

    name: str
    digest: str
    images: ImageSet
    held_out: ImageSet | None
    is_folder: bool = False
    notes: tuple[str, ...] = ()


def fitting_set(data: Run, predictor: Predictor) -> ImageSet:
    """A data set of the classifier's classes, size and channels; ClassifierError or DataError when it is not."""
    images = read_set(data.path)
    predictor.columns(images.class_names)
    require_fitting(predictor, images)
    return images


def split_subject(data: Run, images: ImageSet, split: str) -> Subject:
    """The labelled images of a data set's split. DataError when it is empty or holds a synthetic one."""
    held_out = images.of("val") if (images.split == "val").any() else None
    chosen = real_only(images, split).labelled()
    return Subject(
        f"{data.name}, {split} split", data.digest, chosen, None if held_out is None else held_out.labelled()
    )


def image_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The images below a folder, sorted, and what to say of other files. DataError when there are none."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder.", "Give a folder with a subfolder of images per class.")
    files, others = images_below(folder)
    if not files:
        raise DataError(f"{folder} holds no images.", "Give a folder with a subfolder of images per class.")
    reasons = Counter(reason.partition(" (")[0] for _, reason in others)
    said = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common())
    return files, [f"Files that are no readable images were left out ({said})."] if others else []


def measured_part(folder: Path, files: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The files to measure on, and what to say of it: of a folder with train and test folders, the test part.

    An evaluation folder counts as `data add` has it. A folder without a test part is taken whole, and said to be for
    training.
    """
    splits = {path: split_of(path.relative_to(folder).as_posix()) for path in files}
    named = Counter(split for split in splits.values() if split)
    wanted = ("test", EVAL) if meant_by_eval(named) == "test" else ("test",)
    test = [path for path in files if splits[path] in wanted]
    if test and named.keys() - set(wanted):
        return test, [f"Only the folder's test part was taken, {len(test):,} of {len(files):,} images."]
    if not test and named["train"]:
        return list(files), [
            "The folder calls its images training images: of a classifier that learned from them this is no test."
        ]
    return list(files), []


def source_notes(folder: Path, data: Run | None) -> list[str]:
    """What to say where the folder is, holds or lies in the source of the active set."""
    source = "" if data is None else str(data.record.get("source", ""))
    if not source:
        return []
    here, there = folder.resolve(), Path(source)
    if here != there and there not in here.parents and here not in there.parents:
        return []
    assert data is not None
    return [
        f"These images are the source of the active set {data.name}: a classifier trained on that set has learned from "
        "those of them that are in its training split. `ganfer evaluate` without a folder measures its test split."
    ]


def files_digest(folder: Path, files: Sequence[Path]) -> str:
    """A digest of names, sizes and times: other files, another digest."""
    facts = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return digest_json(facts)


def folder_subject(
    folder: Path, files: Sequence[Path], predictor: Predictor, data: Run | None, config: Config
) -> Subject:
    """The images below a folder; the innermost subfolder with a class's name is the label.

    Unreadable files, synthetic images and those of other classes are left out and named. data: the active set, whose
    validation split serves for calibration where its classes are the classifier's.
    """
    names = tuple(predictor.class_names)
    left_out: list[tuple[str, str]] = []
    kept: list[Item] = []
    pixels: list[np.ndarray] = []
    items = list(_items(folder, files, names, left_out))
    target = target_of(predictor, config.data.min_side)
    with progress("read", len(items)) as advance:
        for chunk, decoded in decode_items(items, target, config.data.workers):
            read = iter(decoded.pixels)
            for item, reason, synthetic in zip(chunk, decoded.reasons, decoded.synthetic, strict=True):
                image = None if reason else next(read)
                if image is None or synthetic:
                    left_out.append((item.id, reason or _SYNTHETIC))
                else:
                    pixels.append(image)
                    kept.append(item)
            advance(len(chunk))
    for name, reason in left_out[:_SHOWN]:
        say(f"left out {name}: {reason}")
    if not kept:
        raise DataError(
            f"{folder} holds no usable image of {', '.join(names)}.", "Name its subfolders like the classes."
        )
    notes = (f"{len(left_out)} of {len(files)} files were left out.",) if left_out else ()
    images = _as_set(kept, pixels, names)
    digest = files_digest(folder, files)
    return Subject(f"the folder {folder.resolve().name}", digest, images, _validation(data, predictor), True, notes)


def _items(
    folder: Path, files: Sequence[Path], names: Sequence[str], left_out: list[tuple[str, str]]
) -> Iterator[Item]:
    for path in files:
        where = path.relative_to(folder)
        parts = [class_named(printable(part), names) for part in where.parts[:-1]]
        label = next((part for part in reversed(parts) if part), "")
        if label:
            yield Item(printable(str(where)), label, path)
        else:
            left_out.append((printable(str(where)), "not below a folder of one of the classes"))


def _as_set(kept: Sequence[Item], pixels: Sequence[np.ndarray], names: tuple[str, ...]) -> ImageSet:
    n = len(kept)
    return ImageSet(
        images=np.stack(pixels),
        labels=np.array([names.index(item.label) for item in kept], np.int64),
        class_names=names,
        split=np.full(n, "test"),
        group=np.full(n, ""),
        source=np.full(n, "real"),
        ids=np.array([item.id for item in kept]),
    )


def _validation(data: Run | None, predictor: Predictor) -> ImageSet | None:
    """The active set's validation split, when it has the classifier's classes and size."""
    if data is None:
        return None
    images = read_set(data.path)
    same = set(images.class_names) == set(predictor.class_names)
    if not same or (images.size, images.channels) != (predictor.size, predictor.channels):
        return None
    held_out = images.of("val").labelled()
    return held_out if len(held_out) else None
