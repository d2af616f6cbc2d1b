"""The DCGAN (Radford et al. 2016), classic or class-conditional, at any size that is 3 or 4 doubled a few times.

Conditional: the generator by a class input beside z and class-conditional batch norm, gain_y * norm(x) + bias_y; the
discriminator by projection (Miyato & Koyama 2018), D(x, y) = psi(phi(x)) + <v_y, phi(x)>. `strength` in 0..1 scales
everything that depends on the class, so conditioning can be switched on gradually (Shahbazi et al. 2022); at 0 images
and logits do not depend on it. It is one number, or (N,) where images without a label are among the others.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganfer.gan.spec import NetworkSpec, hidden_widths, per_image, plan_size


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain and bias are shared ones plus `strength` times the class's own; x (N, C, H, W)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.by_class = nn.Embedding(num_classes, 2 * channels)
        nn.init.zeros_(self.by_class.weight)

    def forward(self, x: Tensor, labels: Tensor, strength: float) -> Tensor:
        """x (N, C, H, W), labels (N,) -> (N, C, H, W)."""
        norm = self.norm
        tracked = norm.num_batches_tracked
        assert tracked is not None
        if self.training:
            tracked.add_(1)
        # momentum None is the cumulative average that `recalibrate` asks for
        momentum = 1.0 / float(tracked) if norm.momentum is None else norm.momentum
        x = F.batch_norm(x, norm.running_mean, norm.running_var, None, None, self.training, momentum, norm.eps)
        gain, bias = (self.by_class(labels) * per_image(strength)).chunk(2, dim=1)  # (N, C) each
        gain, bias = gain + norm.weight, bias + norm.bias
        return torch.addcmul(bias[:, :, None, None], x, gain[:, :, None, None])


class DcganGenerator(nn.Module):
    """z (N, latent_dim) and labels (N,) to images (N, C, S, S) in -1..1."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.side, _ = plan_size(spec.size)
        widths = hidden_widths(spec)[::-1]
        self.first = nn.Linear(spec.latent_dim, widths[0] * self.side**2, bias=False)
        if spec.num_classes:
            self.class_input = nn.Embedding(spec.num_classes, widths[0] * self.side**2)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)
            for wide, narrow in zip(widths, [*widths[1:], spec.channels], strict=True)
        )
        make_norm: Callable[[int], nn.Module] = nn.BatchNorm2d
        if spec.num_classes:
            make_norm = lambda width: ConditionalBatchNorm(width, spec.num_classes)  # noqa: E731
        self.norms = nn.ModuleList(make_norm(width) for width in widths)
        self.apply(_initialise)
        if spec.num_classes:
            nn.init.normal_(self.class_input.weight, 0.0, 0.02 * spec.latent_dim**0.5 / 2)  # half as loud as z

    def forward(self, z: Tensor, labels: Tensor | None = None, strength: float = 1.0) -> Tensor:
        """z (N, latent_dim), labels (N,) -> (N, C, S, S) in -1..1; strength 0..1 scales what depends on the class."""
        x = self.first(z)  # (N, width * side * side)
        if self.spec.num_classes:
            x = x + self.class_input(labels) * per_image(strength)
        x = x.unflatten(1, (-1, self.side, self.side))  # (N, width, side, side); each level doubles the side
        for norm, up in zip(self.norms, self.ups, strict=True):
            x = norm(x, labels, strength) if self.spec.num_classes else norm(x)
            x = up(F.relu(x, inplace=True))
        return torch.tanh(x)


class DcganDiscriminator(nn.Module):
    """Images (N, C, S, S) in -1..1 and labels (N,) to logits (N,).

    smooth: "spectral" normalises every weight (Miyato et al. 2018); "r1" has no norm, its penalty is in the loss;
    "none" is the classic batch norm.
    """

    def __init__(self, spec: NetworkSpec, smooth: str) -> None:
        super().__init__()
        self.spec = spec
        self.batch_statistics = smooth == "none"
        side, _ = plan_size(spec.size)
        widths = hidden_widths(spec)
        bias = not self.batch_statistics
        self.downs = nn.ModuleList(
            nn.Conv2d(narrow, wide, 4, 2, 1, bias=bias)
            for narrow, wide in zip([spec.channels, *widths[:-1]], widths, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width) if self.batch_statistics and level else nn.Identity()
            for level, width in enumerate(widths)
        )
        if spec.num_classes:
            self.features = nn.Conv2d(widths[-1], widths[-1], side, bias=bias)
            self.logit: nn.Module = nn.Linear(widths[-1], 1, bias=bias)
            self.by_class = nn.Embedding(spec.num_classes, widths[-1])
        else:
            self.logit = nn.Conv2d(widths[-1], 1, side, bias=bias)
        self.apply(_initialise)
        if smooth == "r1":  # with no norm behind them, weights of N(0, 0.02) would let the signal die away
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, a=0.2)
        if smooth == "spectral":
            for module in list(self.modules()):
                if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                    spectral_norm(module)

    def forward(self, images: Tensor, labels: Tensor | None = None, strength: float = 1.0) -> Tensor:
        """images (N, C, S, S), labels (N,) -> logits (N,)."""
        x = images
        for norm, down in zip(self.norms, self.downs, strict=True):
            x = F.leaky_relu(norm(down(x)), 0.2, inplace=True)  # half the side, to (N, width, side, side)
        if not self.spec.num_classes:
            return self.logit(x).flatten()  # (N, 1, 1, 1) -> (N,)
        h = F.leaky_relu(self.features(x), 0.2, inplace=True).flatten(1)  # (N, width, 1, 1) -> (N, width)
        return self.logit(h).flatten() + strength * (self.by_class(labels) * h).sum(1)


def _initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), batch-norm gains from N(1, 0.02), as the DCGAN paper has it."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
