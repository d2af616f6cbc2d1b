"""What a training leaves to look at: history.csv, TensorBoard, the loss curve."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganfer.data.provenance import PICTURE
from ganfer.runtime.files import atomic_path, write_csv

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

    def __init__(self, folder: Path, class_names: Sequence[str], first_step: int, *, silent: bool = False) -> None:
        """silent: writes nothing, for the followers of several processes."""
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        per_class = [f"{figure}_{name}" for figure in ("kid", "diversity") for name in class_names]
        self.columns = (*ALWAYS, *per_class, "alarm")
        # events of steps after the resume point are drawn again, so TensorBoard is told to forget them
        self._plotted = time.monotonic()
        self._board = None if silent else SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def log(self, row: Mapping[str, Any]) -> None:
        """One row to TensorBoard."""
        if self._board is None:
            return
        for name, value in row.items():
            if isinstance(value, float) and name != "seconds":
                self._board.add_scalar(name, value, row["step"])
        if row.get("alarm"):
            self._board.add_text("alarm", row["alarm"], row["step"])

    def grid(self, image: Any, step: int) -> None:
        """The sample grid (a Pillow image) to TensorBoard."""
        import numpy as np

        if self._board is not None:
            self._board.add_image("samples", np.asarray(image), step, dataformats="HWC")

    def write(self, history: Sequence[Mapping[str, Any]], *, last: bool = False) -> None:
        """The whole history as history.csv and, at the end or after half a minute, losses.png."""
        if self._board is None:
            return
        write_csv(self.folder / "history.csv", self.columns, history)
        if last or time.monotonic() - self._plotted > PLOT_SECONDS:
            plot_losses(self.folder / "losses.png", history)
            self._plotted = time.monotonic()
        self._board.flush()

    def close(self) -> None:
        """Flush and close TensorBoard's file."""
        if self._board is not None:
            self._board.close()


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
