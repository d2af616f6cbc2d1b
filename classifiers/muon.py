"""Muon (Jordan et al. 2024): momentum whose matrices are orthogonalised; AdamW for everything that isn't a matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_VANISHED = 1e-30  # momentum below this belongs to a unit that gets no gradient any more
_NEGLIGIBLE = 1e-9  # of a matrix's norm: entries that the iteration cannot raise to anything that counts


class Muon(torch.optim.Optimizer):
    """Groups with `muon=True` (kernels and matrices) get Muon's step, the others AdamW's, at the same learning rate.

    The step's size is scaled to AdamW's (Liu et al. 2025: 0.2 sqrt(max(rows, columns))), so that learning rates and
    weight decays carry over.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": 0.0, "muon": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._orthogonal if group["muon"] else self._adam
            for p in group["params"]:
                if p.grad is not None:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(update(p, group), alpha=-group["lr"])
        return loss

    def _orthogonal(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        assert p.grad is not None
        velocity = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
        velocity.masked_fill_(velocity.abs() < _VANISHED, 0.0)
        ahead = p.grad.lerp(velocity, group["momentum"])  # Nesterov's look ahead
        # The order of a kernel's columns doesn't matter; its own order in memory saves copies.
        ahead = ahead.movedim(1, -1) if ahead.ndim == 4 else ahead
        matrix = ahead.flatten(1)
        step = orthogonalised(matrix) * (0.2 * max(matrix.shape) ** 0.5)
        return step.view(ahead.shape).movedim(-1, 1) if ahead.ndim == 4 else step

    def _adam(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        state, (beta1, beta2) = self.state[p], group["betas"]
        if not state:
            state["steps"] = 0
            state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
        assert p.grad is not None
        state["steps"] += 1
        mean = state["mean"].lerp_(p.grad, 1 - beta1) / (1 - beta1 ** state["steps"])
        square = state["square"].lerp_(p.grad.square(), 1 - beta2) / (1 - beta2 ** state["steps"])
        return mean / square.sqrt().add_(1e-8)


def orthogonalised(matrix: Tensor, iterations: int = 5) -> Tensor:
    """The nearest matrix with orthonormal rows (or columns), roughly: singular values end up around 0.7 to 1.2.

    A Newton-Schulz iteration of the fifth order whose coefficients were chosen for speed; bfloat16 on CUDA. Entries
    below a billionth of the norm count as zero: the momentum of units that died decays into denormal numbers, with
    which a CPU multiplies a hundred times more slowly.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x.bfloat16() if x.is_cuda else x
    x = F.hardshrink(x / (x.norm() + 1e-7), _NEGLIGIBLE)
    for _ in range(iterations):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)
