"""The state of a training, whole in one file: what the same command needs to go on as if nothing had happened.

Every random number of a step is a function of (seed, step), so the step is all there is to remember of randomness.
"""

import io
import pickle
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from classifiers.device_set import on_host
from classifiers.files import seal, unseal
from classifiers.memory import is_of_the_gpu
from classifiers.parts import resume_optimizer
from ganfer.errors import WorkspaceError
from ganfer.runtime.files import write_bytes

FORMAT = 2
NUM_SUMS = 5  # discriminator loss, generator loss, real logit, fake logit, the guide's loss


@dataclass
class Best:
    """The best snapshot so far: generator weights and figures. score None: nothing was held back, the last counts."""

    step: int
    score: float | None
    weights: dict[str, Tensor]
    figures: dict[str, Any]


@dataclass
class State:
    """Networks, optimisers and everything else that changes while training.

    sums: (NUM_SUMS,) float64, losses and logits summed since the last logged row. ada: see `ganfer.gan.ada`.
    """

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module
    optimizer_g: Any
    optimizer_d: Any
    precision: Any
    sums: Tensor
    ada: Tensor
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: Best | None = None
    arithmetic: str = "fp32"  # the precision the training goes on in; loading leaves it alone

    def _parts(self) -> dict[str, Any]:
        names = ("generator", "discriminator", "average", "optimizer_g", "optimizer_d", "precision")
        return {name: getattr(self, name) for name in names}

    def content(self) -> dict[str, Any]:
        """What the file holds, as it is now: tensors are the state's own where they are on the CPU."""
        return {
            "format": FORMAT,
            **{name: part.state_dict() for name, part in self._parts().items()},
            "sums": self.sums,
            "ada": self.ada,
            "step": self.step,
            "seconds": self.seconds,
            "arithmetic": self.arithmetic,
            "history": self.history,
            "best": None if self.best is None else dict(vars(self.best)),
        }

    def load(self, path: Path) -> str:
        """Take over the state in the file; returns the precision it was computed in. WorkspaceError when it is damaged
        or of another format."""
        try:
            content = torch.load(io.BytesIO(unseal(path.read_bytes())), map_location="cpu", weights_only=True)
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}, not {FORMAT}")
            for name, part in self._parts().items():
                if name.startswith("optimizer"):
                    resume_optimizer(part, content[name])
                else:
                    part.load_state_dict(content[name])
            self.sums.copy_(content["sums"])
            self.ada.copy_(content["ada"])
            self.step, self.seconds, self.history = content["step"], content["seconds"], content["history"]
            self.best = None if content["best"] is None else Best(**content["best"])
            return str(content.get("arithmetic", self.arithmetic))
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            if is_of_the_gpu(error):
                raise
            raise WorkspaceError(
                f"{path} cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__}).",
                "Remove it to train from the start.",
            ) from error


class Saver:
    """Writes states, whole or not at all; `aside`: in a thread, while the next steps are computed."""

    def __init__(self, path: Path, *, aside: bool) -> None:
        self.path = path
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint") if aside else None
        self._writing: Future[None] | None = None

    def save(self, state: State) -> None:
        """Write the state as it is now, after the one before has been written."""
        self.wait()
        if self._writer is None:
            self._write(state.content())
        else:
            self._writing = self._writer.submit(self._write, on_host(state.content()))

    def wait(self) -> None:
        """Until everything is written; an error of the thread is raised here."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, content: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_bytes(self.path, seal(buffer.getvalue()))
