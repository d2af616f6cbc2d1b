"""What trains for rare classes besides the loss: weights and sampling that set in late, a head fitted again, rare
images pasted into others or changed more strongly."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from classifiers.augment import augment, make_strength
from classifiers.config import TrainConfig
from classifiers.losses import balanced_class_weights
from classifiers.models import ImageClassifier
from classifiers.parts import Average, Order, lr_factor
from classifiers.split_norm import SplitNorm

PASTED = 5  # the purpose of a seed: which images are pasted


class Imbalance:
    """The parts of one training that depend on how common a class is; all are off by default, and then change nothing.

    Everything depends on (seed, step) alone, so that a resumed training goes on exactly.
    """

    def __init__(
        self,
        config: TrainConfig,
        labels: np.ndarray,
        mass: np.ndarray,
        total: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """device: where the batches are; what they are compared with lies there, too, or every step would wait."""
        self.config, self.total = config, total
        self.deferred = math.floor(config.defer * total) if config.defer else 0
        self.refit = total - math.floor(config.refit * total) if config.refit else total
        #: The step from which on all that was asked for is at work.
        self.complete = self.refit if config.refit else self.deferred
        weights = balanced_class_weights(mass)
        self._class_weights = torch.from_numpy(weights).to(device) if late_weights(config) else None
        self._rare = torch.from_numpy(rare(np.bincount(labels, minlength=len(mass)))).to(device)
        self._strength = make_strength(config.rare_augment) if config.rare_augment else None
        self._by_class = [np.flatnonzero(labels == k) for k in np.unique(labels)] if config.cmo else []

    def lr_share(self, step: int) -> float:
        """The learning rate as a share of its peak; the head that is fitted again has a schedule of its own."""
        config = self.config
        if step < self.refit or self.refit >= self.total:
            return lr_factor(config.schedule, step / self.refit, config.warmup)
        return lr_factor("cosine", (step - self.refit) / (self.total - self.refit), 0.0)

    def last_on_real(self, step: int) -> bool:
        """Whether a step is of the last stage on real images alone, whose balanced sampling needs no other rebalancing:
        its loss is plain cross-entropy."""
        return self.config.refit_on == "real" and step >= self.refit

    def begin(
        self,
        step: int,
        model: ImageClassifier,
        optimizer: torch.optim.Optimizer,
        average: Average | None,
        split: SplitNorm | None = None,
    ) -> None:
        """Before a step: at the turn, freeze the body and give it a new head (cRT, Kang et al. 2020)."""
        if step < self.refit or self.refit >= self.total:
            return
        model.body.requires_grad_(False)
        if split is not None:
            split.auxiliary.requires_grad_(False)
        if step > self.refit:
            return
        for module in model.head.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()
        for parameter in model.head.parameters():
            optimizer.state.pop(parameter, None)
        if average is not None:
            average.model.head.load_state_dict(model.head.state_dict())

    def weigh(self, targets: Tensor, step: int) -> Tensor:
        """Targets (B, K) times their classes' weights, from where these set in (DRW, Cao et al. 2019)."""
        if self._class_weights is None or step < self.deferred or self.last_on_real(step):
            return targets
        return targets * self._class_weights

    def changed(self, images: Tensor, plain: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """A batch as it was augmented, (B, C, H, W) float, its rare classes' images (uint8) changed more strongly."""
        if self._strength is None:
            return plain
        rows = self._rare[targets.argmax(1)]
        strong = augment(images, self._strength, generator)
        return torch.where(rows.view(-1, 1, 1, 1), strong, plain)

    def pasted(
        self,
        images: Tensor,
        targets: Tensor,
        draw: np.random.Generator,
        take: Callable[[np.ndarray], tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, Tensor]:
        """CMO (Park et al. 2022): patches of images whose classes are drawn by rarity, pasted into the batch.

        images (B, C, H, W) float; the share of the patch goes from each target to the pasted image's. draw: of this
        step and process. take: augmented images and their targets, by index.
        """
        if not self._by_class or draw.random() >= self.config.cmo:
            return images, targets
        odds = np.array([1.0 / len(members) for members in self._by_class])
        classes = draw.choice(len(odds), len(images), p=odds / odds.sum())
        pasted, other = take(np.array([draw.choice(self._by_class[k]) for k in classes]))
        h, w = images.shape[2:]
        side = math.sqrt(1 - draw.random())
        cy, cx = draw.random(2)
        top, bottom = (int(np.clip(round((cy + s * side / 2) * h), 0, h)) for s in (-1, 1))
        left, right = (int(np.clip(round((cx + s * side / 2) * w), 0, w)) for s in (-1, 1))
        images = images.clone()
        images[:, :, top:bottom, left:right] = pasted[:, :, top:bottom, left:right]
        return images, torch.lerp(targets, other, (bottom - top) * (right - left) / (h * w))


class LateOrder:
    """One order of images before a step, another from it on; see `classifiers.parts.Order`."""

    def __init__(self, first: "Order | LateOrder", second: Order, turn: int) -> None:
        self._first, self._second, self._turn = first, second, turn
        self.batch_size: int = first.batch_size

    def batch(self, step: int) -> np.ndarray:
        """Indices (batch_size,) of the images of a step, int64."""
        return (self._first if step < self._turn else self._second).batch(step)


def make_order(
    config: TrainConfig,
    labels: np.ndarray,
    seed: int,
    weights: np.ndarray | None,
    total: int,
    synthetic: np.ndarray | None = None,
) -> Order | LateOrder:
    """The order of a training's images: plain first where balanced sampling sets in late or a head is fitted again.

    synthetic: (N,) bool, which images a head that is fitted on real ones leaves out; None where there are none.
    """
    first: Order | LateOrder
    if config.defer and config.sampler != "shuffle":  # weights stay with the loss, from the first step to the last
        plain = Order(labels, "shuffle", config.batch_size, seed)
        late = Order(labels, config.sampler, config.batch_size, seed)
        first = LateOrder(plain, late, math.floor(config.defer * total))
    else:
        first = Order(labels, config.sampler, config.batch_size, seed, weights)
    if not config.refit:
        return first
    only = None if synthetic is None or config.refit_on == "all" else (~synthetic).astype(np.float32)
    balanced = Order(labels, "balanced", config.batch_size, seed, only)
    return LateOrder(first, balanced, total - math.floor(config.refit * total))


def late_weights(config: TrainConfig) -> bool:
    """Whether class weights set in late, and so are no part of the targets from the start."""
    if config.refit_on == "real" and config.loss == "class-weighted":
        return True  # they end where the last stage begins
    return config.defer > 0 and config.loss in ("class-weighted", "ldam")


def rare(counts: np.ndarray) -> np.ndarray:
    """(K,) bool: the classes with fewer images than an even share."""
    few: np.ndarray = counts < counts.sum() / max(1, np.count_nonzero(counts))
    return few
