"""Plots of a training and an evaluation as PNG files: curves, confusion, reliability, right and wrong predictions."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from classifiers.calibration import ece, reliability
from classifiers.evaluation import Evaluation
from classifiers.files import write_atomic

_MARK = {"ganfer:picture": "plot"}  # so that ganfer never takes a plot for a face

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from classifiers.explanation import Explanation


def plot_curves(history: Sequence[dict[str, float]], path: str | Path) -> None:
    """Loss, and accuracy with balanced accuracy, over the epochs of a TrainResult's history."""
    figure = _figure(9, 3.5)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["train_loss"] for row in history], label="training (augmented)")
    left.plot(epochs, [row["val_loss"] for row in history], label="validation")
    left.set(xlabel="epoch", ylabel="loss (nats)")
    right.plot(epochs, [100 * row["val_accuracy"] for row in history], label="accuracy")
    right.plot(epochs, [100 * row["val_balanced_accuracy"] for row in history], label="balanced accuracy")
    right.set(xlabel="epoch", ylabel="validation (%)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    _write(figure, path)


def plot_confusion(evaluation: Evaluation, path: str | Path) -> None:
    """The confusion matrix, counts beside shares of each true class."""
    counts = np.array(evaluation.confusion, dtype=float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(4.0, 0.62 * len(counts))
    figure = _figure(2 * side + 1, side + 0.6)
    left, right = figure.subplots(1, 2)
    _matrix(left, shares, [[f"{int(n)}" for n in row] for row in counts], evaluation.class_names, "images")
    texts = [
        [f"{100 * s:.0f}" if there else "–" for s in row] for row, there in zip(shares, counts.sum(1), strict=True)
    ]
    _matrix(right, shares, texts, evaluation.class_names, "% of the class")
    _write(figure, path)


def plot_reliability(probabilities: np.ndarray, labels: np.ndarray, path: str | Path, bins: int = 15) -> None:
    """Accuracy against confidence, with the share of images in each bin; on the diagonal is calibrated."""
    rows = reliability(probabilities, labels, bins)
    edges, shares, _, accuracies = (np.array(column) for column in zip(*rows, strict=True))
    figure = _figure(4.5, 4.5)
    axes = figure.subplots()
    axes.bar(edges, accuracies, 1 / bins, align="edge", edgecolor="white", label="accuracy")
    axes.step(np.append(edges, 1), np.append(shares, shares[-1]), where="post", color="C1", label="share of images")
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", title=f"ECE {ece(probabilities, labels, bins):.3f}")
    axes.legend(frameon=False, loc="upper left")
    _write(figure, path)


def plot_predictions(
    images: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    path: str | Path,
    *,
    columns: int = 8,
    seed: int = 0,
) -> None:
    """Two rows drawn at random from the right predictions, and the two rows of wrong ones it was surest of."""
    class_names = list(map(_plain, class_names))
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    right, wrong = np.flatnonzero(predicted == labels), np.flatnonzero(predicted != labels)
    right = np.random.default_rng(seed).permutation(right)[: 2 * columns]
    wrong = wrong[np.argsort(-confidence[wrong])][: 2 * columns]
    figure = _figure(1.35 * columns, 6.8)
    grid = figure.subplots(4, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for start, chosen, colour in ((0, right, "darkgreen"), (2 * columns, wrong, "darkred")):
        for axes, i in zip(grid[start:], chosen, strict=False):
            pixels = images[i].transpose(1, 2, 0)
            axes.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
            text = f"{class_names[predicted[i]]} {confidence[i]:.0%}"
            if predicted[i] != labels[i]:
                text += f"\nis {class_names[labels[i]]}"
            axes.set_title(text, fontsize=7, color=colour)
    _write(figure, path)


def heat_overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """uint8 (C, H, W) with the heat (H, W) in 0..1 laid over it in colour: uint8 (3, H, W)."""
    from matplotlib import colormaps

    colour = colormaps["inferno"](heat)[..., :3].transpose(2, 0, 1)
    weight = 0.65 * np.sqrt(heat)[None]
    mixed = (1 - weight) * np.broadcast_to(image / 255, colour.shape) + weight * colour
    return (255 * mixed).round().clip(0, 255).astype(np.uint8)


def strongest_maps(explanation: Explanation, number: int = 12) -> np.ndarray:
    """The first layer's maps with the most contrast, strongest first, each stretched to 0..255: uint8 (n, h, w)."""
    maps = explanation.feature_maps
    if not len(maps):
        return np.empty((0, 1, 1), np.uint8)
    chosen = maps[np.argsort(-maps.std(axis=(1, 2)), kind="stable")[:number]]
    low, high = chosen.min(axis=(1, 2), keepdims=True), chosen.max(axis=(1, 2), keepdims=True)
    return (255 * (chosen - low) / np.maximum(high - low, 1e-12)).round().astype(np.uint8)


def plot_explanation(image: np.ndarray, explanation: Explanation, path: str | Path) -> None:
    """The image uint8 (C, H, W), where the evidence lies, the scores of every class, and what the first layer sees."""
    maps = strongest_maps(explanation)
    figure = _figure(9.5, 5.6 if len(maps) else 3.6)
    top, *bottom = figure.subfigures(
        2 if len(maps) else 1, 1, height_ratios=[3, 2] if len(maps) else [1], squeeze=False
    )[:, 0]
    left, middle, right = top.subplots(1, 3, width_ratios=[1, 1, 1.5])
    pixels = image.transpose(1, 2, 0)
    left.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
    left.set_title(f"says {_plain(explanation.predicted)}", fontsize=9)
    middle.imshow(heat_overlay(image, explanation.heat).transpose(1, 2, 0))
    middle.set_title(f"{explanation.method} for {_plain(explanation.target)}", fontsize=9)
    names = [_plain(name) for name in explanation.probabilities][::-1]
    shares = [100 * share for share in explanation.probabilities.values()][::-1]
    colours = ["C0" if name == explanation.predicted else "lightgrey" for name in explanation.probabilities][::-1]
    right.barh(names, shares, color=colours)
    for name, share in zip(names, shares, strict=True):
        right.annotate(
            f"{share:.1f}", (share, name), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
        )
    right.set(xlim=(0, 112), xlabel="calibrated probability, %")
    for side in ("top", "right"):
        right.spines[side].set_visible(False)
    for axes in (left, middle):
        axes.axis("off")
    for axes, plane in zip(bottom[0].subplots(2, 6).ravel() if bottom else (), maps, strict=False):
        axes.imshow(plane, cmap="gray", vmin=0, vmax=255)
    for axes in bottom[0].axes if bottom else ():
        axes.axis("off")
    if bottom:
        bottom[0].suptitle("first layer, the maps with most contrast", fontsize=9)
    _write(figure, path)


def _matrix(axes: Axes, shares: np.ndarray, texts: list[list[str]], names: Sequence[str], title: str) -> None:
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks, names = range(len(names)), list(map(_plain, names))
    axes.set_xticks(ticks, names, rotation=45, ha="right")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    for i in ticks:
        for j in ticks:
            axes.text(j, i, texts[i][j], ha="center", va="center", fontsize=8,
                      color="white" if shares[i, j] > 0.5 else "black")  # fmt: skip


def _figure(width: float, height: float) -> Figure:
    """A figure of its own: no pyplot, so no display and no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _plain(name: str) -> str:
    """A name that is not set as a formula."""
    return name.replace("$", r"\$")


def _write(figure: Figure, path: str | Path) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a letter of a script that no font here has shows as a box
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font", category=UserWarning)
        figure.savefig(buffer, format="png", dpi=120, metadata=_MARK)
    write_atomic(Path(path), buffer.getvalue())
