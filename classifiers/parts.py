"""The parts of the training loop that stand alone: image order, schedule, optimiser, averaged weights, validation."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from classifiers.config import TrainConfig
from classifiers.models import ImageClassifier
from classifiers.muon import Muon
from classifiers.scores import scores

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEFAULT_LR = {"adamw": 3e-3, "muon": 1e-2, "sgd": 0.05}
_MUON_FEATURES = 512  # of `compact`, with which Muon's rate was found
DEFAULT_WEIGHT_DECAY = {"adamw": 0.05, "muon": 0.05, "sgd": 5e-4}


class Order:
    """Which images make up batch `step`: an endless run of epochs, each reshuffled, cut into equal batches.

    A batch depends on (seed, step) alone, so a resumed training draws the same ones. "balanced" draws every class
    that has images equally often, "root" in proportion to the square root of its size, its images at random: one of
    weight 0.25 a quarter as often as one of weight 1, so that light images leave their class as often drawn as the
    others. "shuffle" leaves the weights to the loss.
    """

    def __init__(
        self, labels: np.ndarray, sampler: str, batch_size: int, seed: int, weights: np.ndarray | None = None
    ) -> None:
        self._n, self._seed = len(labels), seed
        self.batch_size = min(batch_size, self._n)
        self._by_class: list[np.ndarray] | None = None
        self._odds: list[np.ndarray | None] = []
        self._shares: np.ndarray | None = None
        if sampler in ("balanced", "root"):
            heavy = np.ones(self._n, bool) if weights is None else weights > 0
            self._by_class = [np.flatnonzero(heavy & (labels == k)) for k in np.unique(labels[heavy])]
            self._odds = [_odds(weights, members) for members in self._by_class]
            if sampler == "root":
                sizes = [len(m) if weights is None else float(weights[m].sum()) for m in self._by_class]
                self._shares = np.sqrt(sizes) / np.sqrt(sizes).sum()
        self._cache: dict[int, np.ndarray] = {}

    def batch(self, step: int) -> np.ndarray:
        """Indices (batch_size,) of the images of a step, int64."""
        first, end = step * self.batch_size, (step + 1) * self.batch_size
        epochs = range(first // self._n, (end - 1) // self._n + 1)
        self._cache = {e: self._cache.get(e) if e in self._cache else self._epoch(e) for e in epochs}  # type: ignore[misc]
        offset = first - epochs[0] * self._n
        parts = [self._cache[epochs[0]][offset : offset + self.batch_size]]
        for epoch in epochs[1:]:  # a batch larger than what is left of an epoch goes on in the next
            parts.append(self._cache[epoch][: end - epoch * self._n])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _epoch(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, 1, epoch])
        if self._by_class is None:
            return rng.permutation(self._n)
        if self._shares is None:
            each = np.resize(np.arange(len(self._by_class)), self._n)
        else:  # as near to the shares as whole numbers come
            each = np.searchsorted(np.cumsum(self._shares)[:-1], (np.arange(self._n) + 0.5) / self._n)
        classes = rng.permutation(each)
        index = np.empty(self._n, np.int64)
        for k, members in enumerate(self._by_class):
            places = np.flatnonzero(classes == k)
            odds = self._odds[k]
            again = odds is not None or len(places) > len(members)
            index[places] = rng.choice(members, len(places), replace=again, p=odds)
        return index


def _odds(weights: np.ndarray | None, members: np.ndarray) -> np.ndarray | None:
    """How likely each of a class's images is drawn; None where all are alike."""
    mine = None if weights is None else np.asarray(weights, np.float64)[members]
    return None if mine is None or np.ptp(mine) == 0 else mine / mine.sum()


def total_steps(config: TrainConfig, num_images: int) -> int:
    """Optimiser steps of a training: `steps`, or as many as `epochs` passes need."""
    batch_size = min(config.batch_size, num_images)
    return config.steps or math.ceil(config.epochs * num_images / batch_size)


def validation_steps(config: TrainConfig, num_images: int) -> list[int]:
    """The steps after which to validate: ends of epochs, thinned to at most `validations`; the last is the end."""
    total = total_steps(config, num_images)
    epoch = num_images / min(config.batch_size, num_images)
    number = max(1, min(config.validations, math.floor(total / epoch)))
    every = max(1, round(total / epoch / number)) * epoch
    ends = {min(total, math.ceil(i * every)) for i in range(1, number + 1)}
    return sorted(ends | {total})


def lr_factor(schedule: str, done: float, warmup: float) -> float:
    """The learning rate as a share of its peak, at `done` (0..1) of the training; rises linearly for `warmup`."""
    if done < warmup:
        return 0.05 + 0.95 * done / warmup
    left = (1 - done) / (1 - warmup)
    if schedule == "cosine":
        return 0.5 * (1 - math.cos(math.pi * left))
    return max(left, 1e-3) if schedule == "onecycle" else 1.0


def set_lr(group: dict[str, Any], lr: float, recorded: bool, device: torch.device) -> None:
    """The group's learning rate; for recorded steps in a tensor that stays the same one."""
    known = group["lr"]
    if not recorded:
        group["lr"] = lr
    elif isinstance(known, Tensor) and known.device == device:
        known.fill_(lr)
    else:
        group["lr"] = torch.full((), lr, device=device)


def make_optimizer(
    config: TrainConfig, model: ImageClassifier, beside: Iterable[nn.Parameter] = (), *, half: bool = False
) -> torch.optim.Optimizer:
    """The setting's optimiser, else the model's own; weight decay on kernels and matrices; body and head apart.

    beside: further gains and biases, which learn as the body's do. half: the network trains in bfloat16, and so may
    Muon's products.
    """
    kind = config.optimizer or model.optimizer
    lr = default_lr(kind, model) if config.lr is None else config.lr
    decay = DEFAULT_WEIGHT_DECAY[kind] if config.weight_decay is None else config.weight_decay
    groups = []
    for part, peak in ((model.body, lr * config.body_lr), (model.head, lr)):
        for own_decay, matrices in ((decay, True), (0.0, False)):
            params = [p for p in part.parameters() if (p.ndim > 1) == matrices]
            params += list(beside) if part is model.body and not matrices else []
            group = {"params": params, "weight_decay": own_decay, "peak_lr": peak}
            if kind == "muon":  # its authors leave the last layer to AdamW
                group["muon"] = matrices and part is model.body
            groups.append(group)
    if kind == "muon":
        return Muon(groups, lr=lr, half=half)
    fused = True if next(model.parameters()).device.type == "cuda" else None  # one kernel per group there
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=fused)
    return torch.optim.AdamW(groups, lr=lr, betas=(config.momentum, 0.99), fused=fused, capturable=bool(fused))


_OF_THE_DEVICE = ("fused", "foreach", "capturable")  # how an optimiser computes, which is not its state


def resume_optimizer(optimizer: Any, state: Mapping[str, Any]) -> None:
    """Take over a saved state, perhaps of another device; how it computes stays as the optimiser was made."""
    groups = [
        {**saved, **{name: group[name] for name in _OF_THE_DEVICE if name in group}}
        for saved, group in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})


def clip_gradients(fabric: Fabric, optimizer: Any, max_norm: float) -> None:
    """Gradients of at most this norm, together. optimizer: as Fabric wraps it.

    Fabric's own way refuses optimisers that take float16's scale themselves, those that never wait for the device.
    """
    plain, scaler = optimizer.optimizer, getattr(fabric.strategy.precision, "scaler", None)
    if scaler is not None:
        scaler.unscale_(plain)
    torch.nn.utils.clip_grad_norm_([p for group in plain.param_groups for p in group["params"]], max_norm)


def default_lr(kind: str, model: ImageClassifier) -> float:
    """The optimiser's usual learning rate; Muon's was found with 512 features and falls with more (Yang et al. 2022).

    At the rate of `compact` the first steps of a network three times as wide blow its logits up.
    """
    widest = max((m.in_features for m in model.head.modules() if isinstance(m, nn.Linear)), default=1)
    return DEFAULT_LR[kind] * (min(1.0, _MUON_FEATURES / widest) if kind == "muon" else 1.0)


def unfreeze(model: ImageClassifier, share: float) -> None:
    """Let the head and the last `share` (0..1) of the body's layers learn, and no others (Howard & Ruder 2018).

    Frozen layers keep their weights, but batch norm goes on adapting to the new images: features under ImageNet's
    statistics are what made earlier fine-tunings on faces fail.
    """
    layers = [m for m in model.body.modules() if any(True for _ in m.parameters(recurse=False))]
    frozen = len(layers) - math.floor(share * len(layers))
    for i, layer in enumerate(layers):
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(i >= frozen)


class Average:
    """An exponential moving average of a model's parameters and buffers; the decay grows to its value at first."""

    def __init__(self, model: ImageClassifier, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self._decay = decay
        self._pairs = [
            (mine, theirs.detach())
            for mine, theirs in zip(_tensors(self.model), _tensors(model), strict=True)
            if mine.is_floating_point()
        ]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the model after `step` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_([a for a, _ in self._pairs], [b for _, b in self._pairs], 1 - decay)


def _tensors(model: nn.Module) -> Iterable[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def quick_figures(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """loss (nats), accuracy, balanced accuracy and macro-F1 over the classes present; what a validation needs."""
    k = logits.shape[1]
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    loss = np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels])
    confusion = np.bincount(labels * k + logits.argmax(axis=1), minlength=k * k).reshape(k, k)
    figures = scores(confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0))
    chosen = ("accuracy", "balanced_accuracy", "macro_f1")
    return {"val_loss": float(loss), **{f"val_{name}": float(figures[name]) for name in chosen}}
