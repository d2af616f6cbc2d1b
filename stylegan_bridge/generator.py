"""A generator ready to draw: seeds, class and truncation in, images out, each the same whatever it is drawn with."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from stylegan_bridge.config import GeneratorConfig
from stylegan_bridge.errors import BridgeError
from stylegan_bridge.exact import exact
from stylegan_bridge.graphs import Replayed
from stylegan_bridge.network import MappingNetwork, NoiseMode, Noises, SynthesisNetwork
from stylegan_bridge.transfer import to_device, to_host

MAX_SEED = 2**32 - 1
#: Where a file holds no average w, it is taken over the latents of this many seeds, counted from 0.
W_AVG_SEEDS = 4096
_NOISE_STREAM = 0x6E6F6973  # keeps the noise of a seed apart from its latent


def check_seeds(seeds: Iterable[int]) -> list[int]:
    """The seeds as plain integers, 0..2**32 - 1 each."""
    try:
        checked = [operator.index(seed) for seed in seeds]
    except TypeError as error:
        raise BridgeError(f"seeds must be whole numbers: {error}") from error
    for seed in checked:
        if not 0 <= seed <= MAX_SEED:
            raise BridgeError(f"seed {seed} is outside 0..{MAX_SEED}")
    return checked


def latents(seeds: Iterable[int], z_dim: int) -> Tensor:
    """NVIDIA's latents: `RandomState(seed).randn(1, z_dim)` of each seed, as (N, z_dim) float32."""
    rows = [np.random.RandomState(seed).randn(z_dim).astype(np.float32) for seed in check_seeds(seeds)]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, z_dim)


def to_uint8(images: Tensor) -> Tensor:
    """Images of about -1..1 to 0..255, rounded down after the half shift as NVIDIA's generate.py does."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


class Generator(nn.Module):
    """A StyleGAN2 generator with its weights.

    `sample` draws uint8 images from seeds. `map` and `render` are its two halves, in float32 and differentiable.
    """

    def __init__(self, config: GeneratorConfig, *, precision: str = "auto") -> None:
        """Random weights; `load_generator` brings a checkpoint's.

        `precision`: auto (on CUDA float16 where the network says so) or float32.
        """
        super().__init__()
        if precision not in ("auto", "float32"):
            raise BridgeError(f"precision {precision!r} is neither auto nor float32")
        self.config, self.precision = config, precision
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)
        self.has_w_avg = True
        #: Images per pass, always exactly so many: kernels, and so the last bits, depend on it. None: by device.
        self.micro_batch: int | None = None
        #: On CUDA, with const or no noise: record the pass once and replay it. Off by default; measure it first.
        self.cuda_graphs = False
        self._replayed = Replayed()
        self.requires_grad_(False)
        self.eval()

    @property
    def resolution(self) -> int:
        """Side of an image in pixels."""
        return self.config.resolution

    @property
    def img_channels(self) -> int:
        """1 or 3, as a rule."""
        return self.config.img_channels

    @property
    def num_classes(self) -> int:
        """0 for an unconditional generator."""
        return self.config.c_dim

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.synthesis.taps.device

    def classes(self, class_index: int | Sequence[int] | None, count: int) -> list[int] | None:
        """One class per image, from one for all or one each; None for an unconditional network."""
        if self.num_classes == 0:
            if class_index is not None:
                raise BridgeError("this network is unconditional: it cannot draw a chosen class; leave class_index out")
            return None
        if class_index is None:
            raise BridgeError(f"this network is conditional: choose class_index from 0..{self.num_classes - 1}")
        try:
            if hasattr(class_index, "__len__"):
                given = [operator.index(c) for c in cast(Sequence[int], class_index)]
            else:
                given = [operator.index(class_index)] * count
        except TypeError as error:
            raise BridgeError(f"class_index must be whole numbers: {error}") from error
        if len(given) != count:
            raise BridgeError(f"{len(given)} class indices for {count} seeds; give one, or one per seed")
        for index in given:
            if not 0 <= index < self.num_classes:
                raise BridgeError(f"class_index {index} is outside 0..{self.num_classes - 1}")
        return given

    def labels(self, class_index: int | Sequence[int] | None, count: int) -> Tensor | None:
        """One-hot (count, c_dim) of `classes`; None for an unconditional network."""
        given = self.classes(class_index, count)
        if given is None:
            return None
        one_hot = torch.nn.functional.one_hot(torch.tensor(given, dtype=torch.int64), self.num_classes)
        return to_device(one_hot, self.device)

    def w_average(self) -> Tensor:
        """The centre of w, (w_dim,), which truncation pulls towards; drawn once if the file held none."""
        if not self.has_w_avg:
            if self.num_classes:
                raise BridgeError("the file holds no average w, so this conditional network cannot truncate; use psi 1")
            with torch.no_grad(), exact(self.device):
                w = self.mapping(latents(range(W_AVG_SEEDS), self.config.z_dim).to(self.device))
                self.mapping.w_avg.copy_(w.mean(dim=0))
            self.has_w_avg = True
        return self.mapping.w_avg

    def truncate(self, w: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """w (N, w_dim) -> ws (N, num_ws, w_dim), the first `cutoff` layers (None: all) pulled towards the centre."""
        if not math.isfinite(psi):
            raise BridgeError(f"truncation_psi must be a finite number, not {psi}")
        ws = w.unsqueeze(1).repeat(1, self.config.num_ws, 1)
        if psi != 1:
            ws[:, :cutoff] = self.w_average().lerp(ws[:, :cutoff], psi)
        return ws

    def map(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """z (N, z_dim) -> ws (N, num_ws, w_dim) float32."""
        return self.truncate(self.mapping(z, labels), truncation_psi, truncation_cutoff)

    def noises(self, noise_mode: NoiseMode, seeds: Sequence[int] = ()) -> Noises:
        """The noise of each layer: the saved images, none, or drawn anew from each image's own seed."""
        if noise_mode not in get_args(NoiseMode):
            raise BridgeError(f"noise_mode {noise_mode!r} is none of {', '.join(get_args(NoiseMode))}")
        sides = self.synthesis.noise_shapes()
        if noise_mode == "none" or not self.config.use_noise:
            return [None] * len(sides)
        if noise_mode == "const":
            return self.synthesis.const_noises()
        streams = [np.random.default_rng([_NOISE_STREAM, seed]) for seed in seeds]
        drawn = [np.stack([s.standard_normal((1, side, side), dtype=np.float32) for s in streams]) for side in sides]
        return [to_device(torch.from_numpy(noise), self.device) for noise in drawn]

    def render(self, ws: Tensor, noises: Noises | None = None) -> Tensor:
        """ws (N, num_ws, w_dim) -> images (N, C, H, W) float32, about -1..1; with the saved noise if none is given."""
        allow_fp16 = self.precision == "auto" and self.device.type == "cuda"
        return self.synthesis(ws, self.noises("const") if noises is None else noises, allow_fp16=allow_fp16)

    def render_float32(self, ws: Tensor) -> Tensor:
        """`render` with the saved noise and without float16, in which gradients sink below the smallest number."""
        return self.synthesis(ws, self.noises("const"), allow_fp16=False)

    @torch.inference_mode()
    def sample(
        self,
        seeds: Iterable[int],
        class_index: int | Sequence[int] | None = None,
        truncation_psi: float = 1.0,
        noise_mode: NoiseMode = "const",
        *,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Draw one image per seed: (N, C, H, W) uint8 on the CPU.

        Image i depends on seeds[i], its class and the settings alone, to the last bit on one device and thread count:
        the network always runs on `micro_batch` rows, the last ones filled up.
        """
        seeds = check_seeds(seeds)
        labels = self.labels(class_index, len(seeds))
        z = to_device(latents(seeds, self.config.z_dim), self.device)

        def draw(rows: list[int], at: Tensor) -> Tensor:
            ws = self.map(
                z[at],
                None if labels is None else labels[at],
                truncation_psi=truncation_psi,
                truncation_cutoff=truncation_cutoff,
            )
            return self._pass(ws, noise_mode, [seeds[row] for row in rows])

        return self._draw_in_micro_batches(draw, len(seeds))

    @torch.inference_mode()
    def sample_ws(self, ws: Tensor, noise_mode: NoiseMode = "const", seeds: Sequence[int] = ()) -> Tensor:
        """Draw from ws (N, num_ws, w_dim) as `sample` does; random noise takes one seed per image."""
        if ws.ndim != 3 or ws.shape[1:] != (self.config.num_ws, self.config.w_dim):
            raise BridgeError(
                f"ws of shape {tuple(ws.shape)}: this network takes (N, {self.config.num_ws}, {self.config.w_dim})"
            )
        if noise_mode == "random" and len(seeds) != len(ws):
            raise BridgeError(f"{len(ws)} images with random noise need as many seeds, not {len(seeds)}")
        ws = to_device(ws.float(), self.device)

        def draw(rows: list[int], at: Tensor) -> Tensor:
            own = [seeds[row] for row in rows] if seeds else []
            return self._pass(ws[at], noise_mode, own)

        return self._draw_in_micro_batches(draw, len(ws))

    def _pass(self, ws: Tensor, noise_mode: NoiseMode, seeds: Sequence[int]) -> Tensor:
        """`render`, recorded where that was asked for and the noise is the same each time."""
        if not self.cuda_graphs or ws.device.type != "cuda" or noise_mode == "random":
            return self.render(ws, self.noises(noise_mode, seeds))
        return self._replayed(self, lambda x: self.render(x, self.noises(noise_mode)), ws, noise_mode, self.precision)

    def _draw_in_micro_batches(self, draw: Callable[[list[int], Tensor], Tensor], count: int) -> Tensor:
        """Call `draw` on rows of exactly `micro_batch` indices, here and on the device, and keep `count` results."""
        size = self.micro_batch or default_micro_batch(self.config, self.device)
        side = self.resolution
        out = torch.empty(count, self.img_channels, side, side, dtype=torch.uint8)
        waiting: tuple[int, Callable[[], list[Tensor]]] | None = None

        def take(start: int, arrived: Callable[[], list[Tensor]]) -> None:
            pixels, finite = arrived()
            if not bool(finite):
                raise BridgeError(
                    "the network drew values that are not finite; its weights are damaged, or float16 overflows:"
                    " load it with precision='float32'"
                )
            out[start : start + size] = pixels[: count - start]

        with exact(self.device):
            for start in range(0, count, size):
                rows = [min(start + i, count - 1) for i in range(size)]
                try:
                    with self._replayed.lock if self.cuda_graphs else nullcontext():  # until the images are copied
                        images = draw(rows, to_device(torch.tensor(rows), self.device))
                        begun = start, to_host(to_uint8(images), torch.isfinite(images).all())
                except RuntimeError as error:
                    if not _out_of_memory(error):
                        raise
                    raise BridgeError(
                        f"{size} images of {side} px do not fit on {self.device}; set micro_batch below {size}"
                    ) from error
                if waiting:  # the device is at the next pass by now
                    take(*waiting)
                waiting = begun
            if waiting:
                take(*waiting)
        return out


def _out_of_memory(error: RuntimeError) -> bool:
    """As torch says it, or a library that cannot get its workspace (cuDNN says it in two ways)."""
    words = ("ALLOC_FAILED", "ALLOCATION_FAILED", "unable to find an engine to execute", "out of memory")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def default_micro_batch(config: GeneratorConfig, device: torch.device) -> int:
    """1 on the CPU, where a larger batch was measured to be no faster; on CUDA 32 at 256 px and below, 8 at 1024."""
    if device.type == "cpu":
        return 1
    return max(1, min(32, 8192 // config.resolution))
