"""torch's own surface while the stand-in is there: torch.cuda, generators, pinned memory, loading and saving."""

from __future__ import annotations

import contextlib
import types
from typing import Any
from unittest import mock

import torch
from fake_gpu import CudaGenerator, CudaTensor, FakeCuda
from fake_streams import patch_streams
from lightning_fabric.accelerators import MPSAccelerator
from torch.optim import optimizer as optimizers
from torch.utils import _foreach_utils
from torch.utils import _pytree as pytree


def patch_torch(gpu: FakeCuda, undo: contextlib.ExitStack) -> None:
    """Replace what asks the driver; `undo` puts it back."""

    def put(target: Any, **values: Any) -> None:
        for name, value in values.items():
            undo.enter_context(mock.patch.object(target, name, value, create=True))

    properties = types.SimpleNamespace(
        name="Fake H100", major=gpu.capability[0], minor=gpu.capability[1], total_memory=80 << 30,
        multi_processor_count=132, gcnArchName="", warp_size=32, regs_per_multiprocessor=65536,
        max_threads_per_multi_processor=2048,
    )  # fmt: skip
    put(
        torch.cuda,
        is_available=lambda: True,
        device_count=lambda: gpu.devices,
        current_device=lambda: gpu.here,
        set_device=lambda device: setattr(gpu, "here", torch.device(device).index or 0),
        get_device_name=lambda device=None: properties.name,
        get_device_capability=lambda device=None: gpu.capability,
        get_device_properties=lambda device=None: properties,
        is_bf16_supported=lambda including_emulation=True: gpu.capability >= (8, 0) or including_emulation,
        mem_get_info=lambda device=None: (gpu.free_bytes, 80 << 30),
        memory_allocated=lambda device=None: 0,
        max_memory_allocated=lambda device=None: 0,
        max_memory_reserved=lambda device=None: gpu.reserved,
        reset_peak_memory_stats=lambda device=None: None,
        empty_cache=lambda: None,
        _lazy_init=lambda: None,
        init=lambda: None,
        is_initialized=lambda: True,
        _lazy_call=lambda call, **_: None,
        manual_seed=lambda seed: None,
        manual_seed_all=lambda seed: None,
        get_rng_state=lambda device="cuda": (gpu.forked.add(str(device)), torch.get_rng_state())[1],
        set_rng_state=lambda state, device="cuda": None,
        synchronize=lambda device=None: gpu.log.sync("torch.cuda.synchronize"),
        ipc_collect=lambda: None,
    )
    patch_streams(gpu, put)
    _patch_common(gpu, put, undo)


def patch_apple(gpu: FakeCuda, undo: contextlib.ExitStack) -> None:
    """The same for Apple's GPUs: torch.backends.mps and torch.mps in place of torch.cuda, nothing pinned."""

    def put(target: Any, **values: Any) -> None:
        for name, value in values.items():
            undo.enter_context(mock.patch.object(target, name, value, create=True))

    put(torch.cuda, is_available=lambda: False, device_count=lambda: 0)
    put(torch.backends.mps, is_available=lambda: True, is_built=lambda: True)
    put(MPSAccelerator, is_available=lambda: True)  # what Fabric found out it remembers
    put(
        torch.mps, manual_seed=lambda seed: None, synchronize=lambda: gpu.log.sync("torch.mps.synchronize"),
        empty_cache=lambda: None, _is_in_bad_fork=lambda: False, device_count=lambda: 1,
        get_rng_state=lambda: torch.get_rng_state(), set_rng_state=lambda state: None,
    )  # fmt: skip
    _patch_common(gpu, put, undo)


def _patch_common(gpu: FakeCuda, put: Any, undo: contextlib.ExitStack) -> None:
    _patch_tensors(gpu, put)
    _patch_files(gpu, put)
    for module in (optimizers, _foreach_utils):
        put(module, _foreach_supported_types=[*module._foreach_supported_types, CudaTensor])
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # CUDA's way: a module's parameters stay the objects
    undo.callback(torch.__future__.set_swap_module_params_on_conversion, before)


def _patch_tensors(gpu: FakeCuda, put: Any) -> None:
    plain_generator = torch.Generator

    def make_generator(device: Any = "cpu") -> torch.Generator:
        if torch.device(device).type != gpu.kind:
            plain = plain_generator(device)
            CudaGenerator.known.discard(plain._cdata)  # one of the GPU's that is gone may have lain there
            return plain
        made = CudaGenerator("cpu")
        CudaGenerator.known.add(made._cdata)
        return made

    def pin(self: torch.Tensor, device: Any = None) -> torch.Tensor:
        if isinstance(self, CudaTensor):
            raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
        return gpu.pin(self.clone())

    put(torch, Generator=make_generator)
    put(
        torch.Tensor, pin_memory=pin, is_pinned=lambda self, device=None: gpu.is_pinned(self),
        record_stream=lambda self, stream: None,
    )  # fmt: skip


def _patch_files(gpu: FakeCuda, put: Any) -> None:
    load, save = torch.load, torch.save

    def loading(path: Any, map_location: Any = None, **rest: Any) -> Any:
        content = load(path, map_location="cpu", **rest)
        if map_location is not None and torch.device(map_location).type == gpu.kind:
            return pytree.tree_map(lambda a: CudaTensor(a) if isinstance(a, torch.Tensor) else a, content)
        return content

    def saving(content: Any, *rest: Any, **options: Any) -> None:
        if any(isinstance(a, CudaTensor) for a in pytree.tree_leaves(content)):
            gpu.log.sync("torch.save of device tensors")
        plain = pytree.tree_map(lambda a: a.inner.detach().clone() if isinstance(a, CudaTensor) else a, content)
        save(plain, *rest, **options)

    put(torch, load=loading, save=saving)
