"""Networks that were tried for FER2013 in a few minutes on two cores, beside `compact`; `register` makes them known.

    python benchmarks/fer2013_networks.py [--batch 128] [--rounds 5] [--threads 1]

prints the images each one trains with a second, forward and backward pass, in float32 and bfloat16, turn by turn, and
what a step of Muon costs; writes benchmarks/results/fer2013_networks.json. Accuracy: benchmarks/fer2013_minutes.py.
"""

import argparse
import time
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers.models import REGISTRY, create_model
from classifiers.models.base import ImageClassifier
from classifiers.models.compact import ConvNorm, MeanMax, Residual


class Unshuffled(nn.Sequential):
    """A stem for processors: each 2 x 2 pixels as four channels, then 3 x 3: a 6 x 6 kernel at half the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.PixelUnshuffle(2), ConvNorm(4 * inputs, outputs))


class Wide(nn.Sequential):
    """A stem at full size: 3 x 3 to half the planes, then the halving."""

    def __init__(self, inputs: int, outputs: int) -> None:
        half = outputs // 2
        super().__init__(ConvNorm(inputs, half), nn.ReLU(), ConvNorm(half, outputs, 3, 2))


class Branches(nn.Module):
    """3x3, 1x1 and identity, each with its norm, summed (RepVGG, Ding et al. 2021): one 3x3 kernel after training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide, self.point = ConvNorm(channels, channels), ConvNorm(channels, channels, 1)
        self.same = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return F.relu(self.wide(x) + self.point(x) + self.same(x))

    @torch.no_grad()
    def fused(self) -> nn.Conv2d:
        """The one convolution that gives the sum before the ReLU, with the norms' running statistics."""
        channels = self.same.num_features
        conv = nn.Conv2d(channels, channels, 3, padding=1)
        one = torch.zeros_like(conv.weight)
        one[:, :, 1, 1] = torch.eye(channels)
        weight, bias = torch.zeros_like(conv.weight), torch.zeros(channels)
        kernels = (self.wide[0].weight, F.pad(self.point[0].weight, (1, 1, 1, 1)), one)
        for kernel, norm in zip(kernels, (self.wide[1], self.point[1], self.same), strict=True):
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            weight += kernel * gain.view(-1, 1, 1, 1)
            bias += norm.bias - norm.running_mean * gain
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)
        return conv


class Depthwise(nn.Module):
    """Residual around a 5x5 kernel per plane and two 1x1 of twice the width (ConvNeXt's order, batch norm)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False), nn.BatchNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1), nn.ReLU(), ConvNorm(2 * channels, channels, 1),
        )  # fmt: skip
        nn.init.zeros_(self.body[4][1].weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return F.relu(x + self.body(x))


class Variant(ImageClassifier):
    """`compact` with another stem, other blocks, or more of them; see `classifiers.models.compact`."""

    optimizer = "muon"

    def __init__(
        self, num_classes: int, in_channels: int = 1, size: int = 48, dropout: float = 0.2, width: int = 32,
        stem: str = "conv", block: str = "residual", blocks: tuple[int, int, int] = (1, 1, 1),
    ) -> None:  # fmt: skip
        super().__init__(num_classes, in_channels, size)
        stems = {"conv": partial(ConvNorm, kernel=5, stride=2), "unshuffled": Unshuffled, "wide": Wide}
        make = {"residual": Residual, "branches": Branches, "depthwise": Depthwise}[block]
        layers: list[nn.Module] = [stems[stem](in_channels, width), nn.ReLU()]
        for stage, number in enumerate(blocks):
            here = width << stage
            layers += [make(here) for _ in range(number)]
            last = stage == len(blocks) - 1
            layers += [ConvNorm(here, 2 * here, 3, 1 if last else 2), nn.ReLU()]
        self.body = nn.Sequential(*layers, MeanMax())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(16 * width, num_classes))


VARIANTS = {
    "compact-unshuffled": partial(Variant, stem="unshuffled"),
    "compact-wide-stem": partial(Variant, stem="wide"),
    "compact-branches": partial(Variant, block="branches", blocks=(2, 2, 2)),
    "compact-depthwise": partial(Variant, block="depthwise", blocks=(1, 2, 2)),
    "compact-deep": partial(Variant, stem="unshuffled", blocks=(1, 1, 2)),
    "compact-24": partial(Variant, stem="unshuffled", width=24),
    "compact-40": partial(Variant, stem="unshuffled", width=40),
}


def register() -> None:
    """Let `create_model` know them, in this process."""
    REGISTRY.update(VARIANTS)


def seconds_per_image(name: str, batch: int, rounds: int, size: int = 48) -> dict[str, list[float]]:
    """Forward and backward pass in both precisions, turn by turn; the first round warms up."""
    network = create_model(name, 7, 1, size).to(memory_format=torch.channels_last).train()
    images, labels = torch.randint(256, (batch, 1, size, size), dtype=torch.uint8), torch.randint(7, (batch,))
    found: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for _ in range(rounds + 1):
        for precision, times in found.items():
            began = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                logits = network(images)
            F.cross_entropy(logits.float(), labels).backward()
            times.append((time.process_time() - began) / batch)
    return {precision: times[1:] for precision, times in found.items()}


def seconds_of_muon(name: str, rounds: int, *, half: bool) -> list[float]:
    """A step of the optimiser; half: its products in bfloat16."""
    from classifiers import TrainConfig
    from classifiers.parts import make_optimizer

    network = create_model(name, 7, 1, 48).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(TrainConfig(model=name), network, half=half)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    times = []
    for _ in range(rounds + 1):
        began = time.process_time()
        optimizer.step()
        times.append(time.process_time() - began)
    return times[1:]


def main() -> None:
    from gan_common import environment, save, summary

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", nargs="+", default=["compact", "compact-small", *VARIANTS])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    register()
    found = {}
    for name in options.models:
        passes = seconds_per_image(name, options.batch, options.rounds)
        found[name] = {
            "parameters": sum(p.numel() for p in create_model(name, 7, 1, 48).parameters()),
            **{f"images/s, {precision}": summary([1 / t for t in times]) for precision, times in passes.items()},
            **{
                f"Muon, ms, {kind}": summary([1000 * t for t in seconds_of_muon(name, options.rounds, half=half)])
                for kind, half in (("float32", False), ("bfloat16", True))
            },
        }
        print(name, found[name], flush=True)
    save("fer2013_networks", {"networks": found, "batch": options.batch, "time": "of the processor",
                              **environment()})  # fmt: skip


if __name__ == "__main__":
    main()
