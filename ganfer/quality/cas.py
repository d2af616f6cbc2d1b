"""Classification accuracy scores: what one learns from faces, and sees in them.

Train on synthetic, test on real (CAS; Ravuri & Vinyals 2019), and the reverse (GAN-test; Shmelkov et al. 2018). The
same training on as many real images is the ceiling of the first, the same images' held-back kin that of the second.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from classifiers import Classifier, Job, Samples, TrainConfig, load_classifier, train_many
from classifiers.scheduler import cores
from classifiers.start import own_file
from ganfer.config import Config
from ganfer.runtime.console import progress, say
from ganfer.runtime.seeding import stream

LEAST = 10  # faces of a class it takes
_HELD_OUT = 0.1  # of the training images, from which the weights are chosen


@dataclass(frozen=True)
class CasData:
    """Two training sets of the same size class by class: `real` all real, `synthetic` with fakes in `replaced` classes.

    replaced: (K,) bool. Classes without enough fakes are real in both, so that every class can be told.
    """

    real: Samples
    synthetic: Samples
    replaced: np.ndarray


def cas_data(
    fake: Callable[[np.ndarray], np.ndarray],
    fake_labels: np.ndarray,
    real: Callable[[np.ndarray], np.ndarray],
    real_labels: np.ndarray,
    num_classes: int,
    *,
    most: int,
    seed: int,
) -> CasData | None:
    """At most `most` images per class; None when no class has `LEAST` fakes and real images, or there is one class.

    fake, real: pixels (n, C, H, W) uint8 at some indices. Labels (N,), (M,).
    """
    rng = stream(seed, "cas")
    taken: dict[str, list[np.ndarray]] = {"fake": [], "kept": [], "instead": []}
    replaced = np.zeros(num_classes, dtype=bool)
    for k in range(num_classes):
        fakes = rng.permutation(np.flatnonzero(fake_labels == k))
        reals = rng.permutation(np.flatnonzero(real_labels == k))
        n = min(len(fakes), len(reals), most)
        replaced[k] = n >= LEAST
        taken["fake"].append(fakes[: n if replaced[k] else 0])
        taken["instead"].append(reals[: n if replaced[k] else 0])
        taken["kept"].append(reals[: 0 if replaced[k] else most])
    chosen = {name: np.concatenate(parts) for name, parts in taken.items()}
    labels = np.concatenate([real_labels[chosen["kept"]], real_labels[chosen["instead"]]])
    if not replaced.any() or len(np.unique(labels)) < 2:
        return None
    common = real(chosen["kept"]) if len(chosen["kept"]) else None

    def joined(other: np.ndarray) -> np.ndarray:
        return other if common is None else np.concatenate([common, other])

    return CasData(
        Samples(joined(real(chosen["instead"])), labels), Samples(joined(fake(chosen["fake"])), labels), replaced
    )


def train_cas(
    config: Config, arms: Mapping[str, Samples], names: tuple[str, ...], folder: Path
) -> dict[str, Classifier]:
    """A classifier for each arm, trained on its samples alone, side by side; found again when it is done."""
    if own_file(config.classifier.pretrained):
        say("The two classifiers are trained from scratch: classifier.pretrained is not used for them.")
    beside = 1 if config.workers == 1 else len(arms)  # at a time, who share the cores
    threads = 1 if config.cluster else max(1, min(torch.get_num_threads(), cores() // beside))
    train_many(
        [_job(config, samples, names, folder / arm) for arm, samples in arms.items()],
        device=config.device, workers=config.workers or None, threads=threads, progress=progress,
        cluster=config.cluster, say=say,
    )  # fmt: skip
    return {arm: load_classifier(folder / arm, config.device) for arm in arms}


def _recipe(config: Config) -> TrainConfig:
    """The settings of both trainings. They never start from a classifier: what it knows already is no figure of what is
    learned from the faces."""
    recipe = dataclasses.replace(
        config.classifier, steps=config.quality.cas_steps, tensorboard=False, sampler="balanced", loss="cross-entropy"
    )
    return dataclasses.replace(recipe, pretrained="none") if own_file(recipe.pretrained) else recipe


def _job(config: Config, samples: Samples, names: tuple[str, ...], folder: Path) -> Job:
    """The training; a tenth of the samples chooses its weights."""
    order = stream(config.seed, "cas held out").permutation(len(samples))
    held = np.zeros(len(samples), dtype=bool)
    for k in np.unique(samples.labels):
        mine = order[samples.labels[order] == k]
        held[mine[: max(1, round(_HELD_OUT * len(mine)))]] = len(mine) > 1
    recipe = _recipe(config)
    training, choosing = (Samples(samples.images[part], samples.labels[part]) for part in (~held, held))
    return Job(recipe, training, choosing, names, folder, config.seed)
