"""TensorBoard: curves in the run's folder `tensorboard/`, and of an experiment a row per arm (HParams)."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganfer.tracking.tracker import Interval, Metric, TrackedRun, Value

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class TensorboardTracker:
    """Writes events only where there is a curve, a picture or a nested run to show; no folder otherwise."""

    def start(self, run: TrackedRun) -> str:
        self._run = run
        self._folder = run.folder / FOLDER / run.name if run.nested else run.folder / FOLDER
        self._params: Mapping[str, Value] = {}
        self._finals: dict[str, float] = {}
        self._open: SummaryWriter | None = None
        for old in self._folder.glob("events.out.tfevents.*") if run.nested else ():
            old.unlink()  # it is told anew
        return ""

    def params(self, values: Mapping[str, Value]) -> None:
        self._params = values

    def metrics(self, values: Mapping[str, Metric], step: int | None) -> None:
        plain = {name: value.mean if isinstance(value, Interval) else value for name, value in values.items()}
        if step is None:
            self._finals |= plain
            return
        for name, value in plain.items():
            self._writer().add_scalar(name, value, step)

    def picture(self, name: str, pixels: Any, step: int) -> None:
        self._writer().add_image(name, pixels, step, dataformats="HWC")
        self._writer().flush()

    def note(self, name: str, text: str, step: int) -> None:
        self._writer().add_text(name, text, step)

    def artefact(self, path: Path) -> None:
        """TensorBoard keeps no files: they are in the run's folder."""

    def end(self, status: str) -> None:
        if self._run.nested and status == "finished" and self._finals:
            finals = {name: value for name, value in self._finals.items() if math.isfinite(value)}
            params = {name: value for name, value in self._params.items() if value is not None}
            self._writer().add_hparams(params, finals, run_name=".")
        if self._open is not None:
            self._open.close()

    def _writer(self) -> "SummaryWriter":
        if self._open is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # tensorboard's own imports
                from torch.utils.tensorboard import SummaryWriter

            # events of steps after the resume point are told again, so TensorBoard is told to forget them
            purge = self._run.step + 1 if self._run.step else None
            self._open = SummaryWriter(str(self._folder), purge_step=purge)
        return self._open
