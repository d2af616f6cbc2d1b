"""`retrain --fresh`: other synthetic faces in every pass, drawn and screened as the kept ones were.

A generator's images cost little, and a face that is seen once is hard to learn by heart. The further sets are drawn
before the trainings, so that every seed and every resumed training sees the same; pass p takes set p.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from classifiers.config import TrainConfig
from classifiers.parts import total_steps
from ganfer.config import Config, LabelConfig
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import GanferError
from ganfer.experiment.faces import kept_faces
from ganfer.experiment.material import Material
from ganfer.experiment.portions import joined
from ganfer.generate.batch import read_batch
from ganfer.label.fill import fill, source_of
from ganfer.label.labels import newest_labels
from ganfer.label.stage import label
from ganfer.runtime.console import say
from ganfer.workspace import Run, Workspace

ALL = 1000  # --fresh without a number: a set for every pass


def passes(config: TrainConfig, images: int) -> int:
    """How often a training with these settings goes over so many images, a begun pass counted."""
    batch_size = min(config.batch_size, images)
    return math.ceil(total_steps(config, images) * batch_size / images)


def further_sets(config: Config, recipe: TrainConfig, material: Material) -> int:
    """How many sets of faces are drawn beside the kept ones: one for each pass but the first, within the setting."""
    if not config.retrain.fresh:
        return 0
    return min(config.retrain.fresh, passes(recipe, len(material.real) + len(material.kept))) - 1


def with_fresh(
    workspace: Workspace,
    config: Config,
    data: Run,
    batches: Sequence[tuple[Run, Run]],
    material: Material,
    recipe: TrainConfig,
) -> Material:
    """The material with further sets of faces, each as many of each class as are kept, for every batch in turn.

    batches: with their labellings. GanferError for a batch whose generator cannot go on.
    """
    sets = further_sets(config, recipe, material)
    if not sets:
        return material
    images = read_set(data.path)
    say(f"Drawing {sets} further set(s) of {len(material.kept):,} faces, one for each pass.")
    turns = material.turns or (material.kept,)
    fresh = [
        _sets(_drawn(workspace, config, data, *pair, images, kept, sets), kept, sets)
        for pair, kept in zip(batches, turns, strict=True)
    ]
    return dataclasses.replace(material, fresh=tuple(fresh))


def plan_lines(workspace: Workspace, config: Config, data: Run | None) -> list[str]:
    """What the further sets cost, in words, as far as it is known. GanferError, before any work, where the newest
    batch's generator cannot draw more."""
    if not config.retrain.fresh:
        return []
    batch = workspace.latest("synthetic", data=data.digest) if data else None
    if batch is not None and not config.retrain.folds:  # every fold draws its own
        try:
            source_of(workspace, config, batch)
        except GanferError as error:
            raise GanferError(
                f"--fresh has no generator to go on with: {error.problem}",
                "Take a batch that a GAN of the workspace drew, or leave --fresh out.",
            ) from error
    labels = None if batch is None else newest_labels(batch)
    if labels is None or data is None:
        return ["draw and screen other faces for every pass: as many sets as passes, each as large as what is kept"]
    images = read_set(data.path)
    real = int(((images.split == "train") & (images.labels >= 0)).sum())
    kept = sum(labels.figures["screen"]["kept"].values())
    recipe = dataclasses.replace(config.classifier, steps=total_steps(config.classifier, real))
    number = min(config.retrain.fresh, passes(recipe, real + kept))
    most = round(config.label.draws * number * kept)
    megabytes = images.channels * images.size**2 / 1e6
    return [
        f"draw and screen {number - 1} further sets of {kept:,} faces, one for each of {number} passes: at most "
        f"{most:,} draws and {most * megabytes:,.0f} MB on disk; {number * kept * megabytes:,.0f} MB more memory for "
        "each training"
    ]


def fresh_figures(material: Material) -> dict[str, int]:
    """How many sets the passes took in turn, and how many different faces there are in them."""
    if not material.fresh:
        return {}
    first = material.turns[0] if material.turns else material.kept
    different = {name for one in (first, *material.fresh[0]) for name in one.ids.tolist()}
    return {"sets": len(material.fresh[0]) + 1, "faces": len(different), "each": len(first)}


def fresh_notes(material: Material) -> list[str]:
    """The same in a sentence."""
    found = fresh_figures(material)
    if not found:
        return []
    whole = found["sets"] * found["each"]
    short = "" if found["faces"] == whole else f"; the generator gave no more, so some came again (of {whole:,})"
    return [
        f"The synthetic arms took {found['sets']} sets of {found['each']:,} faces in turn, pass by pass: "
        f"{found['faces']:,} different faces{short}."
    ]


def _drawn(
    workspace: Workspace,
    config: Config,
    data: Run,
    batch: Run,
    labels: Run,
    images: ImageSet,
    kept: ImageSet,
    sets: int,
) -> ImageSet:
    """Faces that the batch does not hold, drawn by its generator and kept by the criteria that it was labelled by."""
    made = labels.record["key"]
    classifier = next((r for r in workspace.runs("classifiers") if r.digest == made["inputs"]["classifier"]), None)
    if classifier is None:
        raise GanferError(
            f"The classifier that labelled {batch.name} is not in the workspace.",
            "Label the batch again: ganfer label.",
        )
    known = {field.name for field in dataclasses.fields(LabelConfig)}
    criteria = {name: value for name, value in made["config"].items() if name in known}
    alike = dataclasses.replace(config, label=dataclasses.replace(config.label, **criteria))
    wanted = {name: (sets + 1) * count for name, count in kept.counts().items() if count}
    run = fill(workspace, alike, batch, classifier, data, wanted=wanted)
    label(alike, run, classifier, data)
    found = newest_labels(run, data)
    assert found is not None
    every = kept_faces(run, found, images, soft_labels=config.retrain.soft_labels)
    first = {f"{run.name}/{name}" for name in read_batch(batch).file_names}  # its own faces come first, linked
    return every.select(np.flatnonzero([name not in first for name in every.ids.tolist()]))


def _sets(faces: ImageSet, kept: ImageSet, sets: int) -> tuple[ImageSet, ...]:
    """`sets` sets with the classes of `kept`, image by image; where faces are short of a class they come again.

    A class of which nothing more was drawn goes on with the kept faces.
    """
    found = joined(faces, kept)
    places = np.empty((sets, len(kept)), np.int64)
    for k in range(len(kept.class_names)):
        mine = np.flatnonzero(kept.labels == k)
        others = np.flatnonzero(faces.labels == k)
        pool = others if len(others) else len(faces) + mine
        if len(mine):
            places[:, mine] = np.resize(pool, sets * len(mine)).reshape(sets, len(mine))
    return tuple(found.select(row) for row in places)
