"""What a training writes beside its weights: the card, the history, TensorBoard curves."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifiers.start import model_options

if TYPE_CHECKING:
    from classifiers.state import Run


def make_card(run: Run, temperature: float, validation: dict[str, Any] | None, notes: list[str]) -> dict[str, Any]:
    """Everything needed to use the weights and to tell where they come from; travels inside the weights' file."""
    return {
        "architecture": run.config.model,
        "model_options": model_options(run.config),
        "class_names": run.names,
        "channels": run.model.in_channels,
        "size": run.model.size,
        "normalisation": {"mean": run.model.mean.tolist(), "std": run.model.std.tolist()},
        "temperature": temperature,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "config": asdict(run.config),
        "seed": run.seed,
        "train_counts": dict(zip(run.names, run.counts.tolist(), strict=True)),
        "steps": run.step,
        "micro_batches": run.micro_batches,
        "best_step": int(run.best_row["step"]) if run.best_row else 0,
        "seconds": round(run.seconds(), 3),
        "device": str(run.fabric.device),
        "precision": run.precision,
        "versions": {"python": platform.python_version(), "torch": version("torch"), "numpy": version("numpy")},
        "history": run.history,
        "validation": validation,
        "notes": notes,
        "identity": run.identity,
    }


@contextmanager
def tensorboard(folder: Path, step: int, wanted: bool) -> Iterator[Callable[[dict[str, float], int], None]]:
    """Yields record(row, step), which adds to the curves in folder/tensorboard where they are wanted; points after
    `step`, from a training that was interrupted, are dropped."""
    if not wanted:
        yield lambda row, step: None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tensorboard's own imports
        from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None) as writer:

        def record(row: dict[str, float], step: int) -> None:
            for key, value in row.items():
                writer.add_scalar(key, value, step)

        yield record
