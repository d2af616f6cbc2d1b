"""Muon (Jordan et al. 2024): momentum whose matrices are orthogonalised; AdamW for everything that isn't a matrix.

On a GPU a step's length is its number of kernels, so all matrices are worked on together there (`MatrixStack`) and
the rest by torch's fused AdamW. torch.optim.Muon does one matrix after the other, and takes no kernels of convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from classifiers.muon_stack import MatrixStack, as_matrix, orthogonalised, stacks_of

_VANISHED = 1e-30  # momentum below this belongs to a unit that gets no gradient any more


class Muon(torch.optim.Optimizer):
    """Groups with `muon=True` (kernels and matrices) get Muon's step, the others AdamW's, at the same learning rate.

    The step's size is scaled to AdamW's (Liu et al. 2025: 0.2 sqrt(max(rows, columns))), so that learning rates and
    weight decays carry over. batched: work on all matrices at once; none does so on CUDA. A group's "lr" may there be
    a tensor, which a recorded step reads anew. half: orthogonalise in bfloat16, as its authors do and as CUDA always
    does, on a processor too.

    torch's gradient scaler sets `grad_scale` and `found_inf` (scalars on the device) for a step in float16: gradients
    are divided by the one, and where the other is not 0 nothing changes. On CUDA none of it waits for the device.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        *,
        batched: bool | None = None,
        half: bool = False,
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": 0.0, "muon": False})
        self._batched, self._half = batched, half
        #: What torch's scaler asks: with it, it does not wait to hear whether gradients are finite.
        self._step_supports_amp_scaling = _on_cuda(self.param_groups) if batched is None else batched
        self._stacks: dict[tuple[int, ...], list[MatrixStack]] = {}  # by the parameters that have a gradient

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            if params[0].is_cuda if self._batched is None else self._batched:
                (self._orthogonal_together if group["muon"] else self._adam_together)(params, group)
                continue
            update = self._orthogonal if group["muon"] else self._adam
            for p in params:
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
        matrix = as_matrix(ahead)
        step = orthogonalised(matrix, half=self._half) * (0.2 * max(matrix.shape) ** 0.5)
        return step.view(ahead.movedim(1, -1).shape).movedim(-1, 1) if ahead.ndim == 4 else step

    def _orthogonal_together(self, params: list[Tensor], group: dict[str, Any]) -> None:
        scale, overflow = self._of_scaler()
        taken = None if overflow is None else (overflow == 0).to(params[0].dtype)  # 1, or 0: nothing changes
        rate = group["lr"] if taken is None else group["lr"] * taken
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - rate * group["weight_decay"])
        for stack in self._stacks_for(params):
            torch._foreach_copy_(stack.gradients, [p.grad for p in stack.params if p.grad is not None])
            if taken is not None:
                stack.gradient.masked_fill_(taken == 0, 0.0)
            if scale is not None:
                stack.gradient.div_(scale)
            share = 1 - group["momentum"]
            stack.velocity.lerp_(stack.gradient, share if taken is None else share * taken)
            stack.velocity.masked_fill_(stack.velocity.abs() < _VANISHED, 0.0)
            step = orthogonalised(stack.gradient.lerp(stack.velocity, group["momentum"]))
            torch._foreach_sub_(stack.params, stack.views(step * (stack.scale * rate)))

    def _stacks_for(self, params: list[Tensor]) -> list[MatrixStack]:
        """The stacks of these parameters; their momentum is a view of the stack's, also after a state was loaded."""
        key = tuple(id(p) for p in params)
        if key not in self._stacks:  # also when more layers begin to learn: each has its momentum in one stack only
            self._stacks = {k: v for k, v in self._stacks.items() if not set(k) & set(key)}
            self._stacks[key] = stacks_of(params)
        for stack in self._stacks[key]:
            for p, momentum in zip(stack.params, stack.momenta, strict=True):
                if (known := self.state[p].get("momentum")) is not momentum:
                    if known is not None:
                        momentum.copy_(known)
                    self.state[p]["momentum"] = momentum
        return self._stacks[key]

    def _adam(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        state, (beta1, beta2) = self.state[p], group["betas"]
        if not state:
            state["steps"] = 0
            state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
        assert p.grad is not None
        state["steps"] = int(state["steps"]) + 1  # a tensor in a resume point that a GPU has left
        mean = state["mean"].lerp_(p.grad, 1 - beta1) / (1 - beta1 ** state["steps"])
        square = state["square"].lerp_(p.grad.square(), 1 - beta2) / (1 - beta2 ** state["steps"])
        return mean / square.sqrt().add_(1e-8)

    def _adam_together(self, params: list[Tensor], group: dict[str, Any]) -> None:
        for p in params:
            state = self.state[p]
            if not state:
                state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
                state["steps"] = 0
            if not isinstance(state["steps"], Tensor) or state["steps"].device != p.device:
                state["steps"] = torch.full((), float(state["steps"]), dtype=torch.float32, device=p.device)
        states = [self.state[p] for p in params]
        scale, overflow = self._of_scaler()
        adamw(
            params, [p.grad for p in params if p.grad is not None],
            [s["mean"] for s in states], [s["square"] for s in states], [], [s["steps"] for s in states],
            fused=True, amsgrad=False, beta1=group["betas"][0], beta2=group["betas"][1], lr=group["lr"],
            weight_decay=group["weight_decay"], eps=1e-8, maximize=False, grad_scale=scale,
            found_inf=overflow,
        )  # fmt: skip

    def _of_scaler(self) -> tuple[Tensor | None, Tensor | None]:
        """`grad_scale` and `found_inf`, None where no scaler has set them."""
        return getattr(self, "grad_scale", None), getattr(self, "found_inf", None)


def _on_cuda(groups: Iterable[dict[str, Any]]) -> bool:
    return any(p.is_cuda for group in groups for p in group["params"])
