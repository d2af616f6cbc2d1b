"""What a training leaves to look at: history.csv, the loss curve, and what trackers (TensorBoard) are told."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganfer.data.provenance import PICTURE
from ganfer.runtime.files import atomic_path, write_csv
from ganfer.tracking import Tracked

PLOT_SECONDS = 30.0  # drawing the curve takes as long as several steps
LOSSES = ("loss_discriminator", "loss_generator")
_DETAILS = ("logit_real", "logit_fake", "guide_loss", "overfitting")
ALWAYS = (
    "step",
    "images",
    "seconds",
    "conditioning",
    "augmentation",
    *LOSSES,
    *_DETAILS,
    "kid",
    "score",
)


class Journal:
    """Writes rows of figures: flat dicts with the keys `ALWAYS` and, at snapshots, kid and diversity per class."""

    def __init__(self, folder: Path, class_names: Sequence[str], track: Tracked, *, silent: bool = False) -> None:
        """silent: writes nothing, for the followers of several processes."""
        self.folder = folder
        per_class = [f"{figure}_{name}" for figure in ("kid", "diversity") for name in class_names]
        self.columns = (*ALWAYS, *per_class, "alarm")
        self._plotted = time.monotonic()
        self._track, self._silent = track, silent

    def log(self, row: Mapping[str, Any]) -> None:
        """One row to the trackers."""
        figures = {name: value for name, value in row.items() if isinstance(value, float) and name != "seconds"}
        self._track.metrics(figures, row["step"])
        if row.get("alarm"):
            self._track.note("alarm", row["alarm"], row["step"])

    def grid(self, image: Any, step: int) -> None:
        """The sample grid (a Pillow image) to the trackers."""
        import numpy as np

        pixels = np.asarray(image)
        self._track.picture("samples", pixels[..., None] if pixels.ndim == 2 else pixels, step)

    def write(self, history: Sequence[Mapping[str, Any]], *, last: bool = False) -> None:
        """The whole history as history.csv and, at the end or after half a minute, losses.png."""
        if self._silent:
            return
        write_csv(self.folder / "history.csv", self.columns, history)
        if last or time.monotonic() - self._plotted > PLOT_SECONDS:
            plot_losses(self.folder / "losses.png", history)
            self._plotted = time.monotonic()


def plot_losses(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Losses over the steps, and KID below them where snapshots were judged."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    losses, kids = figure.subplots(2, 1, sharex=True)
    steps = [row["step"] for row in history]
    for name in LOSSES:
        losses.plot(steps, [row[name] for row in history], label=name.removeprefix("loss_"))
    judged = [row for row in history if isinstance(row.get("score"), float)]
    kids.plot([row["step"] for row in judged], [row["score"] for row in judged], marker="o", markersize=3)
    losses.set_ylabel("loss")
    losses.legend(frameon=False)
    kids.set_ylabel("KID (random-conv features)")
    kids.set_xlabel("step")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={PICTURE: "plot"})
