"""TensorBoard's HParams of an experiment: a row per arm, so that experiments can be sorted and set side by side."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganfer.config import Config
from ganfer.experiment.plan import REBALANCED


def write_hparams(folder: Path, config: Config, results: Mapping[str, Any]) -> None:
    """Write `tensorboard/<arm>/` below the folder, anew: what each arm was trained with, and its test figures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tensorboard's own imports
        from torch.utils.tensorboard import SummaryWriter
    settings = results["settings"]
    for arm in results["arms"]:
        target = folder / "tensorboard" / arm["name"]
        for old in target.glob("events.out.tfevents.*"):
            old.unlink()
        counts = arm["train_counts"].values()
        parameters: dict[str, Any] = {
            "arm": arm["name"],
            "model": config.classifier.model,
            "steps": arm["steps"],
            "seeds": len(settings["seeds"]),
            "training_images": sum(counts),
            "synthetic_images": sum(arm["synthetic_counts"].values()),
            "synthetic_weight": settings["weight_with_best" if arm["name"] == REBALANCED else "weight"],
            "imbalance": max(counts) / max(1, min(counts)),
        }
        figures = {f"test/{name}": value["mean"] for name, value in arm["metrics"].items()}
        figures |= {
            f"recall/{name}": value["recall"]["mean"]
            for name, value in arm["per_class"].items()
            if value["recall"]["mean"] is not None
        }
        with SummaryWriter(str(target)) as writer:
            writer.add_hparams(parameters, figures, run_name=".")
