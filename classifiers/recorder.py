"""A training step recorded as a CUDA graph and replayed: hundreds of launches then cost the host one.

A recording reads its inputs and everything else where it lay when it was recorded, so what changes from step to step
(images, learning rates) is written into the same tensors before. Random numbers follow a generator's seed at replay.
CLASSIFIERS_CUDA_GRAPHS=off runs every step plainly.
"""

from __future__ import annotations

import collections
import gc
import logging
import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from classifiers.errors import ClassifierError
from classifiers.streams import on, to_record

log = logging.getLogger("classifiers")

SWITCH = "CLASSIFIERS_CUDA_GRAPHS"
WARM_UP = 3  # plain steps of a kind first: libraries choose their algorithms, optimisers make their state


def wanted(device: torch.device) -> bool:
    """Whether steps on this device are recorded. ClassifierError when the switch says neither auto nor off."""
    switch = os.environ.get(SWITCH, "auto")
    if switch not in ("auto", "off"):
        raise ClassifierError(f"{SWITCH}={switch!r}: must be auto or off")
    return switch == "auto" and device.type == "cuda"


@dataclass
class _Recording:
    graph: Any
    inputs: list[Tensor]
    output: Tensor


class Recorder:
    """Runs the steps of one training: plainly at first, then recorded, one recording per `kind`."""

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator], *, active: bool) -> None:
        """active: whether to record at all; generators: those that the step draws from, besides torch's own."""
        self._device, self._generators, self.active = device, generators, active
        self._plain: collections.Counter[Hashable] = collections.Counter()
        self._recordings: dict[Hashable, _Recording] = {}
        self._aside = to_record(device) if active else None
        # one memory for all: only one of them runs at a time, and what a replay leaves there is read before the next
        self._memory = torch.cuda.graph_pool_handle() if active else None

    def __call__(self, kind: Hashable, step: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """step(*inputs), whose tensor the next call may overwrite. kind: all else that its launches depend on; None
        for a step that is like no other."""
        if not self.active:
            return step(*inputs)
        if kind is None:
            return self._on_the_side(step, inputs)
        kind = (kind, *((x.shape, x.dtype, x.stride()) for x in inputs))
        recording = self._recordings.get(kind)
        if recording is None:
            self._plain[kind] += 1
            if self._plain[kind] <= WARM_UP:
                return self._on_the_side(step, inputs)
            recording = self._record(step, inputs)
            if recording is None:
                return step(*inputs)
            self._recordings[kind] = recording
        for mine, given in zip(recording.inputs, inputs, strict=True):
            mine.copy_(given)
        recording.graph.replay()
        return recording.output

    def _on_the_side(self, step: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
        """On the stream that records, as torch asks of the steps before a recording."""
        here = torch.cuda.current_stream(self._device)
        assert self._aside is not None
        self._aside.wait_stream(here)
        try:
            with on(self._aside, self._device):
                return step(*inputs)
        finally:  # also where the step breaks off: its tensors are freed for the current stream
            here.wait_stream(self._aside)

    def close(self) -> None:
        """Give the recordings' memory back. They must not go at a time when another training records or replays."""
        if self._recordings:
            torch.cuda.current_stream(self._device).synchronize()
            for recording in self._recordings.values():
                recording.graph.reset()
            self._recordings.clear()

    def _record(self, step: Callable[..., Tensor], inputs: Sequence[Tensor]) -> _Recording | None:
        """The step as a graph, not yet run; None where it cannot be recorded, now and from then on."""
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        own = [x.clone() for x in inputs]
        here, sources = torch.cuda.current_stream(self._device), self._sources()
        # thread_local: the thread that reads batches ahead may ask the driver for something meanwhile
        capture = torch.cuda.graph(graph, pool=self._memory, stream=self._aside, capture_error_mode="thread_local")
        gc.collect()  # a graph that is destroyed while another is recorded breaks the recording
        collects = gc.isenabled()
        gc.disable()
        try:
            with capture:
                output = step(*own)
        except RuntimeError as error:  # what is wrong with the step itself comes up again where it runs plainly
            self.active = False
            self._recordings.clear()
            # a capture that broke off leaves its stream the current one, and generators that no longer draw
            torch.cuda.set_stream(here)
            for generator, state in sources:
                generator.graphsafe_set_state(state)
            first = error.__context__ if isinstance(error.__context__, RuntimeError) else error
            log.warning("the training step cannot be recorded (%s): it runs plainly", str(first).partition("\n")[0])
            return None
        finally:
            if collects:
                gc.enable()
        return _Recording(graph, own, output)

    def _sources(self) -> list[tuple[torch.Generator, torch.Generator]]:
        """Every generator that a recording uses, with a copy of its state."""
        own = torch.cuda.default_generators[self._device.index or 0]
        return [(generator, generator.clone_state()) for generator in (own, *self._generators)]
