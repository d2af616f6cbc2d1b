"""How the arms' training data are made from the material: one function, or maker of functions, per kind of arm."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.config import TrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.experiment.cleaned import cleaned
from ganfer.experiment.material import Build, Material, TrainingData
from ganfer.experiment.placebos import copies, shuffled
from ganfer.experiment.portions import in_order, joined, portion, thinned
from ganfer.experiment.ways import learned, words

# settings of images that are pushed into rare classes (M2m): the paper's, and surer ones
MOVED: Mapping[str, Mapping[str, float]] = {
    "m2m": {"beta": 0.999, "lam": 0.5, "confidence": 0.9},
    "m2m-sure": {"beta": 0.999, "lam": 0.1, "confidence": 0.99},
}


def plain(images: ImageSet, config: TrainConfig) -> TrainingData:
    """Real images, each of weight 1."""
    return TrainingData(images, np.ones(len(images), np.float32), config)


def real_only(**changes: Any) -> Build:
    """The real images alone, trained with these settings."""
    return lambda material, config: plain(material.real, dataclasses.replace(config, **changes))


def pretrained(**changes: Any) -> Build:
    """The real images alone; the weights are those of a classifier that was trained on others, to begin with."""

    def build(material: Material, config: TrainConfig) -> TrainingData:
        started = plain(material.real, dataclasses.replace(config, pretrained=material.start, **changes))
        return dataclasses.replace(started, told=f"those of {Path(material.start).name}")

    return build


def with_faces(material: Material, config: TrainConfig, faces: ImageSet | None = None) -> TrainingData:
    """The real images and the faces (none: the kept ones), these with the material's weight."""
    faces = material.kept if faces is None else faces
    turns = material.turns if faces is material.kept else ()
    data = beside(material, config, material.real, faces, turns)
    if faces is material.kept and material.fresh:
        sets = zip(material.fresh, turns or (faces,), strict=True)
        data = dataclasses.replace(data, fresh=tuple(in_order(later, one) for later, one in sets))
    return data


def beside(
    material: Material, config: TrainConfig, real: ImageSet, faces: ImageSet, turns: Sequence[ImageSet]
) -> TrainingData:
    """Real images and faces beside them, learned from in the material's way."""
    added = np.arange(len(real) + len(faces)) >= len(real)
    weights = np.where(added, material.weight, 1.0).astype(np.float32)
    several = tuple(joined(real, other) for other in turns)
    told, config = words(config, material.way), learned(config, material.way)
    return TrainingData(several[0] if several else joined(real, faces), weights, config, several, added, told)


def pool(material: Material, config: TrainConfig) -> TrainingData:
    """As many real faces of each class from the pool as there are synthetic ones, as far as they reach."""
    assert material.pool is not None, "chosen only where there is one"
    wanted = [material.kept.counts()[name] for name in material.real.class_names]
    return plain(joined(material.real, portion(material.pool, wanted, material.seed)), config)


def duplicated(material: Material, config: TrainConfig) -> TrainingData:
    """Copies of real images in the faces' place, as many of each class."""
    return with_faces(material, config, copies(material.real, material.kept.counts(), material.seed))


def mislabelled(material: Material, config: TrainConfig) -> TrainingData:
    """The faces, every label a wrong one."""
    return with_faces(material, config, shuffled(material.kept, material.seed))


def unscreened(material: Material, config: TrainConfig) -> TrainingData:
    """As many faces that no screen has seen."""
    return with_faces(material, config, material.unscreened)


def distilled(share: float) -> Build:
    """`share` of each target from the ensemble, the rest from the label (Hinton et al. 2015; Li et al. 2021)."""

    def build(material: Material, config: TrainConfig) -> TrainingData:
        assert material.teacher is not None, "the original is trained first"
        real = material.real
        hard = np.eye(len(real.class_names), dtype=np.float32)[real.labels]
        soft = (share * material.teacher + (1 - share) * hard).astype(np.float32)
        soft /= soft.sum(axis=1, keepdims=True)
        return plain(dataclasses.replace(real, soft_labels=soft), config)

    return build


def distilled_with_faces(share: float) -> Build:
    """The same, and the plausible faces with the ensemble's opinion alone: no label of theirs is used.

    The teacher's opinion is of the image as it is, for real images and faces alike; of the very view that the student
    sees it would teach more (Beyer et al. 2022).
    """

    def build(material: Material, config: TrainConfig) -> TrainingData:
        faces = material.plausible
        assert faces
        assert all(one.soft_labels is not None for one in faces)
        real = distilled(share)(material, config).images
        return beside(material, config, real, faces[0], faces if len(faces) > 1 else ())

    return build


def moved(setting: str) -> Build:
    """Real images and, in rare classes, others pushed there (M2m, Kim, Jeong & Shin 2020)."""

    def build(material: Material, config: TrainConfig) -> TrainingData:
        made, told = material.moved[setting]
        return dataclasses.replace(plain(joined(material.real, made), config), told=told)

    return build


def on_features(**settings: float) -> Build:
    """The original's models, a head fitted on features drawn with these settings."""
    return lambda material, config: dataclasses.replace(plain(material.real, config), head=settings)


def label_cleaned(*, relabel: bool) -> Build:
    """The real images with doubted labels left out, or given their likeliest class."""

    def build(material: Material, config: TrainConfig) -> TrainingData:
        assert material.out_of_fold is not None
        images, told = cleaned(material.real, material.out_of_fold(), relabel=relabel)
        return dataclasses.replace(plain(images, config), told=told)

    return build


def oracle(material: Material, config: TrainConfig) -> TrainingData:
    """As many held-back real images of each class as there are kept faces, as far as they reach."""
    assert material.held_back is not None, "chosen only where there are some"
    wanted = [material.kept.counts()[name] for name in material.real.class_names]
    return plain(joined(material.real, portion(material.held_back, wanted, material.seed)), config)


def less(share: float) -> Build:
    """This share of each rare class."""
    return lambda material, config: plain(thinned(material.real, share, material.seed), config)
