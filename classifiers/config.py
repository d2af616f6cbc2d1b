"""The training configuration: one frozen dataclass, checked when it is made. Loads no torch."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import dataclass, field, fields
from typing import Any

from classifiers.errors import ClassifierError


def _option(default: Any, help: str, *, low: float | None = None, high: float | None = None, **rest: Any) -> Any:
    """A dataclass field with its help text and its allowed range or choices, from which a command line can be built.

    later=True: it came after trainings were made without it; at its default it is no part of a training's identity.
    """
    known = {"choices": rest.get("choices"), "later": rest.get("later", False)}
    return field(default=default, metadata={"help": help, "low": low, "high": high, **known})


@dataclass(frozen=True)
class TrainConfig:
    """How a classifier is trained. A value out of range raises ClassifierError with the field, value and range."""

    model: str = _option("compact", "architecture: compact, cnn, resnet18, timm:NAME, ...; a wrong name lists them")
    epochs: int = _option(30, "passes over the training images", low=1, high=100_000)
    steps: int | None = _option(None, "optimiser steps; overrides epochs", low=1, high=100_000_000)
    batch_size: int = _option(128, "images per optimiser step", low=1, high=65_536)
    lr: float | None = _option(
        None, "peak learning rate; none is 1e-2 for muon, 3e-3 for adamw, 0.05 for sgd", low=1e-7, high=10.0
    )
    optimizer: str | None = _option(
        None, "optimiser; none is the model's own: muon for compact, else adamw", choices=("adamw", "muon", "sgd")
    )
    weight_decay: float | None = _option(
        None, "weight decay of kernels and matrices; none is 5e-4 for sgd, else 0.05", low=0.0, high=1.0
    )
    momentum: float = _option(0.9, "momentum of sgd (Nesterov), beta1 of adamw", low=0.0, high=0.999)
    schedule: str = _option("onecycle", "learning-rate schedule", choices=("onecycle", "cosine", "constant"))
    warmup: float = _option(0.2, "fraction of the steps in which the learning rate rises", low=0.0, high=0.9)
    clip_norm: float = _option(2.0, "largest gradient norm; 0 leaves gradients alone", low=0.0, high=1e6)
    label_smoothing: float = _option(
        0.1, "share of each target spread over all classes; with logit adjustment by the prior", low=0.0, high=0.9
    )
    loss: str = _option(
        "cross-entropy",
        "training loss",
        choices=("cross-entropy", "class-weighted", "focal", "logit-adjusted", "ldam", "l2-svm"),
    )
    focal_gamma: float = _option(2.0, "focusing exponent of the focal loss", low=0.0, high=10.0)
    logit_tau: float = _option(1.0, "strength of the logit adjustment", low=0.0, high=10.0)
    ldam_margin: float = _option(
        1.0, "margin of the rarest class in LDAM, on the logits", low=0.0, high=100.0, later=True
    )
    sampler: str = _option(
        "shuffle",
        "order of images: every one once, classes equally often, or by the square root of their size",
        choices=("shuffle", "balanced", "root"),
    )
    defer: float = _option(
        0.0,
        "share of the steps before class weights or class-wise sampling set in; 0 is from the start",
        low=0.0, high=0.99, later=True,
    )  # fmt: skip
    refit: float = _option(
        0.0, "share of the steps, at the end, in which a new head is fitted on frozen features, classes equally often",
        low=0.0, high=0.9, later=True,
    )  # fmt: skip
    refit_on: str = _option(
        "all", "images that the new head is fitted on", choices=("all", "real"), later=True
    )  # fmt: skip
    prior: str = _option(
        "all", "images that class priors, weights and margins count", choices=("all", "real"), later=True
    )
    auxiliary_norm: str = _option(
        "none",
        "batch norm of their own for synthetic images, in training: statistics, or gain and bias as well (affine)",
        choices=("none", "statistics", "affine"), later=True,
    )  # fmt: skip
    mixup_across: float = _option(
        0.0, "alpha of mixup between real and synthetic images alone; 0 is off", low=0.0, high=10.0, later=True
    )
    cmo: float = _option(
        0.0, "probability that patches of rare classes' images are pasted into a batch", low=0.0, high=1.0, later=True
    )
    rare_augment: str | None = _option(
        None, "augmentation of the rare classes' images in place of the others'; none is the same",
        choices=("light", "strong", "classic", "randaugment"), later=True,
    )  # fmt: skip
    augment: str = _option(
        "light",
        "augmentation of the training images",
        choices=("none", "light", "strong", "classic", "randaugment"),
    )
    rotate: float | None = _option(None, "degrees of rotation, in place of the augmentation's own", low=0.0, high=180.0)
    shift: float | None = _option(None, "shift as a share of the side, in place of its own", low=0.0, high=0.5)
    zoom: float | None = _option(None, "zoom, 0.2 is 1/1.2 to 1.2, in place of its own", low=0.0, high=3.0)
    shear: float | None = _option(None, "shear as a tangent, in place of its own", low=0.0, high=1.0)
    flip: float | None = _option(None, "probability of a mirror image, in place of its own", low=0.0, high=1.0)
    cutout: float | None = _option(None, "probability of a blanked square, in place of its own", low=0.0, high=1.0)
    magnitude: float | None = _option(None, "RandAugment's strength, in place of its own", low=0.0, high=1.0)
    mixup: float = _option(0.0, "alpha of mixup's Beta distribution; 0 is off", low=0.0, high=10.0)
    cutmix: float = _option(0.0, "alpha of CutMix's Beta distribution; 0 is off", low=0.0, high=10.0)
    ema: float = _option(
        0.999, "decay of the averaged weights that are validated and kept; 0 is off", low=0.0, high=0.99999
    )
    progressive: float | None = _option(
        None, "share of the steps trained on images shrunk to two thirds; none is the model's own", low=0.0, high=0.95
    )
    dropout: float | None = _option(None, "dropout rate; none keeps the architecture's own", low=0.0, high=0.95)
    batch_norm: bool | None = _option(None, "batch norm on or off, for the models that leave the choice")
    pretrained: str = _option(
        "none",
        "starting weights: none; the folder of a trained classifier of the same model; for torchvision's and timm's "
        "models imagenet or a file",
    )
    freeze: float = _option(0.0, "share of the steps over which the body is unfrozen, head first", low=0.0, high=1.0)
    body_lr: float = _option(1.0, "learning rate of the body, as a share of the head's", low=0.0, high=1.0)
    patience: int = _option(
        0,
        "validations without improvement before stopping early, once all that sets in late has; 0 never stops",
        low=0,
        high=100_000,
    )
    validations: int = _option(40, "at most so many validations, evenly spread over the epochs", low=1, high=100_000)
    select_by: str = _option(
        "balanced_accuracy",
        "validation figure that picks the kept weights",
        choices=("balanced_accuracy", "accuracy", "loss"),
    )
    precision: str = _option(
        "auto",
        "arithmetic: auto is bf16 on CUDA, 32 bit elsewhere",
        choices=("auto", "32-true", "bf16-mixed", "16-mixed"),
    )
    compile: bool = _option(False, "compile the network (worth its start-up time on long GPU trainings)")
    checkpoint_seconds: float = _option(60.0, "seconds between resume points inside an epoch", low=0.0, high=86_400.0)
    tensorboard: bool = _option(True, "write TensorBoard curves and curves.png into the run's folder")

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(TrainConfig)
        for item in fields(self):
            object.__setattr__(
                self, item.name, _checked(item.name, getattr(self, item.name), hints[item.name], item.metadata)
            )
        if self.refit_on == "real" and not self.refit:
            raise ClassifierError("refit_on = 'real': no head is fitted again; set refit above 0, or leave it out")
        if self.mixup_across and self.auxiliary_norm != "none":
            raise ClassifierError(
                f"mixup_across = {self.mixup_across:g} leaves no image that is real alone, so batch norm cannot tell "
                "them apart: leave it or auxiliary_norm out"
            )


def identifying(settings: typing.Mapping[str, Any]) -> dict[str, Any]:
    """The settings (of `dataclasses.asdict`) that tell trainings apart: those that came later only where they are set,
    so that what was trained before them is still found."""
    later = {item.name: item.default for item in fields(TrainConfig) if item.metadata["later"]}
    return {name: value for name, value in settings.items() if name not in later or value != later[name]}


def about_synthetic(config: TrainConfig) -> list[str]:
    """The settings that are on and ask which training images are synthetic, as NAME = VALUE."""
    asked = ("refit_on", "prior", "auxiliary_norm", "mixup_across")
    defaults = {item.name: item.default for item in fields(TrainConfig)}
    return [f"{name} = {value}" for name in asked if (value := getattr(config, name)) != defaults[name]]


def _checked(name: str, value: Any, kind: Any, meta: typing.Mapping[str, Any]) -> Any:
    """The value, or ClassifierError naming field, value and what is allowed. An int is taken where a float is due."""
    allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and type(None) in allowed:
        return None
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wanted = next(k for k in allowed if k is not type(None))
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise ClassifierError(f"{name} = {value!r}: must be a {wanted.__name__}, not a {type(value).__name__}")
    choices = meta["choices"]
    if choices and value not in choices:
        raise ClassifierError(f"{name} = {value!r}: must be one of {', '.join(choices)}")
    low, high = meta["low"], meta["high"]
    if isinstance(value, int | float) and low is not None and not (math.isfinite(value) and low <= value <= high):
        raise ClassifierError(f"{name} = {value!r}: must lie between {low:g} and {high:g}")
    return value
