"""An evaluation's files: results.json first, then what is made from it and from the predictions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import evaluate as classifier_figures
from classifiers.plots import plot_confusion, plot_curves, plot_predictions, plot_reliability
from ganfer.classifier.evaluate_page import evaluation_page
from ganfer.classifier.figures import Measurement
from ganfer.classifier.selective import accepted
from ganfer.runtime.files import write_csv, write_json, write_text
from ganfer.statistics.intervals import PER_CLASS


def write_evaluation(folder: Path, measurement: Measurement, results: dict[str, Any]) -> None:
    """Write results.json, index.html, report.txt, per_class.csv, predictions.csv and the plots as PNG."""
    write_json(folder / "results.json", results)
    write_text(folder / "index.html", evaluation_page(results))
    write_text(folder / "report.txt", results["report"])
    columns = [f"{figure}{end}" for figure in PER_CLASS for end in ("", "_low", "_high")]
    write_csv(folder / "per_class.csv", ("class", "images", *columns), _class_rows(results))
    names = measurement.subject.images.class_names
    extra = () if measurement.thresholds is None else ("accepted",)
    write_csv(
        folder / "predictions.csv",
        ("id", "true", "predicted", "confidence", *extra, *(f"p_{name}" for name in names)),
        _rows(measurement),
    )
    _plots(folder, measurement, results)


def _plots(folder: Path, measurement: Measurement, results: dict[str, Any]) -> None:
    images, probabilities = measurement.subject.images, measurement.probabilities
    names, labels = images.class_names, images.labels
    plot_confusion(classifier_figures(probabilities, labels, names), folder / "confusion.png")
    plot_reliability(probabilities, labels, folder / "reliability.png")
    plot_predictions(np.asarray(images.images), probabilities, labels, names, folder / "predictions.png")
    histories = [each["history"] for each in results["curves"] if each["history"]]
    if len(histories) == 1:
        plot_curves(histories[0], folder / "curves.png")


def _class_rows(results: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, figures in results["per_class"].items():
        row: dict[str, Any] = {"class": name, "images": figures["support"]}
        for figure in PER_CLASS:
            known = figures[figure] or {}
            for end, part in (("", "mean"), ("_low", "low"), ("_high", "high")):
                row[figure + end] = round(known[part], 6) if known else ""
        yield row


def _rows(measurement: Measurement) -> Iterator[dict[str, Any]]:
    images, probabilities = measurement.subject.images, measurement.probabilities
    names = images.class_names
    sure = None if measurement.thresholds is None else accepted(probabilities, measurement.thresholds)
    for i, row in enumerate(probabilities):
        k = int(row.argmax())
        found = {
            "id": images.ids[i],
            "true": names[images.labels[i]],
            "predicted": names[k],
            "confidence": f"{row[k]:.6f}",
            **{f"p_{name}": f"{p:.6f}" for name, p in zip(names, row, strict=True)},
        }
        yield found if sure is None else found | {"accepted": int(sure[i])}
