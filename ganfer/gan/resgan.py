"""`resgan`: narrow residual networks without any norm, for the relativistic loss with R1 and R2.

After R3GAN (Huang et al. 2024): residual blocks whose second convolution starts near zero (Fixup, Zhang et al. 2019),
resampling by bilinear filters. One joint conditional model: the smallest feature maps see the latent alone and are
shared by all classes (Khorram et al. 2024, UTLO); from an eighth of the image on, the class shifts what the latent
modulates, as far as `strength` in 0..1 says (Shahbazi et al. 2022). The discriminator judges the class by projection,
D(x, y) = psi(phi(x)) + <v_y, phi(x)> (Miyato & Koyama 2018). The loss, in `losses.py`, is that of R3GAN:
E[f(D(G(z)) - D(x))] with f(t) = log(1 + exp(t)), plus gamma/2 times the squared gradient of D at real images (R1) and
at generated ones (R2).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganfer.gan.spec import NetworkSpec, hidden_widths, per_image, plan_size

STYLE = 128  # width of what modulates the generator's blocks
SHARED = 8  # feature maps smaller than the image's side by more than this know no class
_SMALL = 0.1  # gain of the last convolution of a block: nearly the identity, with a gradient for both convolutions


class Block(nn.Module):
    """x + conv(lrelu(modulate(conv(lrelu(x))))), (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, modulation: Tensor | None = None) -> Tensor:
        """x (N, inputs, H, W), modulation (N, 2 * outputs), gains before biases -> (N, outputs, H, W)."""
        h = self.first(F.leaky_relu(x, 0.2))
        if modulation is not None:
            gain, bias = modulation[:, :, None, None].chunk(2, dim=1)  # (N, outputs, 1, 1) each
            h = torch.addcmul(bias, h, gain + 1)
        changed: Tensor = self.second(F.leaky_relu(h, 0.2))
        return changed + self.shortcut(x)


class ResganGenerator(nn.Module):
    """z (N, latent_dim) and labels (N,) to images (N, C, S, S) in -1..1."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.side, _ = plan_size(spec.size)
        widths = hidden_widths(spec)[::-1]
        self.basis = nn.Linear(spec.latent_dim, widths[0] * self.side**2)
        self.style = nn.Sequential(nn.Linear(spec.latent_dim, STYLE), nn.LeakyReLU(0.2), nn.Linear(STYLE, STYLE))
        if spec.num_classes:
            self.by_class = nn.Embedding(spec.num_classes, STYLE)
        sides = [self.side << level for level in range(len(widths))]
        self.knows_class = [bool(spec.num_classes) and side * SHARED >= spec.size for side in sides]
        self.depth = 1 + len(widths)  # places a latent enters: the basis, and every block
        self.blocks = nn.ModuleList(
            Block(wide, narrow) for wide, narrow in zip([widths[0], *widths[:-1]], widths, strict=True)
        )
        self.modulations = nn.ModuleList(nn.Linear(STYLE, 2 * width) for width in widths)
        self.last = nn.Conv2d(widths[-1], widths[-1], 3, 1, 1)
        self.image = nn.Conv2d(widths[-1], spec.channels, 3, 1, 1)
        self.apply(_initialise)
        for modulation in self.modulations:
            nn.init.normal_(modulation.weight, 0.0, 0.1 / STYLE**0.5)  # type: ignore[arg-type]
        nn.init.normal_(self.image.weight, 0.0, (2 / (9 * widths[-1])) ** 0.5 / 2)

    def forward(self, z: Tensor, labels: Tensor | None = None, strength: float = 1.0) -> Tensor:
        """z (N, latent_dim), labels (N,) -> (N, C, S, S) in -1..1; strength 0..1 scales what depends on the class.

        z may be (N, depth, latent_dim): a latent of its own for the basis and for every block.
        """
        layered = z.ndim == 3
        x = self.basis(z[:, 0] if layered else z).unflatten(1, (-1, self.side, self.side))  # (N, width, side, side)
        shared = self.style(z)  # (N, STYLE), or (N, depth, STYLE)
        style = shared
        if self.spec.num_classes:
            own = per_image(strength) * self.by_class(labels)
            style = shared + (own[:, None] if layered else own)
        for level, (block, modulation) in enumerate(zip(self.blocks, self.modulations, strict=True)):
            if level:
                x = _doubled(x)
            here = style if self.knows_class[level] else shared
            x = block(x, modulation(F.leaky_relu(here[:, 1 + level] if layered else here, 0.2)))
        x = self.last(F.leaky_relu(_doubled(x), 0.2))
        return torch.tanh(self.image(F.leaky_relu(x, 0.2)))


class ResganDiscriminator(nn.Module):
    """Images (N, C, S, S) in -1..1 and labels (N,) to logits (N,).

    smooth: "spectral" normalises every weight; else there is no norm, and the penalties in the loss do it.
    """

    def __init__(self, spec: NetworkSpec, smooth: str) -> None:
        super().__init__()
        self.spec = spec
        self.batch_statistics = False
        side, _ = plan_size(spec.size)
        widths = hidden_widths(spec)
        self.stem = nn.Conv2d(spec.channels, widths[0], 3, 1, 1)
        self.blocks = nn.ModuleList(
            Block(narrow, wide) for narrow, wide in zip([widths[0], *widths[:-1]], widths, strict=True)
        )
        self.features = nn.Conv2d(widths[-1], widths[-1], side)
        self.logit = nn.Linear(widths[-1], 1)
        if spec.num_classes:
            self.by_class = nn.Embedding(spec.num_classes, widths[-1])
        self.apply(_initialise)
        if spec.num_classes:
            nn.init.normal_(self.by_class.weight, 0.0, widths[-1] ** -0.5)
        if smooth == "spectral":
            for module in list(self.modules()):
                if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                    spectral_norm(module)

    def forward(self, images: Tensor, labels: Tensor | None = None, strength: float = 1.0) -> Tensor:
        """images (N, C, S, S), labels (N,) -> logits (N,)."""
        x = F.avg_pool2d(
            self.stem(images), 2
        )  # (N, width, S/2, S/2): a block at full size would cost as much as all others together
        for level, block in enumerate(self.blocks):
            if level:
                x = F.avg_pool2d(x, 2)
            x = block(x)
        h = F.leaky_relu(self.features(F.leaky_relu(x, 0.2)), 0.2).flatten(1)  # (N, width, 1, 1) -> (N, width)
        logit: Tensor = self.logit(h).flatten()
        if self.spec.num_classes:
            logit = logit + strength * (self.by_class(labels) * h).sum(1)
        return logit


def _doubled(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _initialise(module: nn.Module) -> None:
    """He initialisation for leaky ReLUs; the last convolution of a block starts small."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, a=0.2)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, Block):
        with torch.no_grad():
            module.second.weight.mul_(_SMALL)
