"""Which classes of a source are taken, under which names; and whether what is left makes a data set."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganfer.data.imageset import SPLITS
from ganfer.data.names import canonical, in_order
from ganfer.data.sources import DatasetSource
from ganfer.data.splits import NO_GROUP
from ganfer.data.text import folded, printable
from ganfer.errors import DataError, did_you_mean

ASIDE = frozenset(("not an image", "a table that was not read", "hidden file", "hidden folder"))  # files, not images


@dataclass(frozen=True)
class Selection:
    """A choice of classes (none = all) and their new names (name in the source -> name in ganfer).

    present: the source's classes, as far as they keep loose synonyms from being read as others.
    """

    classes: tuple[str, ...]
    renames: Mapping[str, str]
    present: frozenset[str] = frozenset()

    @classmethod
    def of(cls, source: DatasetSource, classes: Sequence[str], renames: Mapping[str, str]) -> "Selection":
        """The user's choice among a source's classes. DataError for a name that the source does not have."""
        labels = source.labels()
        raw = None if labels is None else {printable(label) for label in labels}
        present = frozenset(folded(label) for label in raw or ()) & {"neutral"}
        renames = {folded(old): folded(new) for old, new in renames.items()}
        wanted = tuple(canonical(name, {*present, *renames.values()}) for name in classes)
        selection = cls(wanted, renames, present)
        if raw is not None and (classes or renames):
            _demand(selection, raw, {selection.name(label) for label in raw}, source.path)
        return selection

    def name(self, label: str) -> str:
        """The class a source's label becomes; a name that the user gave stays as it is."""
        own = canonical(printable(label), self.present)
        return self.renames.get(folded(printable(label))) or self.renames.get(own) or own

    def takes(self, name: str) -> bool:
        """Whether images of this class are wanted."""
        return not self.classes or name in self.classes


def _demand(selection: Selection, raw: set[str], names: set[str], path: Path) -> None:
    for name in selection.classes:
        if name not in names:
            raise DataError(f"{path} has no class {name!r}.", did_you_mean(name, in_order(names)))
    known = {folded(label) for label in raw} | {canonical(label) for label in raw}
    for old in selection.renames:
        if old not in known:
            raise DataError(f"{path} has no class {old!r} to rename.", did_you_mean(old, in_order(known)))


def check_counts(
    path: Path,
    selection: Selection,
    *,
    seen: Counter[str],
    skipped: Counter[str],
    first: Mapping[str, str],
    added: int,
    names: Sequence[str],
) -> None:
    """DataError when a wanted class was not there, nothing was added, or the set has one class.

    seen: images per class in the source, wanted or not. skipped: files left out by reason; first: the first of each,
    its name and the reason in full. names: the set's classes.
    """
    for name in selection.classes:
        if name not in seen:
            raise DataError(f"{path} has no class {name!r}.", did_you_mean(name, in_order(seen)))
    if not added:
        images = Counter({reason: count for reason, count in skipped.items() if reason not in ASIDE}) or skipped
        if not images:
            raise DataError(f"{path} holds no images.", "Look at the files.")
        reason, count = images.most_common(1)[0]
        if reason.startswith("synthetic"):
            raise DataError(
                f"All {count:,} images of {path} were drawn by ganfer; a data set is made of real ones.",
                "Label them with `ganfer label FOLDER`, or take them for training with --allow-synthetic.",
            )
        example = f"; the first: {first[reason]}" if reason in first else ""
        raise DataError(
            f"None of the {images.total():,} images of {path} can be used ({reason}: {count:,}{example}).",
            "Look at the files.",
        )
    if len(names) < 2:
        left = Counter({reason: count for reason, count in skipped.items() if reason not in ASIDE}).most_common(1)
        aside = "".join(f", of what is not left out ({reason}: {count:,})" for reason, count in left)
        raise DataError(
            f"{path} has a single class ({', '.join(names) or 'none'}){aside}; telling classes apart takes two.",
            "Add it to another set with --merge.",
        )


def check_splits(path: Path, codes: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> None:
    """DataError when a split is empty: a set without images to choose by or to test on answers no question."""
    empty = [name for code, name in enumerate(SPLITS) if not (codes == code).any()]
    if not empty:
        return
    if np.bincount(labels[labels >= 0]).max(initial=0) <= 1:
        raise DataError(f"{path} has one image per class: nothing can be held out.", "Add more images per class.")
    count = len(np.unique(groups[groups != NO_GROUP]))
    subjects = f" of {count} subject{'s' * (count != 1)}" if count else ""
    raise DataError(
        f"{path}: {len(codes):,} images{subjects} are too few to hold out {' and '.join(empty)}.",
        "Three images (or subjects) of a class are the least; more make sense.",
    )
