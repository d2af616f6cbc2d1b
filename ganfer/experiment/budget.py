"""What an experiment costs before it starts: how many trainings, of how many steps, and about how long."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifiers.config import TrainConfig
from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.page.numbers import duration
from ganfer.workspace import Run, Workspace

if TYPE_CHECKING:
    import torch

# (steps that are not timed, steps that are): on a GPU the first ones load libraries and choose algorithms for seconds
_WARM_UP = {"cpu": (4, 12), "cuda": (20, 60)}
_ALIKE = ("model", "batch_size", "augment", "mixup", "cutmix", "precision", "optimizer", "ema", "compile")


@dataclass(frozen=True)
class Budget:
    """trainings: at most. steps: of each, None before the data is there. seconds: for all, None where nothing tells.

    source: what the estimate comes from.
    """

    trainings: int
    steps: int | None
    seconds: float | None
    source: str

    def lines(self) -> list[str]:
        """One line for the plan."""
        steps = f" of {self.steps:,} steps" if self.steps else ""
        time_words = f"about {duration(self.seconds)} ({self.source})" if self.seconds is not None else self.source
        return [f"at most {self.trainings} trainings{steps}: {time_words}"]


def budget_of(
    config: Config,
    trainings: int,
    workspace: Workspace | None,
    data: Run | None,
    *,
    real: ImageSet | None = None,
    val: ImageSet | None = None,
) -> Budget:
    """The budget of an experiment: from the newest record of a like training, else from a warm-up on the images.

    Trainings side by side share the machine, so they are counted one after the other: an estimate on the safe side.
    """
    count = len(real) if real is not None else _train_count(data) if data is not None else None
    if count is None:
        return Budget(trainings, None, None, "time unknown before there is data")
    from classifiers.parts import total_steps

    steps = total_steps(config.classifier, max(1, count))
    assert workspace is not None
    assert data is not None
    per_step, source = _from_records(workspace, config, data), "from the classifier trained before"
    if per_step is None and real is not None and val is not None:
        per_step, source = _warm_up(config, real, val), "from a short warm-up"
    if per_step is None:
        return Budget(trainings, steps, None, "time unknown before a warm-up")
    return Budget(trainings, steps, trainings * steps * per_step, source)


def together(budgets: Sequence[Budget]) -> Budget:
    """Of several experiments."""
    seconds = [each.seconds for each in budgets if each.seconds is not None]
    whole = sum(seconds) if len(seconds) == len(budgets) else None
    first = budgets[0]
    return Budget(sum(each.trainings for each in budgets), first.steps, whole, first.source)


def _train_count(data: Run) -> int | None:
    """Training images of a data set, from its record; None where the record does not say."""
    counts: Any = data.figures.get("counts", {})
    train = counts.get("train") if isinstance(counts, dict) else None
    return sum(train.values()) if isinstance(train, dict) else None


def _from_records(workspace: Workspace, config: Config, data: Run) -> float | None:
    """Seconds per step of the newest classifier of this workspace that was trained alike, on this data and device."""
    wanted = dataclasses.asdict(config.classifier)
    for run in reversed(workspace.runs("classifiers")):
        record = run.record
        key = record.get("key", {})
        had, steps = key.get("config", {}), record.get("figures", {}).get("steps")
        same_device = config.device in ("auto", str(record.get("device", "")).partition(":")[0])
        alike = all(had.get(name) == wanted[name] for name in _ALIKE)
        if run.complete and steps and alike and same_device and key.get("inputs", {}).get("data") == data.digest:
            return float(record["seconds"]) / steps
    return None


def _warm_up(config: Config, real: ImageSet, val: ImageSet) -> float:
    """Seconds per step, validations left out, timed inside one short training once it runs evenly."""
    from classifiers import train
    from classifiers.device import resolve_device
    from ganfer.classifier.train import samples

    place = resolve_device(config.device)
    first, timed = _WARM_UP.get(place.type, _WARM_UP["cuda"])
    clock = _Clock(place, first, first + timed)
    some = val.select(range(min(len(val), 64)))
    brief: TrainConfig = dataclasses.replace(
        config.classifier, steps=first + timed, validations=1, tensorboard=False, progressive=0.0
    )
    with tempfile.TemporaryDirectory(prefix="ganfer-warm-up-") as folder:
        train(
            brief, samples(real), samples(some), real.class_names, Path(folder), device=config.device,
            progress=clock.watched,
        )  # fmt: skip
    return clock.seconds / timed


class _Clock:
    """The time between the ends of two steps, when the device has really done them."""

    def __init__(self, device: "torch.device", first: int, last: int) -> None:
        self._device, self._marks, self._step = device, (first, last - 1), 0
        self._times: list[float] = []

    @contextmanager
    def watched(self, description: str, total: int) -> Iterator[Callable[..., None]]:
        """A progress that counts steps; the last one's end holds a validation, so the one before it ends the time."""
        yield self._advance

    def _advance(self, n: int = 1, note: str = "") -> None:
        self._step += n
        if self._step in self._marks and n:
            if self._device.type == "cuda":
                import torch

                torch.cuda.synchronize(self._device)
            self._times.append(time.monotonic())

    @property
    def seconds(self) -> float:
        """Of all timed steps, from those between the marks."""
        first, last = self._marks
        return (self._times[1] - self._times[0]) * (last + 1 - first) / (last - first)
