"""Gradients averaged over several processes while the backward pass is still computing the rest of them."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ganfer.runtime import ranks

_BUCKET_BYTES = 1 << 20  # of one exchange: large enough to fill a network, small enough that most overlaps the pass


class GradientMean:
    """The mean over all processes of a network's gradients; nothing is done, or costs anything, for one process.

    Parameters are put into buckets in the order in which a backward pass reaches them. A bucket whose gradients are all
    there is sent off at once, one after another, so that all processes exchange in the same order. `finish` is called
    after every backward pass through the network's parameters, by all processes.
    """

    def __init__(self, network: nn.Module) -> None:
        self._buckets: list[list[nn.Parameter]] = []
        self._reset()
        if ranks.count() == 1:
            return
        for parameter in reversed([p for p in network.parameters() if p.requires_grad]):
            size = sum(p.numel() * p.element_size() for p in self._buckets[-1]) if self._buckets else _BUCKET_BYTES
            if size >= _BUCKET_BYTES:
                self._buckets.append([])
            self._buckets[-1].append(parameter)
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(partial(self._arrived, number))
        self._reset()

    def _reset(self) -> None:
        self._missing = [len(bucket) for bucket in self._buckets]
        self._sent: list[tuple[list[Tensor], Tensor, Any]] = []  # gradients, the same as one tensor, its exchange

    @property
    def sent(self) -> int:
        """Buckets on their way."""
        return len(self._sent)

    def _arrived(self, number: int, parameter: Tensor) -> None:
        self._missing[number] -= 1
        while self.sent < len(self._buckets) and self._missing[self.sent] == 0:
            self._send()

    def _send(self) -> None:
        gradients = [p.grad for p in self._buckets[self.sent] if p.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients]) if gradients else torch.zeros(1)
        exchange = torch.distributed.all_reduce(together, async_op=True) if gradients else None
        self._sent.append((gradients, together, exchange))

    def finish(self) -> None:
        """Replace every gradient by its mean over all processes."""
        if not self._buckets:
            return
        while self.sent < len(self._buckets):  # those with parameters that this pass did not reach
            self._send()
        for gradients, together, exchange in self._sent:
            if exchange is None:
                continue
            exchange.wait()
            together.div_(ranks.count())
            parts = together.split([gradient.numel() for gradient in gradients])
            pairs = zip(gradients, parts, strict=True)
            torch._foreach_copy_(gradients, [part.view_as(gradient) for gradient, part in pairs])
        self._reset()
