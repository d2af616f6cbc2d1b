"""What a StyleGAN2 generator looks like: its sizes and switches, and the tensors that follow. Loads no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from stylegan_bridge.errors import BridgeError

ARCHITECTURES = ("skip", "resnet", "orig")
#: Each activation with the gain that keeps the variance of a unit Gaussian input (Karras et al. 2020b).
ACTIVATION_GAINS = {
    "linear": 1.0,
    "relu": math.sqrt(2),
    "lrelu": math.sqrt(2),
    "tanh": 1.0,
    "sigmoid": 1.0,
    "elu": 1.0,
    "selu": 1.0,
    "softplus": 1.0,
    "swish": math.sqrt(2),
}
MIN_RESOLUTION, MAX_RESOLUTION = 4, 1024
#: Bounds that no real network comes near; they keep a forged header from asking for terabytes.
MAX_WIDTH, MAX_MAPPING_LAYERS, MAX_FILTER_TAPS, MAX_FP16_BLOCKS = 65536, 64, 64, 16


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """One StyleGAN2 generator (Karras et al. 2020a; -ADA 2020b). `channels[i]`: features at 4 * 2**i px."""

    resolution: int
    channels: tuple[int, ...]
    img_channels: int = 3
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0  # number of classes; 0: unconditional
    mapping_layers: int = 8
    mapping_features: int = 512
    embed_features: int = 0  # width of the label embedding; 0: unconditional
    mapping_lr_multiplier: float = 0.01
    mapping_activation: str = "lrelu"
    architecture: str = "skip"
    activation: str = "lrelu"
    resample_filter: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)  # brought to a sum of 1
    use_noise: bool = True
    conv_clamp: float | None = None
    num_fp16_res: int = 0  # how many of the highest resolutions run in float16 on CUDA

    @classmethod
    def standard(
        cls, resolution: int, *, channel_base: int = 32768, channel_max: int = 512, **overrides: Any
    ) -> GeneratorConfig:
        """The papers' layout: min(channel_base / resolution, channel_max) features in each block."""
        if not is_resolution(resolution):
            raise BridgeError(f"resolution {resolution} is not a power of two in {MIN_RESOLUTION}..{MAX_RESOLUTION}")
        sizes = [2**i for i in range(2, int(math.log2(resolution)) + 1)]
        channels = tuple(min(channel_base // size, channel_max) for size in sizes)
        w_dim = overrides.setdefault("w_dim", 512)
        overrides.setdefault("mapping_features", w_dim)
        if overrides.get("c_dim", 0):
            overrides.setdefault("embed_features", w_dim)
        return cls(resolution=resolution, channels=channels, **overrides)

    def __post_init__(self) -> None:
        """Refuse what no generator can be; every value here may come from a stranger's file."""
        if not is_resolution(self.resolution):
            raise BridgeError(
                f"resolution {self.resolution} is not a power of two in {MIN_RESOLUTION}..{MAX_RESOLUTION}"
            )
        if len(self.channels) != len(self.block_resolutions):
            raise BridgeError(
                f"{self.resolution} px needs {len(self.block_resolutions)} blocks, the file has {len(self.channels)}"
            )
        widths = {
            "channels": max(self.channels),
            "z_dim": self.z_dim,
            "w_dim": self.w_dim,
            "mapping_features": self.mapping_features,
        }
        for name, value in {**widths, "lowest channels": min(self.channels)}.items():
            if not 1 <= value <= MAX_WIDTH:
                raise BridgeError(f"{name} = {value} is outside 1..{MAX_WIDTH}")
        if self.img_channels not in (1, 3):
            raise BridgeError(
                f"img_channels = {self.img_channels}: it draws images of {self.img_channels} channels, not 1 or 3"
            )
        if not 0 <= self.c_dim <= MAX_WIDTH or not 0 <= self.embed_features <= MAX_WIDTH:
            raise BridgeError(f"c_dim = {self.c_dim}, embed_features = {self.embed_features}: outside 0..{MAX_WIDTH}")
        if (self.c_dim > 0) != (self.embed_features > 0):
            raise BridgeError(f"c_dim = {self.c_dim} and embed_features = {self.embed_features} contradict each other")
        if not 1 <= self.mapping_layers <= MAX_MAPPING_LAYERS:
            raise BridgeError(f"mapping_layers = {self.mapping_layers} is outside 1..{MAX_MAPPING_LAYERS}")
        if self.architecture not in ARCHITECTURES:
            raise BridgeError(f"architecture {self.architecture[:40]!r} is none of {', '.join(ARCHITECTURES)}")
        for name in ("activation", "mapping_activation"):
            if getattr(self, name) not in ACTIVATION_GAINS:
                raise BridgeError(f"{name} {getattr(self, name)[:40]!r} is none of {', '.join(ACTIVATION_GAINS)}")
        self._check_numbers()

    def _check_numbers(self) -> None:
        taps = self.resample_filter
        if not 1 <= len(taps) <= MAX_FILTER_TAPS or not all(map(math.isfinite, taps)) or abs(sum(taps)) < 1e-8:
            raise BridgeError(f"resample_filter of {len(taps)} taps cannot be normalised")
        total = math.fsum(taps)
        object.__setattr__(self, "resample_filter", tuple(tap / total for tap in taps))
        if self.conv_clamp is not None and not (math.isfinite(self.conv_clamp) and self.conv_clamp > 0):
            raise BridgeError(f"conv_clamp = {self.conv_clamp} must be above 0")
        if not (math.isfinite(self.mapping_lr_multiplier) and self.mapping_lr_multiplier > 0):
            raise BridgeError(f"mapping_lr_multiplier = {self.mapping_lr_multiplier} must be above 0")
        if not 0 <= self.num_fp16_res <= MAX_FP16_BLOCKS:
            raise BridgeError(f"num_fp16_res = {self.num_fp16_res} is outside 0..{MAX_FP16_BLOCKS}")

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the image's resolution."""
        return tuple(2**i for i in range(2, self.resolution.bit_length()))

    @property
    def num_ws(self) -> int:
        """How many copies of w one image takes: one per convolution, and one for the last colour layer."""
        return 2 * len(self.block_resolutions)

    def is_fp16(self, block_resolution: int) -> bool:
        """Whether the block runs in float16 on CUDA; the 4-pixel block never does (Karras et al. 2020b)."""
        return block_resolution >= max(2 * self.resolution >> self.num_fp16_res, 8)

    def has_torgb(self, block_resolution: int) -> bool:
        """Whether the block has a colour layer: each block of the skip architecture, else the last alone."""
        return self.architecture == "skip" or block_resolution == self.resolution

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the generator and its shape, under the names that NVIDIA's releases made standard."""
        shapes: dict[str, tuple[int, ...]] = {}

        def linear(name: str, inputs: int, outputs: int) -> None:
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

        if self.c_dim:
            linear("mapping.embed", self.c_dim, self.embed_features)
        widths = [self.z_dim + self.embed_features, *[self.mapping_features] * (self.mapping_layers - 1), self.w_dim]
        for index in range(self.mapping_layers):
            linear(f"mapping.fc{index}", widths[index], widths[index + 1])
        shapes["mapping.w_avg"] = (self.w_dim,)
        inputs = 0
        for size, width in zip(self.block_resolutions, self.channels, strict=True):
            block = f"synthesis.b{size}"
            if not inputs:
                shapes[f"{block}.const"] = (width, size, size)
            for name, features in (("conv0", inputs), ("conv1", width)):
                if features:
                    layer = f"{block}.{name}"
                    linear(f"{layer}.affine", self.w_dim, features)
                    shapes[f"{layer}.weight"], shapes[f"{layer}.bias"] = (width, features, 3, 3), (width,)
                    if self.use_noise:
                        shapes[f"{layer}.noise_const"], shapes[f"{layer}.noise_strength"] = (size, size), ()
            if self.has_torgb(size):
                linear(f"{block}.torgb.affine", self.w_dim, width)
                shapes[f"{block}.torgb.weight"] = (self.img_channels, width, 1, 1)
                shapes[f"{block}.torgb.bias"] = (self.img_channels,)
            if inputs and self.architecture == "resnet":
                shapes[f"{block}.skip.weight"] = (width, inputs, 1, 1)
            inputs = width
        return shapes

    @property
    def num_parameters(self) -> int:
        """Numbers held, the fixed noise images and the average w included."""
        return sum(math.prod(shape) for shape in self.shapes().values())

    def working_bytes(self, batch_size: int = 1) -> int:
        """Memory to draw a batch in float32: the weights, and the largest activation four times."""
        largest = max(c * s * s for s, c in zip(self.block_resolutions, self.channels, strict=True))
        return 4 * (self.num_parameters + 4 * batch_size * largest)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for a card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GeneratorConfig:
        """Read a card's values back; an unknown or missing name, or a value of another type, is a BridgeError."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise BridgeError(f"the card has an unknown entry {unknown[0][:40]!r}; a newer version may have written it")
        if missing := sorted({"resolution", "channels"} - set(values)):
            raise BridgeError(f"the card lacks {missing[0]!r}")
        checked = {name: _typed(name, value) for name, value in values.items()}
        return cls(**checked)


_TUPLES = {"channels": int, "resample_filter": float}
_STRINGS = ("architecture", "activation", "mapping_activation")


def _typed(name: str, value: Any) -> Any:
    """One card value in its declared type."""
    if name in _TUPLES:
        kind = _TUPLES[name]
        if (
            isinstance(value, list | tuple)
            and len(value) <= MAX_FILTER_TAPS
            and all(_is_number(v, kind) for v in value)
        ):
            return tuple(kind(v) for v in value)
    elif name in _STRINGS:
        if isinstance(value, str):
            return value
    elif name == "use_noise":
        if isinstance(value, bool):
            return value
    elif name == "conv_clamp" and value is None:
        return None
    elif name in ("conv_clamp", "mapping_lr_multiplier"):
        if _is_number(value, float):
            return float(value)
    elif _is_number(value, int):
        return value
    raise BridgeError(f"the network's {name} has an unusable value of type {type(value).__name__}")


def _is_number(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        return False
    return isinstance(value, float) or abs(value) < 2**62  # a larger one has no place here, and need not fit a float


def is_resolution(value: int) -> bool:
    """A power of two that a generator can have."""
    return MIN_RESOLUTION <= value <= MAX_RESOLUTION and value & (value - 1) == 0
