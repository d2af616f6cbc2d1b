"""Steering and inversion on the stand-in: what a step of a search waits for, and a whole campaign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from fake_gpu import FakeCuda
from torch import Tensor

if TYPE_CHECKING:
    from stylegan_bridge.steering import LatentSpace, StyleSpace

Figures = dict[str, float]
Task = Callable[[Tensor], Tensor]
_UNREACHED = 1e9  # a margin: the search goes on to its last step


def _waits(gpu: FakeCuda) -> int:
    return sum(gpu.log.syncs.values())


def _space(gpu: FakeCuda) -> StyleSpace:
    """W+ of a small StyleGAN2 on the GPU, four images at a time."""
    from stylegan_bridge.config import GeneratorConfig
    from stylegan_bridge.generator import Generator
    from stylegan_bridge.steering import StyleSpace

    torch.manual_seed(0)
    config = GeneratorConfig.standard(8, channel_base=128, channel_max=12, z_dim=8, w_dim=10, mapping_layers=2)
    space = StyleSpace(Generator(config).to(gpu.kind), batch_size=4)
    space.gradient_batch = 4
    return space


def _grey(space: StyleSpace) -> LatentSpace:
    """Its images as they are made grey for a workspace of grey faces."""
    from ganfer.generate.stylegan2 import Framing, _FramedSpace

    return _FramedSpace(space, Framing(8, 1, "none"))


def _task() -> Task:
    """Three classes: class 1 is brighter on the left, class 2 on the right; differentiable."""

    def logits(images: Tensor) -> Tensor:
        left, right = images.float().mean(dim=(1, 2)).chunk(2, dim=1)
        value = (left.mean(dim=1) - right.mean(dim=1)) / 4
        return torch.stack([torch.zeros_like(value), value, -value], dim=1)

    return logits


def ascent(gpu: FakeCuda, folder: Path) -> Figures:
    """Waits of one step of an ascent of six codes with an anchor: how many still climb, and nothing else."""
    from stylegan_bridge.steering import Prior, ascend

    space, waits = _grey(_space(gpu)), []
    prior = Prior(space, space.codes(range(64)))
    for steps in (2, 6):
        gpu.log.reset()
        found = ascend(
            prior, _task(), space.codes(range(6)), 1, [0, 2], goal=torch.full((6,), _UNREACHED, device="cuda"),
            steps=steps, rate=0.1, limit=4.0, prior_weight=1.0, anchor_weight=0.01,
            anchor=lambda images, begun: (images - begun).square().mean(dim=(1, 2, 3)),
        )  # fmt: skip
        assert found is not None
        assert found.evaluations == 6 * steps
        waits.append(_waits(gpu))
    return {"syncs": (waits[1] - waits[0]) / 4}


def evolution(gpu: FakeCuda, folder: Path) -> Figures:
    """Waits of one generation: for the margins of its children. Some of them are too far out to be drawn."""
    from stylegan_bridge.steering import Prior, evolve, margin

    space, task, waits = _grey(_space(gpu)), _task(), []
    prior = Prior(space, space.codes(range(64)))
    codes = space.codes(range(6))
    start = margin(task(space.images(codes)), 1)
    for generations in (2, 6):
        gpu.log.reset()
        found = evolve(
            prior, task, codes, start, 1, [0, 2], torch.Generator().manual_seed(0),
            goal=torch.full((6,), _UNREACHED, device="cuda"), generations=generations, step=0.5, limit=1.0,
        )  # fmt: skip
        assert 0 < found.evaluations < 6 * generations
        waits.append(_waits(gpu))
    return {"syncs": (waits[1] - waits[0]) / 4}


def inversion(gpu: FakeCuda, folder: Path) -> Figures:
    """Waits of one step of an inversion, with the noise images."""
    from stylegan_bridge.projection import ProjectConfig, Projector

    space, waits = _space(gpu), []
    targets = space.final(space.codes(range(50, 53)))
    distance: Callable[[Tensor, Tensor], Tensor] = lambda a, b: (a - b).square().mean(dim=(1, 2, 3))  # noqa: E731
    for steps in (2, 6):
        projector = Projector(space, distance, ProjectConfig(steps=steps, starts=4, noise=True))
        gpu.log.reset()
        projector.project(targets)
        waits.append(_waits(gpu))
    return {"syncs": (waits[1] - waits[0]) / 4}


def campaign(gpu: FakeCuda, folder: Path) -> Figures:
    """Waits per image of a whole campaign in W+, by every way that it knows."""
    from stylegan_bridge.steering import SteerConfig, steer

    space, task = _grey(_space(gpu)), _task()
    gpu.log.reset()
    result = steer(
        space, task, lambda images: task(images.cpu()), {1: 12, 2: 12},
        config=SteerConfig(pool_size=32, batch_size=8, goal=4.0, diversity_floor=0.0), seed=3,
    )  # fmt: skip
    assert len(result.labels) == 24
    assert {"plain", "direction", "ascent"} <= set(result.methods), set(result.methods)
    return {"syncs": _waits(gpu) / result.evaluations}


def campaign_of_a_gan(gpu: FakeCuda, folder: Path) -> Figures:
    """The same in the latents of one of ganfer's own GANs, led by a classifier and judged by another."""
    from classifiers import Classifier, create_model
    from ganfer.gan.networks import NetworkSpec, build_generator
    from ganfer.gan.sampling import GanGenerator
    from ganfer.generate.spaces import GanSpace
    from ganfer.generate.steer import judge_of, score_of
    from stylegan_bridge.steering import SteerConfig, steer

    torch.manual_seed(0)
    spec, names = NetworkSpec("resgan", 16, 1, 3, 8, 4), ("a", "b", "c")
    generator = GanGenerator(build_generator(spec), spec, names, device=gpu.kind)
    led, judged = (Classifier(create_model("compact-small", 3, 1, 16), names, device=gpu.kind) for _ in range(2))
    gpu.log.reset()
    result = steer(
        GanSpace(generator, 1), score_of(led, np.full(3, 1 / 3)), judge_of(judged), {0: 6, 1: 6, 2: 6},
        config=SteerConfig(pool_size=32, batch_size=8, goal=0.01, min_confidence=0.0, diversity_floor=0.0, patience=2),
    )  # fmt: skip
    return {"syncs": _waits(gpu) / result.evaluations}
