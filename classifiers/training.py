"""Training a classifier: checks, one visible loop, exact resume, calibration, and the files it leaves behind."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from classifiers.augment import augment, draw_mixing, mix, mix_across, shrink
from classifiers.backward import backward
from classifiers.calibration import fit_temperature, softmax
from classifiers.config import TrainConfig, about_synthetic, identifying
from classifiers.device import libraries_as_before, make_fabric, resolve_device
from classifiers.device_set import to_device
from classifiers.errors import ClassifierError
from classifiers.evaluation import evaluate
from classifiers.files import make_folder, read_weights, remove_parts, save_history, save_weights
from classifiers.losses import smooth
from classifiers.memory import kept
from classifiers.parts import clip_gradients, set_lr, unfreeze
from classifiers.plots import plot_curves
from classifiers.prediction import WEIGHTS, Classifier, load_classifier, write_folder
from classifiers.probe import precision_of
from classifiers.records import make_card, tensorboard
from classifiers.samples import (
    Samples,
    check_samples,
    class_counts,
    every_image,
    fingerprint,
    is_same,
    source_digest,
    synthetic_mask,
)
from classifiers.start import check_start, own_file, require_there, start_name
from classifiers.state import RESUME, Run, stored_precision

log = logging.getLogger("classifiers")

Advance = Callable[..., None]
# progress(description, total) -> a context manager that yields advance(n=1, note="")
Progress = Callable[[str, int], AbstractContextManager[Advance]]
# watch(row of the history, total steps), called after every validation; it may stop the training by raising
Watch = Callable[[dict[str, float], int], None]

# curves(folder, step, wanted) -> a context manager that yields record(row, step): who is told of the curves
Curves = Callable[[Path, int, bool], AbstractContextManager[Callable[[dict[str, float], int], None]]]

# What doesn't change the trained weights isn't part of a training's identity.
_INCIDENTAL = ("checkpoint_seconds", "tensorboard", "compile")


@dataclass
class TrainResult:
    """What a training left: `folder` holds model.safetensors, card.json, history.csv and, unless
    `config.tensorboard` is off, curves.png and TensorBoard's curves."""

    folder: Path
    card: dict[str, Any]
    history: list[dict[str, float]]
    steps: int
    seconds: float
    notes: list[str] = field(default_factory=list)
    already_done: bool = False

    @property
    def validation(self) -> dict[str, Any]:
        """The calibrated validation figures of the kept weights (an Evaluation as a dict)."""
        return self.card["validation"]

    def load(self, device: str = "auto") -> Classifier:
        """The trained classifier."""
        return load_classifier(self.folder, device)


def train(
    config: TrainConfig,
    train: Samples,
    val: Samples,
    class_names: Sequence[str],
    folder: str | Path,
    *,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    resume: bool = True,
    watch: Watch | None = None,
    auto_precision: str | None = None,
    curves: Curves = tensorboard,
) -> TrainResult:
    """Train on `train`, keep the weights that validate best on `val`, calibrate them, and write them to `folder`.

    The same call again resumes an interrupted training exactly (bit for bit on a CPU), or finds it done. Raises
    ClassifierError for bad input, and for a loss that isn't finite: the best weights until then stay as
    best.safetensors. What `watch` raises ends the training, which can be resumed from its last resume point.
    auto_precision: what precision "auto" comes to, where that is settled (for several trainings that are compared).
    curves: who is told of the curves.

    Example: `train(TrainConfig(epochs=20), faces, val_faces, names, "run")`.
    """
    if not resume:
        _check(config, train, val, list(class_names))
    elif done := find_finished(config, train, val, class_names, folder, seed=seed):
        return done
    steps = step_by_step(
        config, train, val, class_names, folder, seed=seed, device=device, progress=progress, resume=resume,
        watch=watch, auto_precision=auto_precision, curves=curves,
    )  # fmt: skip
    with alone(resolve_device(device)), closing(steps):
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: TrainResult = end.value
                return result


@contextmanager
def alone(device: torch.device) -> Iterator[None]:
    """Random numbers, freed memory and the libraries' settings are the block's own: what was there before is there
    again behind it."""
    own = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=own), kept(device), libraries_as_before():
        yield


def step_by_step(
    config: TrainConfig,
    train: Samples,
    val: Samples,
    class_names: Sequence[str],
    folder: str | Path,
    *,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    resume: bool = True,
    watch: Watch | None = None,
    auto_precision: str | None = None,
    curves: Curves = tensorboard,
) -> Generator[None, None, TrainResult]:
    """`train`, which stops after every step so that another training can take its turn. It is to run within `alone`.

    Torch's random numbers are seeded anew before every step, on the CPU and on the device.
    """
    folder, names = Path(folder), list(class_names)
    if resume and (done := find_finished(config, train, val, names, folder, seed=seed)):
        return done
    notes = _check(config, train, val, names)
    identity = _identity(config, train, val, names, seed)
    make_folder(folder)
    precision = config.precision
    if precision == "auto":
        place = resolve_device(device)
        shape = (len(train), *train.images.shape[1:3])
        known = (stored_precision(folder, identity, place) if resume else None) or auto_precision
        precision = known if known and place.type == "cpu" else precision_of(config, shape, len(names), place)
    fabric = make_fabric(device, precision, unused_parameters=_leaves_out(config))
    if fabric.is_global_zero:
        remove_parts(folder)
    for note in notes:
        log.info(note)  # they are in the result, too
    run = Run(config, train, val, names, folder, seed, fabric, identity)
    if resume:
        notes += run.restore()
        for row in run.history if watch is not None else []:  # what an uninterrupted training would have told
            watch(row, run.total)  # type: ignore[misc]
    bar = nullcontext(silent) if progress is None else progress(f"train {config.model}", run.total)
    try:
        with bar as advance:
            yield from _fit(run, advance, watch, curves)
        return _finish(run, notes)
    finally:
        run.recorder.close()


def _fit(run: Run, advance: Advance, watch: Watch | None, curves: Curves) -> Generator[None, None, None]:
    """The training loop, from `run.step` to the end; it stops after every step."""
    config = run.config
    advance(run.step)
    with curves(run.folder, run.step, config.tensorboard and run.fabric.is_global_zero) as record:
        while run.step < run.total:
            random = run.reseed()
            run.imbalance.begin(run.step, run.model, run.optimizer, run.average, run.split)
            factor = run.imbalance.lr_share(run.step)
            for group in run.optimizer.param_groups:
                set_lr(group, factor * group["peak_lr"], run.recorder.active, run.fabric.device)
            if config.freeze and run.step < run.imbalance.refit:  # from there on all but the head is frozen
                unfreeze(run.model, min(1.0, run.step / (config.freeze * run.total)))

            index = run.my_share(run.order.batch(run.step))
            images, targets = run.data.take(run.places(run.step))
            targets = run.imbalance.weigh(targets, run.step)
            if run.step + 1 < run.total and not config.cmo:  # which takes others in between
                run.data.prefetch(run.places(run.step + 1))
            early = run.step < run.early_steps
            how, numbers = draw_mixing(config.mixup, config.cutmix, images.shape[2], images.shape[3], random)
            mixing = [to_device(torch.from_numpy(numbers), run.fabric.device)] if how else []
            step = partial(_step, run, random, early, run.sources(index), how)
            loss = run.recorder(run.kind(early, how), step, images, targets, *mixing)
            run.step += 1
            if run.average is not None:
                run.average.update(run.step)
            run.loss_sum += loss
            note = ""
            if run.step in run.validation_steps:
                _stop_if_diverged(run, float(run.loss_sum))
                row = run.validate()
                _stop_if_diverged(run, row["val_loss"])
                record(row, run.step)
                note = f"validation {row['val_accuracy']:.1%}"
                if config.patience and run.without_gain() >= config.patience:
                    run.total = run.step
                run.save(at_least_seconds=min(5.0, config.checkpoint_seconds))
                if watch is not None:
                    watch(row, run.total)
            elif run.step % 20 == 0 and run.save_due(config.checkpoint_seconds):
                _stop_if_diverged(run, float(run.loss_sum))
                run.save()
            advance(1, note=note)
            yield


def _step(
    run: Run,
    random: np.random.Generator,
    early: bool,
    synthetic: np.ndarray | None,
    how: str,
    images: Tensor,
    targets: Tensor,
    *mixing: Tensor,
) -> Tensor:
    """One optimiser step on images (B, C, H, W) uint8 and targets (B, K), mixed as was drawn; returns the loss.

    Nothing here may ask the device for a value: the step is recorded where that is possible. synthetic: (B,) which
    images are, None where nothing asks.
    """
    config = run.config
    plain = augment(images, run.strength, run.generator)
    images = run.imbalance.changed(images, plain, targets, run.generator)
    images, targets = run.paste(images, targets)
    if how:
        images, targets = mix(images, targets, how, *mixing)
    if synthetic is not None:
        if how:  # an image that is partly synthetic is not real
            synthetic = synthetic | synthetic[::-1]
        images, targets = mix_across(images, targets, synthetic, config.mixup_across, random)
    if early:
        images = shrink(images, run.early_side)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = smooth(targets, config.label_smoothing, run.aim()[1])
    loss = backward(run, images, targets, synthetic, early=early)
    if config.clip_norm:
        clip_gradients(run.fabric, run.optimizer, config.clip_norm)
    run.optimizer.step()
    run.optimizer.zero_grad()
    return loss


def _stop_if_diverged(run: Run, loss: float) -> None:
    """Stop on a loss that became NaN or infinite; the best weights so far are written first."""
    if math.isfinite(loss):
        return
    kept = "no weights were good enough to keep"
    if run.best is not None:
        save_weights(run.folder / "best.safetensors", run.best, make_card(run, 1.0, None, []))
        kept = f"the best so far (step {run.best_row['step']:.0f}) are in {run.folder / 'best.safetensors'}"
    lr = run.optimizer.param_groups[0]["peak_lr"]
    raise ClassifierError(
        f"the loss is no longer finite at step {run.step} of {run.total}: lower lr (now {lr:g}), set clip_norm "
        f"or precision='32-true'; {kept}"
    )


def _finish(run: Run, notes: list[str]) -> TrainResult:
    """Load the best weights, calibrate on validation, and write model.safetensors, card.json and history.csv."""
    assert run.best is not None  # the last step always validates
    run.model.load_state_dict(run.best)
    logits, labels = run.val_logits(run.model.eval()), np.asarray(run.val.labels)
    temperature = fit_temperature(logits, labels)
    figures = evaluate(softmax(logits, temperature), labels, run.names)
    notes += run.notes
    card = make_card(run, temperature, figures.to_json(), notes)
    if run.fabric.is_global_zero:
        save_history(run.folder, run.history)
        if run.config.tensorboard:
            plot_curves(run.history, run.folder / "curves.png")
        write_folder(run.folder, run.best, card)
        (run.folder / RESUME).unlink(missing_ok=True)
    run.fabric.barrier()
    return TrainResult(run.folder, card, run.history, run.step, run.seconds(), notes)


def find_finished(
    config: TrainConfig, train: Samples, val: Samples, class_names: Sequence[str], folder: str | Path, *, seed: int = 0
) -> TrainResult | None:
    """The result of this very training, if the folder holds it; checks the input as `train` does."""
    notes, file = _check(config, train, val, list(class_names)), Path(folder) / WEIGHTS
    if not file.is_file():
        return None
    try:
        _, card = read_weights(file)
    except ClassifierError as error:
        log.warning("%s (training anew)", error.message)
        return None
    if not is_same(card.get("identity"), _identity(config, train, val, list(class_names), seed)):
        return None
    return TrainResult(Path(folder), card, card["history"], card["steps"], card["seconds"], notes, already_done=True)


def _check(config: TrainConfig, train: Samples, val: Samples, names: list[str]) -> list[str]:
    """Refuse what can't be trained on; returns notes on what is unusual but allowed."""
    if len(names) < 2 or len(set(names)) < len(names):
        raise ClassifierError(f"class names {names}: at least two different ones are needed")
    check_samples(train, "training", names)
    channels, size = train.images.shape[1], train.images.shape[2]
    check_samples(val, "validation", names, channels=channels, size=size)
    counts, notes = class_counts(train.labels, len(names)), []
    if missing := [name for name, n in zip(names, counts, strict=True) if n == 0]:
        notes.append(f"no training images of {', '.join(missing)}: the classifier can't learn to recognise them")
    if (counts > 0).sum() < 2:
        raise ClassifierError("the training images are all of one class; at least two classes are needed")
    require_there(config.pretrained)
    if own := own_file(config.pretrained):
        check_start(own, config, (channels, size))
    return [*notes, *_check_sources(config, train, names)]


def _check_sources(config: TrainConfig, train: Samples, names: list[str]) -> list[str]:
    """The same for settings that treat synthetic images differently."""
    asked, synthetic = about_synthetic(config), synthetic_mask(train)
    if not asked:
        return []
    if synthetic is None:
        return [f"no training image is said to be synthetic: {', '.join(asked)} changes nothing"]
    if synthetic.all():
        raise ClassifierError(f"{asked[0]}: every training image is synthetic; add real ones, or leave it out")
    labels = np.asarray(train.labels)
    without = np.setdiff1d(labels[synthetic], labels[~synthetic])
    if config.refit_on == "real" and len(without):
        raise ClassifierError(
            f"refit_on = real: {', '.join(names[k] for k in without)} has synthetic images alone, which a head fitted "
            "on real ones would never name; add real ones, or leave refit_on out"
        )
    return []


def _leaves_out(config: TrainConfig) -> bool:
    """Whether some steps leave parameters without a gradient: a frozen body, or gains of images that a batch lacks."""
    return config.freeze > 0 or config.refit > 0 or config.auxiliary_norm == "affine"


def _identity(config: TrainConfig, train: Samples, val: Samples, names: list[str], seed: int) -> str:
    """What makes two trainings the same one: configuration, seed, classes and data."""
    settings = {k: v for k, v in identifying(asdict(config)).items() if k not in _INCIDENTAL}
    settings["pretrained"] = start_name(config.pretrained)
    parts = [settings, seed, names, fingerprint(train), fingerprint(val)]
    if about_synthetic(config) and synthetic_mask(train) is not None:
        parts.append(source_digest(train))
    found = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    every = every_image(train) + every_image(val)
    return f"{found}+{hashlib.sha256(every.encode()).hexdigest()[:16]}" if every else found


def silent(n: int = 1, note: str = "") -> None:
    """Progress nobody watches."""
