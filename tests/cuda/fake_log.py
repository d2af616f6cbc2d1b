"""What happens on the stand-in: kernels, waits and copies, each with the line of the project's code behind it."""

import collections
import sys
from pathlib import Path
from types import FrameType
from typing import Any

PROJECT = ("ganfer", "classifiers", "stylegan_bridge")  # packages whose lines are named
_FREE = {  # no kernel
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "alias", "_unsafe_view",
    "_reshape_alias", "lift_fresh", "is_pinned", "_local_scalar_dense", "set_", "resize_", "_version", "sym_size",
}  # fmt: skip
_TWICE = {"convolution_backward", "native_batch_norm_backward", "native_batch_norm", "norm", "linalg_vector_norm"}


class Log:
    """Counts since `reset`. launches by operation, lines by place, syncs by (what, place), bytes by direction."""

    def __init__(self) -> None:
        self.capturing = False
        self.reset()

    def reset(self) -> None:
        self.launches: collections.Counter[str] = collections.Counter()
        self.lines: collections.Counter[str] = collections.Counter()
        self.syncs: collections.Counter[tuple[str, str]] = collections.Counter()
        self.bytes: collections.Counter[str] = collections.Counter()

    def sync(self, what: str) -> None:
        """The host waits for the device; refused where a graph is being captured, as CUDA refuses it."""
        if self.capturing:
            raise RuntimeError(f"operation not permitted when stream is capturing: {what}")
        self.syncs[what, where()] += 1

    def launch(self, func: Any, name: str, num_tensors: int) -> None:
        """A launching operation; multi-tensor kernels take some hundred tensors each."""
        if name in _FREE or func.is_view or self.capturing:
            return
        many = name.startswith(("_foreach", "_fused"))
        number = 1 + num_tensors // 300 if many else 2 if name in _TWICE else 1
        self.launches[name] += number
        self.lines[where()] += number

    @property
    def kernels(self) -> int:
        return sum(self.launches.values())

    def summary(self, most: int = 12) -> str:
        """For people who look for what launches or waits."""
        lines = [f"{self.kernels:,} kernels, {sum(self.syncs.values())} syncs, {dict(self.bytes)} bytes"]
        lines += [f"  sync x{n}: {what} at {place}" for (what, place), n in self.syncs.most_common(most)]
        lines += [f"  {n} kernels at {place}" for place, n in self.lines.most_common(most)]
        return "\n".join(lines)


def where() -> str:
    """The innermost line of the project's code, and through which function of torch it went."""
    frame: FrameType | None = sys._getframe(2)
    through = ""
    while frame is not None:
        path = frame.f_code.co_filename
        parts = Path(path).parts
        package = next((p for p in PROJECT if p in parts), None)
        if package and "site-packages" not in parts and path.endswith(".py"):
            place = "/".join(parts[len(parts) - parts[::-1].index(package) - 1 :])
            return f"{place}:{frame.f_lineno}" + (f" via {through}" if through else "")
        if any(part in path for part in ("/torch/optim/", "/lightning_fabric/", "clip_grad", "grad_scaler")):
            through = through or f"{Path(path).name}:{frame.f_code.co_name}"
        frame = frame.f_back
    return f"(backward or outside){' via ' + through if through else ''}"
