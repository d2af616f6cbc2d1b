"""The synthetic faces of a labelled batch as training images, screened or not; and where they may not come from."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ganfer.config import Config, RetrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.errors import ConfigError, DataError
from ganfer.experiment.portions import portion
from ganfer.generate.batch import is_pool, read_batch, read_rows
from ganfer.generate.several import companions
from ganfer.label.held_out import from_elsewhere
from ganfer.label.known import pools_behind
from ganfer.label.labels import (
    COPY,
    DUPLICATE,
    KEPT,
    LABELS,
    LOW_CONFIDENCE,
    MISMATCH,
    OFF_MANIFOLD,
    SURPLUS,
    Labels,
    newest_labels,
    read_labels,
)
from ganfer.metrics.copies import CopyRule, Nearest
from ganfer.page.numbers import in_words
from ganfer.review.effect import decided
from ganfer.runtime.console import say
from ganfer.runtime.seeding import stream
from ganfer.workspace import Run, Workspace

_RELAX = {
    LOW_CONFIDENCE: "--min-confidence 0",
    MISMATCH: "--any-class",
    OFF_MANIFOLD: "--set label.manifold=0",
    COPY: "--allow-copies",
    DUPLICATE: "--allow-repetitions",
}  # what lets the faces pass that a criterion rejects


def kept_faces(batch_run: Run, labels_run: Run, images: ImageSet, *, soft_labels: bool = False) -> ImageSet:
    """The faces of a batch that the screen and people's decisions kept, as training images of the data's classes.

    soft_labels: with the labeller's probabilities as targets, too. DataError when the screen kept nothing.
    """
    labels = decided(read_labels(labels_run, images.class_names), batch_run)
    kept = np.flatnonzero(labels.kept)
    if not len(kept):
        reasons, counts = np.unique(labels.reason, return_counts=True)
        said = ", ".join(f"{n} {reason}" for reason, n in zip(reasons, counts, strict=True))
        relax = _RELAX.get(str(reasons[counts.argmax()]), "")
        raise DataError(
            f"The screen kept none of the {len(labels.reason)} faces of {batch_run.name} ({said}).",
            f"Train the GAN longer{f', or label with {relax}' if relax else ''}.",
        )
    soft = labels.probabilities[kept] if soft_labels else None
    return _as_training(batch_run, images, kept, labels.predicted[kept], soft)


def plausible_faces(batch_run: Run, labels_run: Run, images: ImageSet, most: int, seed: int) -> ImageSet:
    """The faces that nothing but their label speaks against, `most` of them at most, drawn evenly.

    Kept ones, surplus ones, and those that the labeller is unsure of or calls another class, as far as they lie on the
    manifold of what it calls them and are no copies. Their labels are the labeller's, which nobody should train on.
    """
    labels = decided(read_labels(labels_run, images.class_names), batch_run)
    passed = np.isin(labels.reason, [KEPT, SURPLUS])
    doubted = np.isin(labels.reason, [MISMATCH, LOW_CONFIDENCE])
    rows = read_rows(labels_run.path / LABELS)
    limits = labels_run.figures["screen"]["limits"]

    def figure(name: str) -> np.ndarray:
        return np.array([float(row.get(name) or "nan") for row in rows])

    floor = np.array([float(limits["realism"][name]) for name in images.class_names])
    doubted &= ~(figure("realism") < floor[labels.predicted])
    if limits["copy"] is not None and "likeness" in (rows[0] if rows else {}):
        likeness, isolation, none = figure("likeness"), figure("isolation"), np.zeros(len(rows))
        rule = CopyRule(float(limits["copy"]["likeness"]), float(limits["copy"]["isolation"]))
        doubted &= ~rule.copies(Nearest(none.astype(np.int64), likeness, none.astype(bool), isolation, likeness))
    index = np.flatnonzero(passed | doubted)
    index = np.sort(stream(seed, "plausible").permutation(index)[:most])
    return _as_training(batch_run, images, index, labels.predicted[index], None)


def unscreened_faces(batch_run: Run, labels_run: Run, images: ImageSet, counts: dict[str, int], seed: int) -> ImageSet:
    """`counts` faces per class drawn from the whole batch, labelled as the class they were asked to be.

    A face that nothing was asked of has the labeller's class. A class of which the batch holds fewer gives all it has.
    """
    labels = read_labels(labels_run, images.class_names)
    classes = _asked(batch_run, labels)
    rng = stream(seed, "unscreened")
    chosen = [
        rng.permutation(np.flatnonzero(classes == k))[: counts[name]] for k, name in enumerate(images.class_names)
    ]
    index = np.sort(np.concatenate(chosen))
    return _as_training(batch_run, images, index, classes[index], None)


def refuse_other_data(batch_run: Run, labels_run: Run, data: Run) -> None:
    """A batch whose generator or labeller saw other data may have seen this data's test images."""
    for run, what in ((batch_run, "generated"), (labels_run, "labelled")):
        used = run.record.get("key", {}).get("inputs", {}).get("data")
        if used != data.digest:
            raise DataError(
                f"{run.name} was {what} from other data than {data.name}; its models may have seen this test split.",
                "Generate and label a batch with this data, or go back to the other with: ganfer data use NAME.",
            )


def with_turns(config: Config) -> Config:
    """The settings with two seeds for each of a number of batches, where the seeds are the default; which is said."""
    settings = config.retrain
    if not settings.batches.strip().isdecimal() or settings.seeds != RetrainConfig().seeds:
        return config
    needed = 2 * int(settings.batches)
    if settings.seeds >= needed:
        return config
    say(f"{settings.batches.strip()} batches take two seeds each: retrain.seeds = {needed}.")
    return dataclasses.replace(config, retrain=dataclasses.replace(settings, seeds=needed))


def several_batches(workspace: Workspace, names: str, seeds: int, newest: Run | None = None) -> list[Run]:
    """The batches that the seeds take turns with. ConfigError where they are fewer than two, or the seeds than they.

    names: of the batches; or their number: of the newest one and those drawn as it was by GANs of other seeds.
    """
    if names.strip().isdecimal() and newest is None:
        raise ConfigError(
            f"retrain.batches = {names!r}: there is no batch for the active data.",
            f"Draw them: ganfer generate --generators {max(2, int(names))}; then ganfer label.",
        )
    if names.strip().isdecimal() and newest is not None:
        number, found = int(names), companions(workspace, newest)
        if len(found) < number:
            raise ConfigError(
                f"retrain.batches = {number}: there are {len(found)} batch(es) like {newest.name} by GANs that differ "
                "in their seed alone.",
                f"Draw them: ganfer generate --generators {number}, with the same counts; then ganfer label.",
            )
        found = found[:number]
    else:
        found = [workspace.find("synthetic", name.strip()) for name in names.split(",") if name.strip()]
    if len({run.name for run in found}) < 2:
        raise ConfigError(f"retrain.batches = {names!r}.", "Name two or more batches, or none for the newest.")
    if seeds < 2 * len(found):
        raise ConfigError(
            f"{len(found)} batches and {seeds} seeds: each batch needs two seeds or more.",
            f"Give --seeds {2 * len(found)}.",
        )
    for run in found:
        if newest_labels(run) is None:
            raise DataError(f"{run.name} was not labelled.", "Label every batch before: ganfer label.")
    return found


def alike(faces: Sequence[ImageSet], seed: int) -> tuple[ImageSet, ...]:
    """As many faces of each class of every batch: the fewest that any has. DataError where that leaves none."""
    counts = [min(one.counts()[name] for one in faces) for name in faces[0].class_names]
    if not any(counts):
        raise DataError(
            "The batches have no class in common of which each kept a face.",
            "Draw every batch for the same classes, or retrain with one: leave --batches out.",
        )
    return tuple(portion(one, counts, seed) for one in faces)


def turns_notes(turns: Sequence[ImageSet], labellings: Sequence[Run]) -> list[str]:
    """How many faces of each of several batches were taken, of how many; nothing for one batch."""
    if not turns:
        return []
    kept = [run.figures["screen"]["kept"] for run in labellings]
    lost = [name for name, n in turns[0].counts().items() if not n and any(one[name] for one in kept)]
    return [
        f"The seeds took turns with {len(turns)} batches, {len(turns[0]):,} faces of each: of every class as many as "
        f"the batch with the fewest has. The screen kept {in_words([f'{sum(one.values()):,}' for one in kept])}"
        f"{f'; no face of {in_words(lost)} is in all of them' if lost else ''}."
    ]


def faces_notes(batch_run: Run, labels_run: Run) -> list[str]:
    """What must be known of faces from elsewhere that were labelled before they were compared with held-out images, and
    of those whose generator learned from a pool as well."""
    if pools := pools_behind(batch_run):
        images = sum(run.figures["images"] for run in pools)
        said = f"The generator of {batch_run.name} learned from {images:,} images of the pool as well, without labels."
        if "pools" not in labels_run.record.get("key", {}):
            said += " Copies of them were not looked for when it was labelled. Label it again: ganfer label."
        return [said]
    if not from_elsewhere(batch_run) or "held_out" in labels_run.record.get("key", {}):
        return []
    return [
        f"{batch_run.name} comes from elsewhere and was not compared with the validation and test images: copies of "
        "them would make the faces look good. Label it again: ganfer label."
    ]


def _asked(batch_run: Run, labels: Labels) -> np.ndarray:
    index = {name: k for k, name in enumerate(labels.class_names)}
    asked = np.array([index.get(name, -1) for name in read_batch(batch_run).asked], dtype=np.int64)
    return np.where(asked >= 0, asked, labels.predicted)


def _as_training(
    batch_run: Run, images: ImageSet, index: np.ndarray, classes: np.ndarray, soft: np.ndarray | None
) -> ImageSet:
    batch = read_batch(batch_run)
    pixels = batch.images(index) if len(index) else np.empty((0, *images.images.shape[1:]), np.uint8)
    if pixels.shape[1:] != images.images.shape[1:]:
        raise DataError(
            f"{batch_run.name} holds images of shape {pixels.shape[1:]}, the data {images.images.shape[1:]}.",
            "Generate with a GAN trained on this data.",
        )
    return ImageSet(
        images=pixels,
        labels=classes,
        class_names=images.class_names,
        split=np.full(len(index), "train"),
        group=np.full(len(index), ""),
        source=np.full(len(index), "real" if is_pool(batch_run) else "synthetic"),
        ids=np.array([f"{batch_run.name}/{batch.file_names[i]}" for i in index], dtype=np.str_),
        soft_labels=soft,
    )
