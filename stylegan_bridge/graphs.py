"""A pass of one shape recorded once as a CUDA graph and replayed: its hundreds of kernels then cost one launch.

A graph reads the tensors that it was recorded with, wherever they lie; who moves or replaces weights records anew.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn

WARM_UP = 3  # passes before the recording, in which libraries choose their algorithms and weights' transforms are made


class Recorded:
    """`function`, recorded on the CUDA device of `like`; takes tensors of that shape and type only.

    The tensor it returns is overwritten by the next call.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], like: Tensor) -> None:
        self._input = like.clone()
        with torch.cuda.device(like.device):  # a graph is of the current GPU, which may be another one
            aside, here = torch.cuda.Stream(like.device), torch.cuda.current_stream(like.device)
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP):
                    function(self._input)
            here.wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            gc.collect()  # a graph that is destroyed while another is recorded breaks the recording
            collects = gc.isenabled()
            gc.disable()
            try:
                # thread_local: what other threads ask the driver for meanwhile does not end the recording
                with torch.cuda.graph(self._graph, stream=aside, capture_error_mode="thread_local"):
                    self._output = function(self._input)
            except RuntimeError:
                torch.cuda.set_stream(here)  # a capture that broke off leaves its stream the current one
                raise
            finally:
                if collects:
                    gc.enable()

    def __call__(self, x: Tensor) -> Tensor:
        self._input.copy_(x)
        self._graph.replay()
        return self._output


class Replayed:
    """A network's pass, recorded at its first call and replayed; recorded anew where the network has moved or changed.

    One recording is kept, the last. `lock`: to be held from a call until its result was copied, where several threads
    draw. A copy of this (`copy.deepcopy`, `pickle`) has recorded nothing.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._key: Hashable = None
        self._recorded: Recorded | None = None

    def __reduce__(self) -> tuple[type[Replayed], tuple[()]]:
        return Replayed, ()

    def __call__(self, network: nn.Module, function: Callable[[Tensor], Tensor], x: Tensor, *kind: Hashable) -> Tensor:
        """function(x), whose tensor the next call overwrites. kind: all else that it depends on, beside `network`."""
        tensors = (*network.parameters(), *network.buffers())
        state = tuple((one.data_ptr(), 0 if one.is_inference() else one._version) for one in tensors)
        key = (*kind, x.shape, x.dtype, state)  # what the recording reads, as it was
        if self._recorded is None or key != self._key:
            self._key, self._recorded = None, None  # its memory serves the next one
            with torch.inference_mode(False), torch.no_grad():  # else torch's random state becomes inference's alone
                self._recorded = Recorded(function, x)
            self._key = key
        return self._recorded(x)
