"""Parts of image sets and two of them as one: what the arms' training images are put together from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ganfer.data.imageset import ImageSet
from ganfer.runtime.seeding import stream


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Two sets of the same classes, size and channels, one after the other; further columns are left out."""
    assert first.class_names == second.class_names
    both: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("images", "labels", "split", "group", "source", "ids")
    }
    soft = None
    if first.soft_labels is not None or second.soft_labels is not None:
        soft = np.concatenate([_targets(first), _targets(second)])
    return ImageSet(class_names=first.class_names, soft_labels=soft, **both)


def _targets(images: ImageSet) -> np.ndarray:
    """(N, K) float32: the soft labels, one-hot ones where there are none."""
    if images.soft_labels is not None:
        return images.soft_labels
    hard: np.ndarray = np.eye(len(images.class_names), dtype=np.float32)[images.labels]
    return hard


def rare_first(existing: Sequence[int], available: Sequence[int], total: int) -> list[int]:
    """How many of each class to add, `total` in all: each next one to the class that is rarest by then.

    existing: real images per class. available: faces per class, which no class gets more of; with too few in all, all
    are taken.
    """
    added = [0] * len(existing)
    left = min(total, sum(available))
    while left:
        open_ones = [k for k in range(len(existing)) if added[k] < available[k]]
        levels = sorted({existing[k] + added[k] for k in open_ones})
        lowest = [k for k in open_ones if existing[k] + added[k] == levels[0]]
        room = [available[k] - added[k] for k in lowest]
        rise = min([*room, *([levels[1] - levels[0]] if len(levels) > 1 else [])])
        if rise * len(lowest) > left:
            rise = left // len(lowest)
        if not rise:  # the last few, one each
            lowest, rise = lowest[:left], 1
        for k in lowest:
            added[k] += rise
        left -= rise * len(lowest)
    return added


def filled(counts: Sequence[int], total: int) -> list[int]:
    """How many of each class to add until all that have some are as many as the largest, `total` in all at most, the
    rarest first."""
    most = max(counts, default=0)
    return rare_first(counts, [most - n if n else 0 for n in counts], total)


def portion(faces: ImageSet, counts: Sequence[int], seed: int) -> ImageSet:
    """`counts[k]` faces of each class k, in the set's order. Portions are nested: a larger one holds a smaller one."""
    rng = stream(seed, "portion")
    chosen = []
    for k, count in enumerate(counts):
        members = np.flatnonzero(faces.labels == k)
        chosen.append(rng.permutation(members)[:count])
    return faces.select(np.sort(np.concatenate(chosen)))


def in_order(sets: Sequence[ImageSet], faces: ImageSet) -> tuple[ImageSet, ...]:
    """As many of each class from every set as `faces` has, in the order of its classes, image by image."""

    def places(one: ImageSet) -> np.ndarray:
        found = np.empty(len(faces), np.int64)
        for k in range(len(faces.class_names)):
            mine = np.flatnonzero(faces.labels == k)
            found[mine] = np.flatnonzero(one.labels == k)[: len(mine)]
        return found

    return tuple(one.select(places(one)) for one in sets)


def rare_classes(counts: Mapping[str, int]) -> list[str]:
    """The classes with fewer images than an even share (all where they are equal), without those that have none."""
    there = {name: n for name, n in counts.items() if n}
    even = sum(there.values()) / max(1, len(there))
    return [name for name, n in there.items() if n < even] or list(there)


def thinned(images: ImageSet, share: float, seed: int) -> ImageSet:
    """The images with `share` of each rare class, at least one of each, in the set's order; nested as `portion` is."""
    counts = images.counts()
    rare = rare_classes(counts)
    wanted = [max(1, round(share * n)) if name in rare else n for name, n in counts.items()]
    return portion(images, wanted, seed)
