"""Imbalanced variants of the training split: an exponential long tail, or fixed counts per class.

Which images stay depends on the seed and on each image's id alone. So thinnings are nested: at one seed, whatever a
smaller one keeps, a larger one keeps too, also after other images were removed from the set.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.variants import make_variant
from ganfer.errors import DataError, did_you_mean
from ganfer.results import Result, table
from ganfer.workspace import Run, Workspace


def thin(
    workspace: Workspace,
    config: Config,
    data: Run,
    *,
    imbalance: float | None = None,
    counts: Mapping[str, int] | None = None,
) -> Result:
    """Make a variant of `data` with fewer training images and use it from now on; validation and test stay as they are.

    imbalance: largest over smallest class of a long tail (`long_tail`). counts: training images per named class;
    classes not named keep all. Raises DataError when neither or both are given, for an unknown class or a count out of
    range.
    """
    image_set = read_set(data.path)
    before = image_set.counts("train")
    after = plan(before, imbalance=imbalance, counts=counts or {})
    options = {"counts": after, "seed": config.seed}
    run = make_variant(workspace, data, "thin", options, kept(image_set, after, config.seed), train_before=before)
    rows = [[name, f"{before[name]:,}", f"{after[name]:,}"] for name in before]
    rows.append(["all", f"{sum(before.values()):,}", f"{sum(after.values()):,}"])
    lines = [f"{run.name}: {data.name} with fewer training images (seed {config.seed}); val and test are unchanged", ""]
    lines += [*table(["class", "before", "after"], rows), "", f"ganfer uses {run.name} from now on."]
    return Result("ganfer data thin", run.path, {**run.figures, "data": run.name}, lines)


def plan(before: Mapping[str, int], *, imbalance: float | None, counts: Mapping[str, int]) -> dict[str, int]:
    """Training images per class after thinning. Raises DataError; see `thin`."""
    if (imbalance is None) == (not counts):
        given = "not both" if counts else "neither was given"
        remedy = "Give --imbalance 50 or --class disgust=100."
        raise DataError(f"Thinning takes either an imbalance or counts per class, {given}.", remedy)
    if imbalance is not None:
        if not (1 <= imbalance < float("inf")):
            raise DataError(f"--imbalance {imbalance:g} is out of range.", "It must be at least 1.")
        return long_tail(before, imbalance)
    for name, count in counts.items():
        if name not in before:
            raise DataError(f"The data has no class {name!r}.", did_you_mean(name, before))
        if count < 1:
            raise DataError(f"--class {name}={count} leaves no {name} to train on.", "Ask for at least 1.")
        if count > before[name]:
            raise DataError(
                f"--class {name}={count} asks for more than the {before[name]:,} training images of {name} there are.",
                f"Ask for at most {before[name]}.",
            )
    return {name: counts.get(name, have) for name, have in before.items()}


def long_tail(before: Mapping[str, int], imbalance: float) -> dict[str, int]:
    """Counts of an exponential long tail, `n_i = n_max * imbalance ** (-i / (K - 1))` (Cui et al. 2019, CIFAR-LT).

    Classes are ranked by their present size (ties in the set's order), so the tail falls on the classes that are rare
    already. No class gets more than it has, nor fewer than one; classes without a training image are left out.
    """
    ranked = sorted((name for name in before if before[name] > 0), key=lambda name: -before[name])
    largest = before[ranked[0]] if ranked else 0
    steps = max(1, len(ranked) - 1)
    after = dict.fromkeys(before, 0)
    for i, name in enumerate(ranked):
        after[name] = min(before[name], max(1, round(largest * imbalance ** (-i / steps))))
    return after


def kept(image_set: ImageSet, after: Mapping[str, int], seed: int) -> np.ndarray:
    """Indices that stay, in the set's order: all of val and test, all without a label, `after` of each class."""
    keep = (image_set.split != "train") | (image_set.labels < 0)
    for label, name in enumerate(image_set.class_names):
        members = np.flatnonzero((image_set.split == "train") & (image_set.labels == label))
        order = _priority(seed, image_set.ids[members].tolist())
        keep[members[order[: after[name]]]] = True
    return np.flatnonzero(keep)


def _priority(seed: int, ids: Sequence[str]) -> np.ndarray:
    """Order in which images are kept: by a hash of seed and id, so an image's place never depends on the others."""
    digests = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=16).digest() for name in ids]
    return np.array(sorted(range(len(ids)), key=digests.__getitem__), dtype=np.int64)
