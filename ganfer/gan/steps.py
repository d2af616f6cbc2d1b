"""A short training in one loop, resumable: what the small networks beside a GAN (encoder, identity) are trained with.

Every random number of a step is a function of (seed, step), so the networks, the optimiser and the step are the state.
"""

import io
import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifiers.files import seal, unseal
from classifiers.memory import is_of_the_gpu
from ganfer.errors import GanferError, WorkspaceError
from ganfer.runtime.console import progress
from ganfer.runtime.device import graceful_stop
from ganfer.runtime.files import write_bytes


def train_steps(
    file: Path, parts: Mapping[str, Any], optimizer: torch.optim.Optimizer, steps: int, rate: float,
    step: Callable[[int], Tensor], *, every: int, what: str,
) -> None:  # fmt: skip
    """`steps` updates by the loss that `step(i)` returns, the rate falling along a cosine; resumes from `file`.

    parts: what the resume point holds besides the optimiser. WorkspaceError when it is damaged; GanferError when the
    loss became NaN or infinite. Ctrl-C and SIGTERM save first.
    """
    parts = {**parts, "optimizer": optimizer}
    done = _load(file, parts) if file.is_file() else 0
    with graceful_stop() as stop, progress(what, steps) as advance:
        advance(done)
        for i in range(done, steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * (0.5 + 0.5 * math.cos(math.pi * i / steps))
            loss = step(i)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            advance(1)
            last = stop()
            if last or (i + 1) % every == 0 or i + 1 == steps:
                if not bool(torch.isfinite(loss.detach())):
                    raise GanferError(f"{what}: the loss became NaN or infinite by step {i + 1:,}.", "Lower its rate.")
                _save(file, parts, i + 1)
            if last:
                raise KeyboardInterrupt


def _save(file: Path, parts: Mapping[str, Any], step: int) -> None:
    buffer = io.BytesIO()
    torch.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}}, buffer)
    write_bytes(file, seal(buffer.getvalue()))


def _load(file: Path, parts: Mapping[str, Any]) -> int:
    try:
        content = torch.load(io.BytesIO(unseal(file.read_bytes())), map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(content[name])
        return int(content["step"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        if is_of_the_gpu(error):
            raise
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise WorkspaceError(f"{file} cannot be read ({reason}).", "Remove it to train from the start.") from error
