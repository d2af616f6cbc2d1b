"""What some arms are made of once the original is trained: its opinion of images, images pushed along its gradient."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classifiers import Classifier
from classifiers.major_to_minor import pushed, usual_confidence
from ganfer.data.imageset import ImageSet
from ganfer.experiment.builds import MOVED
from ganfer.experiment.material import Material
from ganfer.experiment.portions import filled, joined
from ganfer.experiment.trainings import Trainings
from ganfer.runtime.console import progress
from ganfer.runtime.seeding import stream

ORIGINAL = "original"


def after_original(trainings: Trainings, material: Material, arms: Sequence[str], tries: int) -> dict[str, Any]:
    """What these arms are made of, by the names of `Material`: the ensemble's opinion of the real images and of
    plausible faces, and images pushed into rare classes."""
    changes: dict[str, Any] = {}
    if "distilled" in arms:
        changes["teacher"] = trainings.ensemble(ORIGINAL, material.real.images)
    if "distilled+synthetic" in arms:
        changes["plausible"] = softly_labelled(trainings, material.plausible)
    if "m2m" in arms:
        settings = list(MOVED.items())[: max(1, tries)]
        changes["moved"] = {
            name: moved_images(trainings, material.real, name, chosen, material.seed) for name, chosen in settings
        }
    return changes


def alike_in_all(faces: Sequence[ImageSet]) -> tuple[ImageSet, ...]:
    """As many of every generator's faces: the fewest that any has."""
    count = min(len(one) for one in faces)
    return tuple(one.select(range(count)) for one in faces)


def softly_labelled(trainings: Trainings, faces: Sequence[ImageSet]) -> tuple[ImageSet, ...]:
    """The faces with what the ensemble of the original's models says of them, and nothing of what others said."""
    found = []
    for i, one in enumerate(faces):
        soft = trainings.ensemble(ORIGINAL, one.images, of=f"faces-{i}")
        found.append(dataclasses.replace(one, soft_labels=soft, labels=soft.argmax(axis=1).astype(np.int64)))
    return tuple(found)


def moved_images(
    trainings: Trainings, real: ImageSet, name: str, settings: Mapping[str, float], seed: int
) -> tuple[ImageSet, str]:
    """Images that fill the rare classes up (M2m, Kim, Jeong & Shin 2020), as many as there are real ones at most; in
    words, how many were accepted.

    Larger classes' images are pushed until the original's first model calls them the rare class and its second no
    longer their own. They count where the first is as sure as of real images, or settings["confidence"] times;
    in place of the others stand copies. Each class is kept when it is done, for a resumed run.
    """
    labels = np.asarray(real.labels)
    wanted = filled(list(real.counts().values()), len(real))
    parts, accepted = [], 0
    models: list[Classifier] = []
    usual = np.empty(0)
    with progress("push images into rare classes", sum(wanted)) as advance:
        for k, number in enumerate(wanted):
            stored = trainings.kept(f"{name}-{real.class_names[k]}") if number else None
            if number and stored is None:
                if not models:
                    models = trainings.models(ORIGINAL, 2)
                    usual = usual_confidence(models[0], real.images, labels)
                made = pushed(
                    models[0], models[-1], real.images, labels, k, number, seed=seed, beta=settings["beta"],
                    lam=settings["lam"], advance=advance,
                )  # fmt: skip
                stored = trainings.keep(
                    f"{name}-{real.class_names[k]}",
                    images=made.images,
                    source=made.source,
                    sure=made.confidence / usual[k],
                )
            elif number:
                advance(number)
            if stored is not None:
                good = stored["sure"] >= settings["confidence"]
                accepted += int(good.sum())
                parts.append(_in_place(real, stored, good, k, seed))
    total = sum(wanted)
    told = f"{accepted:,} of {total:,} moved images accepted, copies in place of the others"
    return _together(real, parts), told


def _in_place(real: ImageSet, made: Mapping[str, np.ndarray], good: np.ndarray, k: int, seed: int) -> ImageSet:
    """One class's images: those that were accepted, and copies of its real ones."""
    rng = stream(seed, "moved", k)
    mine = np.flatnonzero(real.labels == k)
    rows = np.where(good, made["source"], rng.choice(mine, len(good)))
    found = real.select(rows)
    images = np.where(good[:, None, None, None], made["images"], found.images)
    named = [
        f"{'moved' if ok else 'copy'} {i} of {name}" for i, (ok, name) in enumerate(zip(good, found.ids, strict=True))
    ]
    soft = found.soft_labels
    if soft is not None:
        soft = np.where(good[:, None], np.eye(len(real.class_names), dtype=soft.dtype)[k], soft)
    return dataclasses.replace(
        found, images=images, labels=np.full(len(good), k, real.labels.dtype),
        ids=np.array([f"{real.class_names[k]}: {one}" for one in named], dtype=np.str_), soft_labels=soft,
    )  # fmt: skip


def _together(real: ImageSet, parts: Sequence[ImageSet]) -> ImageSet:
    found = real.select([])
    for part in parts:
        found = joined(found, part)
    return found
