"""What stands in place of the faces: copies of real images, labels that are wrong, faces no screen has seen."""

import dataclasses

import numpy as np

from ganfer.data.imageset import ImageSet
from ganfer.runtime.seeding import stream


def copies(real: ImageSet, wanted: dict[str, int], seed: int) -> ImageSet:
    """`wanted` copies of each class's real images; every image once before one twice."""
    rng = stream(seed, "duplicated")
    chosen = []
    for k, name in enumerate(real.class_names):
        members = rng.permutation(np.flatnonzero(real.labels == k))
        if len(members):
            chosen.append(np.resize(members, wanted[name]))
    found = real.select(np.concatenate(chosen))
    named = np.array([f"copy {i} of {name}" for i, name in enumerate(found.ids)], dtype=np.str_)
    return dataclasses.replace(found, ids=named)


def shuffled(faces: ImageSet, seed: int) -> ImageSet:
    """The faces with labels that all differ from their own, drawn evenly from the other classes.

    Permuted among the faces most would stay right where most faces are of one class. Soft labels move along: what a
    face's own class had, the new one has.
    """
    rng = stream(seed, "shuffled")
    count = len(faces.class_names)
    wrong = (faces.labels + rng.integers(1, count, len(faces))) % count
    soft = faces.soft_labels
    if soft is not None:
        soft, rows = soft.copy(), np.arange(len(faces))
        soft[rows, wrong], soft[rows, faces.labels] = soft[rows, faces.labels], soft[rows, wrong]
    return dataclasses.replace(faces, labels=wrong.astype(faces.labels.dtype), soft_labels=soft)
