"""A guide: a small classifier, trained before the GAN, whose gradient shows the generator what a class looks like.

A discriminator learns what separates the classes late, and from a few hundred images hardly at all; a classifier learns
it in minutes. Its cross-entropy on the generated images is added to the generator's loss (classifier guidance inside
the training, as the auxiliary classifier of Odena et al. 2017, but trained on its own). It sees the GAN's training
images only, and it is not the classifier that later labels the faces: that one has another seed and never meets the
generator while it learns.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers import Samples, TrainConfig, train
from ganfer.config import GanConfig
from ganfer.gan.plan import TrainingPlan
from ganfer.runtime.console import progress, say

FOLDER = "guide"
_SEED_SHIFT = 1_000_003  # the labeller of the same workspace starts from the plain seed


class Guide:
    """A frozen classifier of the plan's classes, with the recall it reached on the held-back images."""

    def __init__(self, model: nn.Module, recall: dict[str, float | None]) -> None:
        self._model = model.eval().requires_grad_(False)
        self.recall = recall

    def loss(self, images: Tensor, labels: Tensor, known: Tensor | None = None) -> Tensor:
        """Cross-entropy of images (N, C, H, W) in -1..1 with the classes (N,) asked for, label-smoothed; a scalar.

        Smoothing keeps the generator from piling up evidence for a class once the guide is convinced. known: (N,) 1 for
        the images that were asked to be of a class, 0 for those that were not; none is all.
        """
        logits: Tensor = self._model((images + 1) / 2)
        if known is None:
            return F.cross_entropy(logits.float(), labels, label_smoothing=0.1)
        each = F.cross_entropy(logits.float(), labels, label_smoothing=0.1, reduction="none")
        return (each * known).sum() / known.sum().clamp_min(1)


def train_guide(folder: Path, plan: TrainingPlan, config: GanConfig, seed: int, device: torch.device) -> Guide | None:
    """The guide for a training plan, trained now or found in `folder`; None without classes or with guidance 0."""
    if config.guidance == 0 or not wants_guide(plan.class_names):
        return None
    assert plan.class_names is not None
    settings = TrainConfig(
        model="compact-small",
        epochs=config.guide_epochs,
        sampler="balanced",  # the rare classes are the ones the generator needs to be shown
        select_by="balanced_accuracy",
        tensorboard=False,
    )
    held = plan if len(plan.held_labels) else None
    val = Samples(held.held_images, held.held_labels) if held else Samples(plan.images, plan.labels)
    result = train(
        settings,
        Samples(plan.images, plan.labels),
        val,
        plan.class_names,
        folder,
        seed=seed + _SEED_SHIFT,
        device=device.type,
        progress=lambda _, total: progress("train the guide", total),
    )
    recall = {name: figures["recall"] for name, figures in result.validation["per_class"].items()}
    if not result.already_done:
        known = ", ".join(f"{name} {value:.0%}" for name, value in recall.items() if value is not None)
        say(f"The guide recognises {'held-back images' if held else 'its training images'}: {known}.")
    return Guide(result.load(device.type).model, recall)


def wants_guide(class_names: Sequence[str] | None) -> bool:
    """Whether there is anything to guide to: at least two classes."""
    return class_names is not None and len(class_names) > 1
