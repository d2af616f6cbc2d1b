"""Streams, events and graphs of the stand-in.

Which stream is the current one, on which GPU, is known; nothing runs at another time because of it. Refused are an
event of another GPU, a seed that two streams read, and a stream on which two trainings record.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch
from fake_gpu import CudaGenerator, DefaultGenerator, FakeCuda, Mode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes


class Here(threading.local):
    """The current stream of a thread; `first` is that of all."""

    def __init__(self, first: Any) -> None:
        self.stream = first


def number_of(gpu: FakeCuda, device: Any) -> int:
    """The number of a GPU by its name; of the current one without."""
    index = None if device is None else torch.device(device).index
    return gpu.here if index is None else index


def patch_streams(gpu: FakeCuda, put: Callable[..., None]) -> None:
    """Replace torch.cuda's streams, events and graphs; `put` is undone with the stand-in."""
    numbers = itertools.cycle(range(32))  # which torch hands out in turn

    class Stream:
        def __init__(self, device: Any = None, **__: Any) -> None:
            self.number, self.index = next(numbers), number_of(gpu, device)

        def wait_stream(self, other: Any) -> None: ...
        def wait_event(self, event: Any) -> None: ...
        def synchronize(self) -> None:
            gpu.log.sync("stream.synchronize")

    class Event:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def record(self, stream: Any = None) -> None:
            index = gpu.here if stream is None else stream.index
            assert index == gpu.device.index, "an event on another GPU's stream waits for nothing"

        def query(self) -> bool:
            return True

        def synchronize(self) -> None:
            gpu.log.sync("event.synchronize")

    def set_stream(stream: Stream) -> None:
        gpu.stream_lost = False

    @contextlib.contextmanager
    def on(stream: Stream) -> Any:
        before, here.stream, index, gpu.here = here.stream, stream, gpu.here, stream.index
        aside = threading.current_thread() is not threading.main_thread()  # where no mode sees tensors of the CPU
        try:
            with Mode(gpu) if aside else contextlib.nullcontext():
                yield
        finally:
            here.stream, gpu.here = before, index

    @contextlib.contextmanager
    def of(device: Any) -> Any:
        before, gpu.here = gpu.here, number_of(gpu, device)
        try:
            yield
        finally:
            gpu.here = before

    here = Here(Stream(gpu.device))
    put(
        torch.cuda, Stream=Stream, Event=Event, current_stream=lambda device=None: here.stream, set_stream=set_stream,
        stream=on, device=of,
    )  # fmt: skip
    _patch_graphs(gpu, put, here)


def _patch_graphs(gpu: FakeCuda, put: Callable[..., None], here: Here) -> None:
    handles, default = itertools.count(), DefaultGenerator("cpu")
    default.held = CudaGenerator("cpu")

    class Graph:
        """Remembers operations with their tensors, and replays them into the same tensors."""

        def __init__(self, *_: Any, **__: Any) -> None:
            self.steps: list[Any] = []
            self.generators: dict[int, torch.Generator] = {}
            self.seed: torch.Generator | None = None
            self.pool: Any = None

        def register_generator_state(self, generator: torch.Generator) -> None:
            self.generators[generator._cdata] = generator

        def reset(self) -> None:
            self.steps = []
            for own in gpu.recorded.values():
                own.discard(self)

        def replay(self) -> None:
            gpu.log.launches["graph replay"] += 1
            _, stream = gpu.seeds.setdefault(id(self.seed), (self.seed, here.stream))
            assert stream is here.stream, "a seed that two streams read"
            with _disable_current_modes(), torch.no_grad():
                self._run()

        def _run(self) -> None:
            for func, args, kwargs, out in self.steps:
                generator = kwargs.get("generator")
                assert generator is None or generator._cdata in self.generators, "a generator the graph does not know"
                new = func(*args, **kwargs)
                for old, fresh in zip(pytree.tree_leaves(out), pytree.tree_leaves(new), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != fresh.data_ptr():
                        old.copy_(fresh)

    @contextlib.contextmanager
    def graph(
        made: Graph, pool: Any = None, stream: Any = None, capture_error_mode: str = "global", **__: Any
    ) -> Any:  # fmt: skip
        assert number_of(gpu, None if stream is None else f"cuda:{stream.index}") == gpu.device.index, (
            "another GPU's stream"
        )
        # recordings of one training have one memory; cuBLAS's workspace is that of their stream
        made.pool, others = pool, gpu.recorded.setdefault(getattr(stream, "number", -1), weakref.WeakSet())
        assert all(other.pool == pool for other in others), "two trainings record on one stream"
        others.add(made)
        if capture_error_mode == "global" and threading.active_count() > 1:
            raise RuntimeError("operation not permitted when stream is capturing (another thread's)")
        states = [(g, g.get_state()) for g in (torch.default_generator, *made.generators.values())]
        gpu.capture, gpu.log.capturing = made.steps, True
        made.seed = default.held
        try:
            yield
        except RuntimeError as error:  # a capture that is broken cannot be ended either
            gpu.stream_lost = True
            CudaGenerator.broken.update(made.generators)
            raise RuntimeError("operation failed due to a previous error during capture") from error
        finally:
            gpu.capture, gpu.log.capturing = None, False
            for tensor, before in reversed(gpu.overwritten):
                tensor.copy_(before)
            gpu.overwritten.clear()
            for generator, state in states:
                generator.set_state(state)

    put(
        torch.cuda, CUDAGraph=Graph, graph=graph, graph_pool_handle=lambda: (0, next(handles)),
        default_generators=(default,) * gpu.devices, is_current_stream_capturing=lambda: gpu.capture is not None,
    )  # fmt: skip
