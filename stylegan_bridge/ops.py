"""The tensor operations of StyleGAN2 in plain PyTorch: resampling, activation, modulated convolution (2020a).

Filters are one-dimensional (the networks' filters are separable) and normalised to a sum of 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_bridge import winograd
from stylegan_bridge.config import ACTIVATION_GAINS

#: Activations with f(g * x) = g * f(x) for g > 0: their gain moves into the weights, which saves a pass over the image.
_HOMOGENEOUS = frozenset({"linear", "relu", "lrelu"})


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale each row of (N, F) to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def activate_(x: Tensor, name: str) -> Tensor:
    """Apply an activation without its gain, in place where PyTorch can."""
    if name == "linear":
        return x
    if name == "lrelu":
        return F.leaky_relu_(x, 0.2)
    if name == "relu":
        return F.relu_(x)
    if name == "swish":
        return torch.sigmoid(x) * x
    if name == "softplus":
        return F.softplus(x)
    if name in ("elu", "selu"):
        return F.elu(x) if name == "elu" else F.selu(x)
    return torch.tanh(x) if name == "tanh" else torch.sigmoid(x)


def split_gain(activation: str, gain: float) -> tuple[float, float]:
    """The factors before and after the activation, for a total of `gain` times the activation's own."""
    total = ACTIVATION_GAINS[activation] * gain
    return (total, 1.0) if activation in _HOMOGENEOUS else (1.0, total)


def finish_(x: Tensor, activation: str, gain_after: float, clamp: float | None) -> Tensor:
    """Activation, gain and clamp, in that order; `x` is overwritten."""
    x = activate_(x, activation)
    if gain_after != 1.0:
        x = x.mul_(gain_after)
    return x if clamp is None else x.clamp_(-clamp, clamp)


def upsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Double the sides: zeros between the pixels, then the filter at a gain of 4. (N, C, H, W) -> (N, C, 2H, 2W)."""
    channels, width = x.shape[1], taps.numel()
    kernel = torch.outer(taps, taps).to(x.dtype).mul(4).expand(channels, 1, width, width)
    if width == 4:  # the papers' filter: the transposed convolution's own padding cuts out the wanted part
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)
    full = F.conv_transpose2d(x, kernel, stride=2, groups=channels)
    start = width - 1 - (width + 1) // 2
    end = 2 * x.shape[2] + start - full.shape[2]
    return F.pad(full, (-start, end, -start, end))


def _blur_after_upsampling(x: Tensor, taps: Tensor) -> Tensor:
    """Low-pass a stride-2 transposed 3 x 3 convolution: (N, C, 2H + 1, 2W + 1) -> (N, C, 2H, 2W), gain 4."""
    channels, width = x.shape[1], taps.numel()
    kernel = torch.outer(taps, taps).flip(0, 1).to(x.dtype).mul(4)
    kernel = kernel.expand(channels, 1, width, width).contiguous(memory_format=torch.channels_last)
    before, after = (width + 1) // 2 - 1, (width - 2) // 2
    if before == after:
        return F.conv2d(x, kernel, padding=before, groups=channels)
    return F.conv2d(F.pad(x, (before, after, before, after)), kernel, groups=channels)


class Derived:
    """What follows from a layer's weights alone, kept for as long as they stay the same."""

    def __init__(self) -> None:
        self._key: tuple[int, int, torch.device] | None = None
        self._kept: dict[str, Tensor] = {}

    def _keep(self, name: str, weight: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        """make(weight), made once; anew where it takes part in a gradient, or where a change would go unseen."""
        if (weight.requires_grad and torch.is_grad_enabled()) or weight.is_inference():
            return make(weight)
        key = (weight.data_ptr(), weight._version, weight.device)
        if key != self._key:
            self._key, self._kept = key, {}
        if name not in self._kept:
            with torch.inference_mode(False):  # it also serves where gradients are taken
                self._kept[name] = make(weight.detach())
        return self._kept[name]

    def energy(self, weight: Tensor) -> Tensor:
        """(O, I, k, k) -> (O, I), the sum of squares over the kernel: all that demodulation needs of the weights."""
        return self._keep("energy", weight, _energy)

    def normalised(self, weight: Tensor) -> Tensor:
        """(O, I, k, k) with each output channel's largest weight at 1 / sqrt(fan-in): float16 holds the sums."""
        return self._keep("normalised", weight, _normalised)

    def normalised_energy(self, weight: Tensor) -> Tensor:
        """`energy` of the `normalised` weights."""
        return self._keep("normalised energy", weight, lambda w: _energy(_normalised(w)))

    def winograd(self, weight: Tensor) -> Tensor:
        """The weights as `winograd.scaled_conv2d` takes them."""
        return self._keep("winograd", weight, winograd.transform_weight)


def _energy(weight: Tensor) -> Tensor:
    return weight.square().sum(dim=(2, 3))


def _normalised(weight: Tensor) -> Tensor:
    return weight * (weight[0].numel() ** -0.5 / weight.abs().amax(dim=(1, 2, 3), keepdim=True))


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool,
    gain: float,
    bias: Tensor | None,
    taps: Tensor | None,
    derived: Derived | None = None,
) -> Tensor:
    """Convolve with weights scaled per image and input channel, normalised per output channel when `demodulate`.

    x (N, I, H, W); weight (O, I, k, k) float32; styles (N, I) float32; bias (O,) is added after, not scaled by `gain`.
    With `taps` the result is upsampled to (N, O, 2H, 2W). Karras et al. 2020a, section 2.2; in float16 the weights and
    styles are first brought to a maximum of 1, which demodulation undoes (2020b, appendix C). `derived` belongs to the
    weights, which then must not be trained.

    The scaling goes where it is cheaper: into the weights for a single large image, else onto the activations.
    """
    derived = derived or Derived()
    if demodulate:
        if x.dtype == torch.float16:
            energy, weight = derived.normalised_energy(weight), derived.normalised(weight)
            styles = styles / styles.abs().amax(dim=1, keepdim=True)
        else:
            energy = derived.energy(weight)
        with torch.autocast(x.device.type, enabled=False):  # eight bits of mantissa would not normalise
            factors = (styles.square() @ energy.t() + 1e-8).rsqrt() * gain
    else:
        factors = styles.new_full((len(styles), len(weight)), gain)
    padding = weight.shape[2] // 2
    if taps is None and winograd.applies(x, weight):
        x = winograd.scaled_conv2d(x, derived.winograd(weight), styles, factors)
    elif len(x) == 1 and weight.numel() <= x.numel():
        weight = weight * styles[0, None, :, None, None] * factors[0, :, None, None, None]
        return _convolve(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), padding, taps)
    else:
        x = x * styles[:, :, None, None].to(x.dtype)
        x = _convolve(x, weight.to(x.dtype), None, padding, taps)
        x = x * factors[:, :, None, None].to(x.dtype)
    return x if bias is None else x.add_(bias[None, :, None, None].to(x.dtype))


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, taps: Tensor | None) -> Tensor:
    """A convolution; with `taps` the upsampling one: transposed with stride 2, low-pass filter, bias."""
    if taps is None:
        return F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), bias, padding=padding)
    weight = weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)
    x = _blur_after_upsampling(F.conv_transpose2d(x, weight, stride=2), taps)
    return x if bias is None else x.add_(bias[None, :, None, None])
