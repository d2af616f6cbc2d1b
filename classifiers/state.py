"""The state of one training: networks, optimiser, data on the device, history; saved whole and restored exactly."""

from __future__ import annotations

import collections
import io
import logging
import time
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from classifiers.augment import augment, early_side, make_strength
from classifiers.config import TrainConfig, about_synthetic
from classifiers.device_set import DeviceSet, on_host
from classifiers.errors import ClassifierError
from classifiers.files import UNREADABLE, save_history, seal, unseal, write_atomic
from classifiers.imbalance import PASTED, Imbalance, late_weights, make_order
from classifiers.losses import Loss, balanced_class_weights, make_loss, smoothing_shares
from classifiers.memory import Statistics, is_of_the_gpu
from classifiers.models import ImageClassifier, create_model
from classifiers.parts import (
    Average,
    make_optimizer,
    quick_figures,
    resume_optimizer,
    total_steps,
    validation_steps,
)
from classifiers.prediction import arriving, map_batches
from classifiers.recorder import Recorder, wanted
from classifiers.samples import Samples, class_counts, class_mass, fresh_places, is_same, synthetic_mask
from classifiers.split_norm import SplitNorm
from classifiers.start import model_options, own_file, take_over

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger("classifiers")

RESUME = "resume.pt"


class Run:
    """One training between its first and its last step. Everything random in step s depends on (seed, rank, s)
    alone, so a resume point needs no generator states."""

    def __init__(
        self,
        config: TrainConfig,
        train: Samples,
        val: Samples,
        names: list[str],
        folder: Path,
        seed: int,
        fabric: Fabric,
        identity: str,
    ) -> None:
        self.config, self.train, self.val, self.names = config, train, val, names
        self.folder, self.seed, self.fabric, self.identity = folder, seed, fabric, identity
        device = fabric.device
        self.precision = str(fabric.strategy.precision.precision)
        torch.manual_seed(seed)
        own, self.notes = own_file(config.pretrained), list[str]()
        channels, size = train.images.shape[1:3]
        self.model = create_model(
            config.model,
            len(names),
            channels,
            size,
            **model_options(config),
            pretrained=None if own or config.pretrained == "none" else config.pretrained,
        )
        if own:
            self.notes.append(take_over(self.model, own, names))
        elif not self.model.own_normalisation:
            _set_normalisation(self.model, train.images)
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.model, config.ema) if config.ema else None
        self.synthetic = synthetic_mask(train) if about_synthetic(config) else None
        apart = config if self.synthetic is not None else replace(config, refit_on="all")
        self.split = self._split_norm()
        net: nn.Module = self.split or self.model
        if config.compile and self.split is None:
            net = torch.compile(self.model, dynamic=False)  # type: ignore[assignment]
        elif config.compile:
            self.notes.append("with batch norm of their own for synthetic images the network is not compiled")
        beside = list(self.split.auxiliary.parameters()) if self.split else []
        self.net, self.optimizer = fabric.setup(net, make_optimizer(config, self.model, beside))
        self.counts = class_counts(train.labels, len(names))
        # An image of weight 0.25 is a quarter of one, for class weights and priors as well as in the loss.
        mass = class_mass(train, len(names), real=config.prior == "real")
        self.loss = make_loss(
            config.loss, mass, device, focal_gamma=config.focal_gamma, logit_tau=config.logit_tau,
            ldam_margin=config.ldam_margin,
        )  # fmt: skip
        self.shares = smoothing_shares(config.loss, mass, device, logit_tau=config.logit_tau)
        self._last = make_loss("cross-entropy", mass, device), smoothing_shares("cross-entropy", mass, device)
        # the balanced sampler draws by weight; the loss must not count it again
        weigh = config.sampler == "shuffle" or config.defer > 0
        loss = "cross-entropy" if late_weights(apart) else config.loss
        self.data = DeviceSet(_with_fresh(train), _targets(train, mass, loss, weigh=weigh), device)
        self.total = total_steps(config, len(train))
        labels = np.asarray(train.labels)
        self.order = make_order(config, labels, seed, train.weights, self.total, self.synthetic)
        self.imbalance = Imbalance(apart, labels, mass, self.total, device)
        self.strength = make_strength(
            config.augment, rotate=config.rotate, shift=config.shift, zoom=config.zoom, shear=config.shear,
            flip=config.flip, cutout=config.cutout, magnitude=config.magnitude,
        )  # fmt: skip
        self.generator = torch.Generator(device)
        self.recorder = Recorder(device, [self.generator], active=self._can_be_recorded())
        self.early_side = early_side(size)
        self.early_steps = round(self._progressive(channels) * self.total)
        self.validation_steps = set(validation_steps(config, len(train)))
        self.micro_batches, self.lacked = 1, ""  # lacked: what was last said of memory that ran out
        self.statistics, self.tried = Statistics(self.split or self.model), collections.Counter[bool]()
        self.step, self.since_best, self._steps_summed = 0, 0, 0
        self.loss_sum = torch.zeros((), device=device)
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] | None = None
        self.best_row: dict[str, float] = {}
        self._seconds_before, self._started, self._saved = 0.0, time.monotonic(), time.monotonic()

    def _can_be_recorded(self) -> bool:
        """Whether steps of a kind are alike but for their inputs; a note says where they are not.

        Not where one waits for other processes, goes through a compiled network or takes images by chance.
        """
        config = self.config
        reasons = {
            "several processes": self.fabric.world_size > 1,
            "compile": config.compile,
            "cmo": config.cmo > 0,
            "mixup_across": config.mixup_across > 0,
            "auxiliary_norm": self.split is not None,
        }
        if not wanted(self.fabric.device):
            return False
        if found := [name for name, there in reasons.items() if there]:
            self.notes.append(f"with {' and '.join(found)} steps are not recorded as CUDA graphs: they run plainly")
        return not found

    def kind(self, early: bool, how: str) -> Hashable:
        """What the coming step's launches depend on, besides its inputs; None while layers are still to be unfrozen."""
        if self.config.freeze and self.step < self.config.freeze * self.total:
            return None
        return early, how, self.micro_batches, self.step >= self.imbalance.refit

    def _split_norm(self) -> SplitNorm | None:
        """Batch norm of their own for synthetic images, where there are some and the configuration asks for it."""
        kind = self.config.auxiliary_norm
        if kind == "none" or self.synthetic is None:
            return None
        return SplitNorm(self.model, self.config.model, affine=kind == "affine").to(self.fabric.device)

    def aim(self) -> tuple[Loss, Tensor]:
        """The coming step's loss, and what its targets are smoothed towards."""
        return self._last if self.imbalance.last_on_real(self.step) else (self.loss, self.shares)

    def sources(self, index: np.ndarray) -> np.ndarray | None:
        """Which images of a batch are synthetic, (B,) bool; None where nothing asks."""
        return None if self.synthetic is None else self.synthetic[index]

    def _progressive(self, channels: int) -> float:
        """The share of the steps on smaller images: the setting, else the model's own."""
        share = self.config.progressive
        if share is None:
            return self.model.progressive
        if share:
            try:
                small = torch.zeros(1, channels, self.early_side, self.early_side, device=self.fabric.device)
                with torch.no_grad():
                    self.model.eval()(small)
                self.model.train()
            except RuntimeError as error:
                if is_of_the_gpu(error):
                    raise
                raise ClassifierError(
                    f"progressive = {share}: model '{self.config.model}' takes images of one size only; leave it out"
                ) from None
        return share

    def reseed(self) -> np.random.Generator:
        """Set every source of randomness for the coming step; returns numpy's."""
        sequence = np.random.SeedSequence([self.seed, self.fabric.global_rank, self.step])
        first, second = (int(word) for word in sequence.generate_state(2, np.uint64) >> np.uint64(1))
        torch.manual_seed(first)  # dropout
        self.generator.manual_seed(second)  # augmentation
        return np.random.default_rng([self.seed, 2, self.step])

    def paste(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Rare classes' images pasted into a batch, where the configuration asks for it."""
        draw = np.random.default_rng([self.seed, PASTED, self.fabric.global_rank, self.step])

        def take(index: np.ndarray) -> tuple[Tensor, Tensor]:
            raw, others = self.data.take(index)
            return augment(raw, self.strength, self.generator), others

        return self.imbalance.pasted(images, targets, draw, take)

    def places(self, step: int) -> np.ndarray:
        """This process's part of a step's images, as places in `data`: those of this pass, where passes differ."""
        index = self.order.batch(step)
        if self.train.fresh is not None:
            sets, count = self.train.fresh.shape[:2]
            index = fresh_places(index, step, len(self.train), sets, count)
        return self.my_share(index)

    def my_share(self, index: np.ndarray) -> np.ndarray:
        """This process's part of a batch."""
        return index[self.fabric.global_rank :: self.fabric.world_size]

    def note_micro_batches(self) -> None:
        """Say, and keep for the card, that memory is too small for the batch, and what that changes."""
        effect = (
            "with the same gradients"
            if not self.statistics.present
            else "whose own statistics batch norm uses: results differ from those of a GPU with more memory"
        )
        about = "out of GPU memory"
        self.notes = [note for note in self.notes if not note.startswith(about)] + [
            f"{about}: each batch of {self.config.batch_size} is split into {self.micro_batches} "
            f"micro-batches, {effect}; a smaller batch_size needs no splitting"
        ]
        if self.micro_batches <= 2:  # said once; the result's notes tell how small they became
            log.warning("out of GPU memory: each batch is split into micro-batches, %s", effect)

    def seconds(self) -> float:
        """Training time so far, over all resumptions."""
        return self._seconds_before + time.monotonic() - self._started

    def val_logits(self, model: ImageClassifier) -> np.ndarray:
        """Logits of the validation images, float32 (N, K)."""
        with self.fabric.autocast():
            parts = map_batches(model, self.val.images, self.fabric.device, 512)
            logits = np.concatenate([part.numpy() for part in arriving(part.float() for part in parts)])
        # Batch statistics differ between processes: all must judge by the same figures, or some stop and some don't.
        return self.fabric.broadcast(logits) if self.fabric.world_size > 1 else logits

    def validate(self) -> dict[str, float]:
        """Validate the averaged (else the raw) weights, keep them when they are the best, add a row to the history."""
        model = self.average.model if self.average is not None else self.model
        model.eval()
        figures = quick_figures(self.val_logits(model), np.asarray(self.val.labels))
        self.model.train()
        self.loss_sum = self.fabric.all_reduce(self.loss_sum)
        summed = self.step - (int(self.history[-1]["step"]) if self.history else 0)
        row = {
            "step": float(self.step),
            "epoch": self.step * self.order.batch_size / len(self.train),
            "seconds": round(self.seconds(), 3),
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "train_loss": float(self.loss_sum) / max(1, summed),
            **figures,
        }
        self.loss_sum = torch.zeros_like(self.loss_sum)
        self.history.append(row)
        self.since_best += 1
        better = not self.best_row or self._merit(row) > self._merit(self.best_row)
        if better and np.isfinite(figures["val_loss"]):
            self.best_row, self.since_best = row, 0
            self.best = on_host(dict(model.state_dict()))
        return row

    def _merit(self, row: dict[str, float]) -> tuple[float, float]:
        """Larger is better; equal figures go to the lower loss."""
        figure = -row["val_loss"] if self.config.select_by == "loss" else row[f"val_{self.config.select_by}"]
        return (figure, -row["val_loss"])

    def without_gain(self) -> int:
        """Validations since the best one, or since the last of what sets in late has had its turn."""
        return min(self.since_best, sum(row["step"] > self.imbalance.complete for row in self.history))

    def save_due(self, seconds: float) -> bool:
        return time.monotonic() - self._saved >= seconds

    def save(self, at_least_seconds: float = 0.0) -> None:
        """Write the resume point, unless the last one is younger than `at_least_seconds`."""
        if not self.fabric.is_global_zero or not self.save_due(at_least_seconds):
            return
        state = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict() if self.average is not None else None,
            "optimizer": self.optimizer.state_dict(),
            **({"auxiliary": self.split.auxiliary.state_dict()} if self.split else {}),
            "loss_sum": self.loss_sum,
            "scale": self.fabric.strategy.precision.state_dict(),  # of gradients in float16; empty elsewhere
            "best": self.best,
            "plain": {
                "step": self.step,
                "total": self.total,
                "since_best": self.since_best,
                "history": self.history,
                "best_row": self.best_row,
                "seconds": self.seconds(),
                "micro_batches": self.micro_batches,
                "precision": self.precision,
            },
        }
        buffer = io.BytesIO()
        torch.save(on_host(state) if self.fabric.device.type == "cuda" else state, buffer)
        write_atomic(self.folder / RESUME, seal(buffer.getvalue()))
        save_history(self.folder, self.history)
        self._saved = time.monotonic()

    def restore(self) -> list[str]:
        """Go on from the folder's resume point if it is of this very training; returns what there is to say."""
        path = self.folder / RESUME
        if not path.is_file():
            return []
        try:
            state = _read(path)
        except UNREADABLE:
            return [f"{path} is damaged: training started anew"]
        if not is_same(state.get("identity"), self.identity):
            return [f"{path} belongs to another configuration or other data: training started anew"]
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.model.load_state_dict(state["average"])
        resume_optimizer(self.optimizer, state["optimizer"])
        if self.split is not None:
            self.split.auxiliary.load_state_dict(state["auxiliary"])
        if scale := state.get("scale"):
            self.fabric.strategy.precision.load_state_dict(scale)
        self.loss_sum = state["loss_sum"].to(self.fabric.device)
        self.best = state["best"]
        plain = state["plain"]
        self.step, self.total, self.since_best = plain["step"], plain["total"], plain["since_best"]
        self.history, self.best_row, self._seconds_before = plain["history"], plain["best_row"], plain["seconds"]
        self.micro_batches = plain["micro_batches"]
        if self.micro_batches > 1:
            self.note_micro_batches()
        if (before := plain.get("precision", self.precision)) != self.precision:  # on another device
            return [f"from step {self.step} on it was trained in {self.precision}, until then in {before}"]
        return []


def _read(path: Path) -> dict[str, Any]:
    """A resume point, on the CPU: an optimiser's step counts live there, and a GPU would be waited for every step."""
    content: dict[str, Any] = torch.load(io.BytesIO(unseal(path.read_bytes())), map_location="cpu", weights_only=True)
    return content


def stored_precision(folder: Path, identity: str, device: torch.device) -> str | None:
    """What "auto" came to in the training that this folder's resume point goes on with, on a processor.

    None without one, and on a GPU, where it always comes to the same.
    """
    path = folder / RESUME
    if device.type != "cpu" or not path.is_file():
        return None
    try:
        state = _read(path)
    except UNREADABLE:
        return None  # `restore` says so
    if not is_same(state.get("identity"), identity):
        return None
    return str(state["plain"].get("precision", "32-true"))  # before it was measured, that was all


def _with_fresh(train: Samples) -> np.ndarray:
    """The images, those of the later passes behind them."""
    if train.fresh is None:
        return train.images
    return np.concatenate([train.images, train.fresh.reshape(-1, *train.fresh.shape[2:])])


def _targets(train: Samples, counts: np.ndarray, loss: str, *, weigh: bool = True) -> np.ndarray:
    """float32 (N, K): soft or one-hot labels, times the sample's (`weigh`) and, for that loss, the class's weight."""
    if train.soft_labels is not None:
        targets = np.asarray(train.soft_labels, np.float32)
    else:
        targets = np.eye(len(counts), dtype=np.float32)[np.asarray(train.labels)]
    if train.fresh is not None:  # behind the others, set by set
        sets, count = train.fresh.shape[:2]
        again = np.concatenate([np.arange(len(train)), np.tile(np.arange(len(train) - count, len(train)), sets)])
        targets = targets[again]
        if train.fresh_soft_labels is not None:
            targets[len(train) :] = np.asarray(train.fresh_soft_labels, np.float32).reshape(sets * count, -1)
        train = replace(train, weights=None if train.weights is None else np.asarray(train.weights)[again])
    if loss == "class-weighted":
        targets = targets * balanced_class_weights(counts)
    if weigh and train.weights is not None:
        targets = targets * np.asarray(train.weights, np.float32)[:, None]
    return targets


def _set_normalisation(model: ImageClassifier, images: np.ndarray) -> None:
    """Mean and deviation per channel from at most some 4,000 training images, evenly picked."""
    picked = images[:: max(1, len(images) // 4000)].astype(np.float32) / 255
    model.mean.copy_(torch.from_numpy(picked.mean((0, 2, 3))))
    model.std.copy_(torch.from_numpy(np.maximum(picked.std((0, 2, 3)), 0.05)))
