"""What trackers are told of an experiment: its comparisons; settings and figures of every arm, as a run within it."""

from collections.abc import Mapping
from typing import Any

from ganfer.config import Config
from ganfer.experiment.findings import Experiment
from ganfer.experiment.plan import REBALANCED
from ganfer.tracking import Interval, Tracked, figures_of


def track_experiment(track: Tracked, config: Config, results: Mapping[str, Any], experiment: Experiment) -> None:
    """The changes against other arms, with their intervals; per arm what it was trained with, and its test figures."""
    track.metrics(
        {
            f"{row['arm']} over {row['baseline']}/{row['metric']}": Interval(row["change"], row["low"], row["high"])
            for row in results["comparisons"]
        }
    )
    track.artefacts("index.html", "results.json")
    settings = results["settings"]
    for arm, outcome in zip(results["arms"], experiment.outcomes, strict=True):
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
        recalls = {name: value["recall"] for name, value in arm["per_class"].items()}
        with track.nested(arm["name"], parameters) as inner:
            inner.metrics(figures_of({"test": arm["metrics"], "recall": recalls}))
            for seed, trained in zip(settings["seeds"], outcome.trained, strict=False):
                for place, value in enumerate(trained.history, 1):
                    inner.metrics({f"validation/balanced_accuracy/seed-{seed}": value}, place)
