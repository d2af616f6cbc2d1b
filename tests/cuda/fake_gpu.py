"""The CUDA path without a GPU: tensors that say `cuda:0` and hold their numbers on the CPU.

    with FakeCuda() as gpu:
        train(config, samples, val, names, folder, device="cuda")
    print(gpu.log.summary())

Every dispatch key is CUDA's, so autocast, fused optimisers, Fabric, generators and graphs take the CUDA branch; what
CUDA refuses (operands on two devices, a CPU generator, a wait during capture) is refused; every kernel and every wait
of the host is counted. No kernels run: numerics, cuDNN's refusals and real memory are not covered.

FakeCuda(kind="mps") is Apple's GPU instead: tensors say `mps:0`, torch.cuda is not there, and float64 is refused.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Any, ClassVar

import fake_hooks
import torch
from fake_log import Log
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_SYNCS = {  # the host waits for a result: sizes, or LAPACK's info
    "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal", "linalg_eigh", "_linalg_eigh",
    "_linalg_svd", "linalg_inv_ex", "_linalg_solve_ex", "linalg_lu_factor_ex", "linalg_cholesky_ex", "is_nonzero",
    "repeat_interleave",
}  # fmt: skip
_ZERO_DIM_OK = {  # take a CPU scalar beside CUDA tensors
    "where", "masked_fill", "masked_fill_", "fill", "fill_", "_foreach_mul_", "_foreach_mul", "_foreach_div_",
    "_foreach_add_", "_foreach_lerp_", "_foreach_copy_", "clamp", "clamp_", "addcmul", "addcdiv", "lerp", "lerp_",
    "pow", "set_", "_fused_adam_", "_fused_adamw_",
}  # fmt: skip


class CudaTensor(torch.Tensor):
    """A tensor that is on the GPU as far as anybody can see; `inner` holds the numbers."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls: type[CudaTensor], inner: torch.Tensor) -> CudaTensor:
        assert FakeCuda.active is not None
        if FakeCuda.active.kind == "mps" and inner.dtype in (torch.float64, torch.complex128):
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=FakeCuda.active.device, requires_grad=False,
        )  # fmt: skip
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert FakeCuda.active is not None, "a fake CUDA tensor outside of FakeCuda"
        return FakeCuda.active.run(func, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:
        return f"CudaTensor({self.inner!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        if id(self) in memo:
            return memo[id(self)]
        with torch.no_grad():
            made = CudaTensor(self.inner.clone()).requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            made._is_param = True  # type: ignore[attr-defined]
        memo[id(self)] = made
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def data_ptr(self) -> int:
        return self.inner.data_ptr()


class CudaGenerator(torch.Generator):
    """torch.Generator("cuda") or ("mps"): the CPU's numbers, and refused where the GPU would refuse it."""

    known: ClassVar[set[int]] = set()  # by their C++ object: dispatch hands over another Python object
    broken: ClassVar[set[int]] = set()  # those that a capture left behind when it broke off

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        assert FakeCuda.active is not None
        return FakeCuda.active.device

    def clone_state(self) -> torch.Generator:
        made = CudaGenerator("cpu")
        made.set_state(self.get_state())
        return made

    def graphsafe_set_state(self, state: torch.Generator) -> None:
        CudaGenerator.broken.discard(self._cdata)
        self.set_state(state.get_state())


class DefaultGenerator(CudaGenerator):
    """The GPU's own one, whose seed lies in the memory of the state that it has now; numbers are drawn elsewhere."""

    held: torch.Generator

    def graphsafe_get_state(self) -> torch.Generator:
        return self.held

    def graphsafe_set_state(self, state: torch.Generator) -> None:
        self.held = state


class Mode(TorchDispatchMode):
    """Sees what has no CUDA tensor among its arguments yet: factories with device="cuda", copies to the device."""

    def __init__(self, gpu: FakeCuda) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.gpu.run(func, args, kwargs or {})


class FakeCuda:
    """A GPU while the block runs. oom_above: convolutions of more images run out of memory, saying `oom_words`.

    kind: cuda or mps. index: the number of the GPU that all tensors are on; the current one is 0.
    """

    active: ClassVar[FakeCuda | None] = None
    _installed: ClassVar[bool] = False

    def __init__(
        self, *, devices: int = 1, capability: tuple[int, int] = (9, 0), free_bytes: int = 78 << 30, oom_above: int = 0,
        oom_words: str = "", kind: str = "cuda", index: int = 0,
    ) -> None:  # fmt: skip
        self.kind, self.device = kind, torch.device(kind, index)
        self.here = 0  # the current GPU's number
        self.devices, self.capability, self.free_bytes = devices, capability, free_bytes
        self.reserved = 3 << 30  # what a process is said to have taken at most
        self.oom_above, self.oom_words = oom_above, oom_words
        self.capture: list[Any] | None = None
        self.overwritten: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.seeds = dict[int, Any]()  # generator states, each with the stream of the graphs that read its seed
        self.recorded = dict[int, Any]()  # live recordings by the number of the stream that recorded them
        self.stream_lost = False  # a capture that broke off leaves its stream the current one
        self.forked = set[str]()  # GPUs whose random numbers were set aside
        self.log = Log()
        self._pinned: dict[int, Any] = {}

    def __enter__(self) -> FakeCuda:
        from fake_surface import patch_apple, patch_torch

        if not FakeCuda._installed:
            importlib.import_module("torch._dynamo")  # before the patches: it annotates with torch.Generator
            fake_hooks.install()
            FakeCuda._installed = True
        fake_hooks.choose(self.kind)
        self._undo = contextlib.ExitStack()
        self._undo.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        self._undo.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
        (patch_apple if self.kind == "mps" else patch_torch)(self, self._undo)
        self._undo.enter_context(torch.autograd.set_multithreading_enabled(False))
        self._undo.callback(torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor([...], device="cuda") is made on the CPU, then copied
        FakeCuda.active = self
        self._mode = Mode(self)
        self._mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._mode.__exit__(*error)
        FakeCuda.active = None
        self._undo.close()

    # --- one operation ------------------------------------------------------------------------------------------------

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """What dispatch does for an operation: checked, counted, computed on the CPU, wrapped."""
        name = func._schema.name.partition("::")[2]
        flat = pytree.arg_tree_leaves(*args, **kwargs)
        ours = [a for a in flat if isinstance(a, CudaTensor)]
        theirs = [a for a in flat if isinstance(a, torch.Tensor) and not isinstance(a, CudaTensor)]
        device = None if kwargs.get("device") is None else torch.device(kwargs["device"])
        whole = torch._C.DispatchKey.CompositeImplicitAutograd
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), whole):
            with Mode(self):  # inference tensors lack autograd's keys: composite operations arrive whole
                return func._op_dk(whole, *args, **kwargs)
        self._check_generator(name, kwargs.get("generator"), device, ours)
        if name == "_to_copy":
            return self._to_copy(func, args, kwargs, device)
        if name == "copy_":
            return self._copy(func, args, kwargs)
        if name.endswith("_like") and device is not None and device.type != self.kind:  # a host's one, laid out alike
            args, ours = pytree.tree_map(lambda a: a.inner if isinstance(a, CudaTensor) else a, args), []
        if not ours and (device is None or device.type != self.kind):
            pinned = kwargs.pop("pin_memory", False)
            made = func(*args, **kwargs)
            return self.pin(made) if pinned else made
        if name == "_local_scalar_dense":
            self.log.sync("item, bool or float")
            return func(args[0].inner)
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            self._index(name, args)
        else:
            self._same_device(func, name, ours, theirs)
        if name in _SYNCS:
            self.log.sync(name)
        if self.oom_above and name == "convolution" and args[0].shape[0] > self.oom_above:
            raise RuntimeError(self.oom_words) if self.oom_words else torch.OutOfMemoryError("CUDA out of memory.")
        self.log.launch(func, name, len(ours))
        return self._execute(func, args, kwargs)

    def _execute(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        own = {id(a.inner): a for a in pytree.arg_tree_leaves(*args, **kwargs) if isinstance(a, CudaTensor)}
        plain_args, plain_kwargs = pytree.tree_map(
            lambda a: a.inner if isinstance(a, CudaTensor) else a, (args, kwargs)
        )
        if plain_kwargs.get("device") is not None:
            plain_kwargs["device"] = torch.device("cpu")
        plain_kwargs.pop("pin_memory", None)
        if self.capture is not None:
            self._remember(func, plain_args, plain_kwargs)
        out = func(*plain_args, **plain_kwargs)
        if self.capture is not None:
            self.capture.append((func, plain_args, plain_kwargs, out))
        # what is seen of an ordinary tensor in inference mode is an ordinary tensor
        seen = func.is_view and any(not a.is_inference() for a in own.values())

        def outside(a: Any) -> Any:
            if not isinstance(a, torch.Tensor):
                return a
            return own[id(a)] if id(a) in own else CudaTensor(a)

        with torch.inference_mode(False) if seen else contextlib.nullcontext():
            return pytree.tree_map(outside, out)

    def _remember(self, func: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """What an operation is about to overwrite: a capture runs nothing, so it is put back afterwards."""
        for place, argument in enumerate(func._schema.arguments):
            alias = argument.alias_info
            statistics = func._schema.name == "aten::native_batch_norm" and argument.name.startswith("running")
            if statistics or (alias is not None and alias.is_write):
                value = args[place] if place < len(args) else kwargs.get(argument.name)
                self.overwritten += [(t, t.clone()) for t in pytree.tree_leaves(value) if isinstance(t, torch.Tensor)]

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        """Remember that this memory is pinned."""
        storage = tensor.untyped_storage()
        self._pinned[storage.data_ptr()] = storage  # kept, so that no other tensor gets its address
        return tensor

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        return not isinstance(tensor, CudaTensor) and tensor.untyped_storage().data_ptr() in self._pinned

    # --- copies -------------------------------------------------------------------------------------------------------

    def _to_copy(self, func: Any, args: Any, kwargs: dict[str, Any], device: torch.device | None) -> Any:
        source = args[0]
        here = isinstance(source, CudaTensor)
        there = here if device is None else device.type == self.kind
        if here and there:
            self.log.launch(func, "_to_copy", 1)
            return self._execute(func, args, kwargs)
        if not here and not there:
            return func(*args, **kwargs)
        rest = {k: v for k, v in kwargs.items() if k not in ("device", "non_blocking", "pin_memory")}
        pinned = not here and self.is_pinned(source)
        self._transfer("to host" if here else "to device", source, bool(kwargs.get("non_blocking")) and pinned)
        plain = source.inner if here else source
        made = func(plain, **rest) if rest else plain.clone()
        return made if here else CudaTensor(made)

    def _copy(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        target, source = args[0], args[1]
        here, there = isinstance(source, CudaTensor), isinstance(target, CudaTensor)
        if here == there:
            if here:
                self.log.launch(func, "copy_", 2)
                return self._execute(func, args, kwargs)
            return func(*args, **kwargs)
        wanted = bool((len(args) > 2 and args[2]) or kwargs.get("non_blocking"))
        pinned = self.is_pinned(target if here else source)
        self._transfer("to host" if here else "to device", source, wanted and pinned)
        (target if here else target.inner).copy_(source.inner if here else source)
        return target

    def _transfer(self, way: str, tensor: torch.Tensor, asynchronous: bool) -> None:
        self.log.bytes[way] += tensor.numel() * tensor.element_size()
        if asynchronous:
            self.log.launches[f"copy {way}, pinned and asynchronous"] += 1
        else:
            self.log.sync(f"copy {way}")

    # --- what CUDA refuses --------------------------------------------------------------------------------------------

    def _index(self, name: str, args: Any) -> None:
        target, indices = args[0], [i for i in args[1] if isinstance(i, torch.Tensor)]
        if not isinstance(target, CudaTensor):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        value = None if name == "index" else args[2]
        if value is not None and not isinstance(value, CudaTensor) and value.dim() > 0:
            raise RuntimeError("Expected all tensors to be on the same device, cuda:0 and cpu (index_put's values)")
        fills = value is not None and value.numel() == 1 and not (args[3] if len(args) > 3 else False)
        for index in indices:
            if not isinstance(index, CudaTensor):
                self.log.sync("indices on the CPU (or a list)")
            elif index.dtype in (torch.bool, torch.uint8) and not (fills and len(indices) == 1):
                self.log.sync("boolean mask (nonzero)")

    def _same_device(self, func: Any, name: str, ours: list[Any], theirs: list[Any]) -> None:
        lenient = torch.Tag.pointwise in func.tags or name in _ZERO_DIM_OK
        for tensor in theirs if ours else ():
            if tensor.dim() > 0 or not lenient:
                raise RuntimeError(
                    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and "
                    f"{tensor.device}! (in {func})"
                )

    def _check_generator(self, name: str, generator: Any, device: torch.device | None, ours: list[Any]) -> None:
        if generator is not None and generator._cdata in CudaGenerator.broken and self.capture is None:
            raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")
        target = self.kind if ours or (device is not None and device.type == self.kind) else "cpu"
        if generator is not None and target != (
            kind := self.kind if generator._cdata in CudaGenerator.known else "cpu"
        ):
            raise RuntimeError(f"Expected a '{target}' device type for generator but found '{kind}' ({name})")
