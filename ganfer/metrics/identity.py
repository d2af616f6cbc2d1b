"""How much two faces look like one person: the angle between embeddings of a small network of metric learning.

The network is trained (`ganfer.gan.identity`) to bring a person's faces together whatever their expression, pose and
light (supervised contrastive loss, Khosla et al. 2020). It is no face recognition: it knows drawn people, and of real
ones the look of single photographs.

There are two. By the gradient of one a search is led, which therefore finds faces that this one is mistaken in; the
other, of another architecture and trained with other random numbers and other people, had no part in it and measures.
"""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers.device_set import to_device
from classifiers.prediction import arriving

SIDE = 48  # pixels it looks at
WIDTH = 64  # of the embedding
_BATCH = 256


class IdentityNet(nn.Module):
    """Faces (N, C, H, W) float 0..255 to unit vectors (N, 64)."""

    def __init__(self, channels: int, width: int = 24) -> None:
        super().__init__()
        self.channels = channels
        sizes = (channels, width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(8, outputs), nn.LeakyReLU(0.1)]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(sizes[-1] * (SIDE // 16) ** 2, WIDTH))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 64)."""
        return F.normalize(self.body(_standardised(images)), dim=1)


class WitnessNet(nn.Module):
    """The same from another architecture: larger kernels, pooling, residual blocks, and no place in the last layer.

    Faces (N, C, H, W) float 0..255 to unit vectors (N, 64).
    """

    def __init__(self, channels: int, width: int = 24) -> None:
        super().__init__()
        self.channels = channels
        self.first = nn.Conv2d(channels, width, 7, 2, 3)  # 48 -> 24
        self.blocks = nn.ModuleList(_Block(n, 2 * n) for n in (width, 2 * width))  # -> 12 -> 6
        self.last = nn.Linear(2 * 4 * width * 4, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 64)."""
        x = self.first(_standardised(images))
        for block in self.blocks:
            x = block(x)
        pooled = torch.cat([F.adaptive_avg_pool2d(x, 2), F.adaptive_max_pool2d(x, 2)], dim=1)
        return F.normalize(self.last(pooled.flatten(1)), dim=1)


Network = IdentityNet | WitnessNet


class _Block(nn.Module):
    """Two 5 x 5 convolutions beside a shortcut, half the side: (N, a, S, S) -> (N, b, S/2, S/2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm, self.middle = nn.GroupNorm(4, inputs), nn.GroupNorm(4, outputs)
        self.one, self.two = nn.Conv2d(inputs, outputs, 5, 1, 2), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.short = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.avg_pool2d(self.one(F.silu(self.norm(x))), 2)
        return self.two(F.silu(self.middle(h))) + self.short(F.avg_pool2d(x, 2))


def _standardised(images: Tensor) -> Tensor:
    """(N, C, H, W) float 0..255 to (N, C, 48, 48): neither brightness nor contrast is a person's."""
    if images.shape[-1] != SIDE:
        images = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) / (images.std(dim=(1, 2, 3), keepdim=True) + 6)


def contrast(embeddings: Tensor, people: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss: unit vectors (N, d) and persons (N,), each with two or more of them -> a scalar."""
    similar = embeddings @ embeddings.t() / temperature
    own = torch.eye(len(people), dtype=torch.bool, device=people.device)
    same = (people[:, None] == people[None]) & ~own
    logs = F.log_softmax(similar.masked_fill(own, -1e9), dim=1)
    return -((logs * same).sum(dim=1) / same.sum(dim=1)).mean()


class IdentityDistance:
    """Distances 0..2 (1 less the cosine) of face pairs, and what strangers' are."""

    def __init__(self, network: Network, strangers: np.ndarray) -> None:
        """strangers: sorted distances of pairs of different people."""
        self.network = network.eval().requires_grad_(False)
        self.strangers = np.sort(np.asarray(strangers, dtype=np.float64))

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        """(N,) of (N, C, H, W) float 0..255, differentiable."""
        return 1 - (self.network(first) * self.network(second)).sum(dim=1)

    @torch.no_grad()
    def embed(self, images: np.ndarray) -> np.ndarray:
        """(N, C, H, W) uint8 -> (N, 64)."""
        device = next(self.network.parameters()).device
        pixels = (torch.from_numpy(np.ascontiguousarray(images[i : i + _BATCH])) for i in range(0, len(images), _BATCH))
        parts = list(arriving(self.network(to_device(part, device).float()) for part in pixels))
        return torch.cat(parts).numpy() if parts else np.empty((0, WIDTH), np.float32)

    def bound(self, share: float) -> float:
        """The distance below which so large a share of strangers lie; at a share of 1 any."""
        return 2.0 if share >= 1 else float(np.quantile(self.strangers, share))


def separation(embeddings: np.ndarray, people: np.ndarray) -> float:
    """The AUC with which distances tell pairs of one person from pairs of two: (N, d), (N,) -> 0..1, 0.5 is chance."""
    from sklearn.metrics import roc_auc_score

    rows, columns = np.triu_indices(len(people), 1)
    similar = (embeddings[rows] * embeddings[columns]).sum(axis=1)
    return float(roc_auc_score(people[rows] == people[columns], similar))
