"""What is wrong with a set of images, as arrays and counts: pairs of the same picture, leaks, conflicts, damage."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ganfer.data.damage import MAX_ONE_VALUE, MIN_RANGE, NO_PICTURE, damage_of, grey_chunks
from ganfer.data.duplicates import NEAR, SHIFT, SIDE, SURE, Duplicates, find_duplicates
from ganfer.data.imageset import SPLITS, ImageSet
from ganfer.runtime.console import Advance


@dataclass(frozen=True)
class Findings:
    """What was found in a set of N images.

    damage: (N,) str, "" where the image is usable.
    first, second: (P,) int64, pairs that show the same picture: every exact copy with the image that stands for its
    pixels, and the near pairs among those. kind: (P,) str, exact, near or mirrored. similarity: (P,) float32.
    leaks_to: (N,) str, the split an image leaks into, "" for none.
    cluster: (N,) int64, images joined by a chain of pairs share a number. radius: Hamming distance searched completely.
    lookalikes: pairs that were left out, of two people whom the data name.
    """

    damage: np.ndarray
    first: np.ndarray
    second: np.ndarray
    kind: np.ndarray
    similarity: np.ndarray
    leaks_to: np.ndarray
    cluster: np.ndarray
    radius: int
    lookalikes: int


def examine(image_set: ImageSet, advance: Advance | None = None) -> Findings:
    """Everything `check` finds, as arrays; writes nothing. Images without any picture take no part in the pairs."""
    damage = [np.empty(0, dtype="<U16")]
    for _, grey in grey_chunks(image_set.images):
        damage.append(damage_of(grey))
        if advance:
            advance(len(grey))
    damaged = np.concatenate(damage)
    rank = np.select([image_set.split == split for split in SPLITS], range(len(SPLITS)))
    duplicates = find_duplicates(image_set.images, ~np.isin(damaged, NO_PICTURE), rank, advance)
    duplicates, lookalikes = _of_one_person(duplicates, image_set.group)
    first, second, kind, similarity = _pairs(duplicates)
    return Findings(
        damage=damaged,
        first=first,
        second=second,
        kind=kind,
        similarity=similarity,
        leaks_to=_leaks(duplicates, rank),
        cluster=_clusters(len(image_set), first, second),
        radius=duplicates.radius,
        lookalikes=lookalikes,
    )


def _of_one_person(found: Duplicates, group: np.ndarray) -> tuple[Duplicates, int]:
    """Without the near pairs of two people whom the data name, and how many they were: portraits taken and aligned
    alike resemble each other. From `SURE` on it is the same picture under two names."""
    one, other = group[found.first], group[found.second]
    apart = (one != "") & (other != "") & (one != other) & (found.similarity < SURE)
    kept = {name: getattr(found, name)[~apart] for name in ("first", "second", "similarity", "mirrored")}
    return replace(found, **kept), int(apart.sum())


def _pairs(found: Duplicates) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    copies = np.flatnonzero(found.same_as != np.arange(len(found.same_as)))
    near_kind = np.where(found.mirrored, "mirrored", "near").astype("<U8")
    kind = np.concatenate([np.full(len(copies), "exact", dtype="<U8"), near_kind])
    similarity = np.concatenate([np.ones(len(copies), dtype=np.float32), found.similarity])
    return np.append(found.same_as[copies], found.first), np.append(copies, found.second), kind, similarity


def _leaks(found: Duplicates, rank: np.ndarray) -> np.ndarray:
    """(N,) str: the highest-ranking split in which an image's picture is found too, where that is above its own.

    `same_as` points at the highest-ranking image of the same pixels, so one look at it and its near pairs is enough.
    """
    own = rank[found.same_as]
    reach = own.copy()
    np.maximum.at(reach, found.first, own[found.second])
    np.maximum.at(reach, found.second, own[found.first])
    reach = reach[found.same_as]
    return np.where(reach > rank, np.array(SPLITS)[reach], "")


def _clusters(num: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    graph = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(num, num))
    labels: np.ndarray = connected_components(graph, directed=False)[1] if num else np.empty(0)
    return labels.astype(np.int64)


def summarise(image_set: ImageSet, found: Findings) -> dict[str, Any]:
    """The counts of the findings, as `--json` prints them."""
    names, labels, split = image_set.class_names, image_set.labels, image_set.split
    a, b = found.first, found.second
    differ = conflicts(image_set, found)
    exact = found.kind == "exact"
    differing = np.stack([labels[a], labels[b]], axis=1)[differ].tolist()
    leaking = found.leaks_to != ""
    routes = [("train", "val"), ("train", "test"), ("val", "test")]
    per_class = {name: int(((labels == i) & leaking).sum()) for i, name in enumerate(names)}
    return {
        "images": len(image_set),
        "damaged": {kind: int((found.damage == kind).sum()) for kind in ("blank", "faint", "mostly one value")},
        "exact": {"groups": len(np.unique(a[exact])), "surplus_images": int(exact.sum())},
        "near_pairs": int((found.kind == "near").sum()),
        "mirrored_pairs": int((found.kind == "mirrored").sum()),
        "lookalikes": found.lookalikes,
        "pairs_by_splits": _tally(f"{x}-{y}" for x, y in zip(*_ordered(split[a], split[b]), strict=True)),
        "images_with_a_duplicate": int(np.isin(np.arange(len(image_set)), np.append(a, b)).sum()),
        "leaks": {
            "total": int(leaking.sum()),
            "by_splits": {f"{x}-{y}": int(((split == x) & (found.leaks_to == y)).sum()) for x, y in routes},
            "by_class": per_class,
        },
        "conflicts": {
            "exact_groups": len(np.unique(a[exact & differ])),
            "near_pairs": int((differ & ~exact).sum()),
            "images": len(np.unique(np.append(a[differ], b[differ]))),
            "by_classes": _tally(" / ".join(names[k] for k in sorted(pair)) for pair in differing),
        },
        "subjects_in_several_splits": len(shared_subjects(image_set)),
        "thresholds": {
            "similarity": NEAR, "shift": SHIFT / SIDE, "hash_radius": found.radius,
            "faint_below_range": MIN_RANGE, "one_value_share": MAX_ONE_VALUE,
        },
    }  # fmt: skip


def conflicts(image_set: ImageSet, found: Findings) -> np.ndarray:
    """(P,) bool: the pair's images have different labels."""
    one, other = image_set.labels[found.first], image_set.labels[found.second]
    return (one != other) & (one >= 0) & (other >= 0)


def _ordered(a: np.ndarray, b: np.ndarray) -> tuple[list[str], list[str]]:
    """Two columns of split names, each row in the order train, val, test."""
    rows = [sorted(pair, key=SPLITS.index) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    return [row[0] for row in rows], [row[1] for row in rows]


def _tally(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def shared_subjects(image_set: ImageSet) -> dict[str, list[str]]:
    """Subjects that appear in more than one split, with those splits."""
    known = image_set.group != ""
    seen: dict[str, set[str]] = {}
    for group, split in zip(image_set.group[known].tolist(), image_set.split[known].tolist(), strict=True):
        seen.setdefault(group, set()).add(split)
    return {group: sorted(splits, key=SPLITS.index) for group, splits in sorted(seen.items()) if len(splits) > 1}
