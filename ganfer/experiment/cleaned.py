"""The training images without the labels that confident learning doubts: the arm `clean`.

Out-of-fold probabilities of the training split alone (validation and test are neither folded nor changed), then
cleanlab's pruning by noise rate, as in `ganfer data audit`.
"""

import dataclasses
from importlib.util import find_spec

import numpy as np

from classifiers import crossval
from ganfer.classifier.train import samples
from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.errors import GanferError
from ganfer.review.confident import doubted_labels
from ganfer.runtime.console import progress, say
from ganfer.workspace import Run


def installed() -> bool:
    """Whether cleanlab (extra `clean`) is there."""
    return find_spec("cleanlab") is not None


def refuse_without_cleanlab() -> None:
    """GanferError where the arm was asked for by name and cannot be trained."""
    if not installed():
        raise GanferError("The arm clean needs cleanlab.", "Install it: pip install 'ganfer[clean]', or leave it out.")


def out_of_fold(run: Run, config: Config, real: ImageSet) -> np.ndarray:
    """(N, K): what a classifier says of each training image that it did not train on; folds by subject where known.

    Folds that an interrupted run has trained are found. An image that is the only one of its class is not folded: its
    row is its label.
    """
    found: np.ndarray = np.eye(len(real.class_names), dtype=np.float32)[real.labels]
    counts = np.bincount(real.labels, minlength=len(real.class_names))
    chosen = np.flatnonzero(counts[real.labels] > 1)
    images = real.select(chosen)
    known = bool((images.group != "").any())
    groups = np.where(images.group == "", np.char.add("image ", images.ids), images.group) if known else None
    most = len(np.unique(groups)) if groups is not None else int(counts[counts > 1].min(initial=len(real)))
    folds = min(config.audit.folds, most)
    if np.count_nonzero(counts > 1) < 2 or folds < 2:
        return found
    say(f"Out-of-fold probabilities of the training images, {folds} folds: for the arm clean.")
    result = crossval(
        dataclasses.replace(config.classifier, tensorboard=False), samples(images), images.class_names,
        run.path / "folds", folds=folds, groups=groups, seed=config.seed, device=config.device,
        workers=config.retrain.workers or None, progress=progress,
    )  # fmt: skip
    found[chosen] = result.probabilities
    run.tick()
    return found


def cleaned(real: ImageSet, probabilities: np.ndarray, *, relabel: bool = False) -> tuple[ImageSet, str]:
    """The images whose label is not doubted (relabel: all, the doubted ones with their likeliest class), and what was
    done in words."""
    doubted = doubted_labels(real.labels, probabilities)
    names = real.class_names
    counts = np.bincount(real.labels[doubted.index], minlength=len(names))
    which = ", ".join(f"{name} {n:,}" for name, n in zip(names, counts.tolist(), strict=True) if n)
    what = "given their likeliest class" if relabel else "left out"
    told = f"{len(doubted.index):,} of {len(real):,} labels doubted and {what}{f' ({which})' if which else ''}"
    if not relabel:
        return real.select(np.setdiff1d(np.arange(len(real)), doubted.index)), told
    labels = real.labels.copy()
    labels[doubted.index] = doubted.suggested
    soft = real.soft_labels
    if soft is not None:
        soft = soft.copy()
        soft[doubted.index] = np.eye(len(names), dtype=soft.dtype)[doubted.suggested]
    return dataclasses.replace(real, labels=labels, soft_labels=soft), told
