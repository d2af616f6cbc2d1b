"""Steering and inversion on the stand-in: what a step of a search waits for, and a whole campaign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from fake_gpu import FakeCuda
from torch import Tensor

Figures = dict[str, float]
Task = Callable[[Tensor], Tensor]
_UNREACHED = 1e9  # a margin: the search goes on to its last step


def _waits(gpu: FakeCuda) -> int:
    return sum(gpu.log.syncs.values())


def _space() -> object:
    """W+ of a small StyleGAN2 on the GPU, four images at a time."""
    from stylegan_bridge.config import GeneratorConfig
    from stylegan_bridge.generator import Generator
    from stylegan_bridge.steering import StyleSpace

    torch.manual_seed(0)
    config = GeneratorConfig.standard(8, channel_base=128, channel_max=12, z_dim=8, w_dim=10, mapping_layers=2)
    space = StyleSpace(Generator(config).to("cuda"), batch_size=4)
    space.gradient_batch = 4
    return space


def _task() -> Task:
    """Three classes by colour: class 1 is more red than green, class 2 the other way round; differentiable."""

    def logits(images: Tensor) -> Tensor:
        red_green = images.float().mean(dim=(2, 3))[:, :2] / 4
        value = red_green[:, 0] - red_green[:, 1]
        return torch.stack([torch.zeros_like(value), value, -value], dim=1)

    return logits


def ascent(gpu: FakeCuda, folder: Path) -> Figures:
    """Waits of one step of an ascent of six codes with an anchor: how many still climb, and nothing else."""
    from stylegan_bridge.steering import Prior, ascend

    space, waits = _space(), []
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

    space, task, waits = _space(), _task(), []
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

    space, waits = _space(), []
    targets = space.final(space.codes(range(50, 53)))
    distance: Callable[[Tensor, Tensor], Tensor] = lambda a, b: (a - b).square().mean(dim=(1, 2, 3))  # noqa: E731
    for steps in (2, 6):
        projector = Projector(space, distance, ProjectConfig(steps=steps, starts=4, noise=True))
        gpu.log.reset()
        projector.project(targets)
        waits.append(_waits(gpu))
    return {"syncs": (waits[1] - waits[0]) / 4}


def campaign(gpu: FakeCuda, folder: Path) -> Figures:
    """Waits per evaluation of a whole campaign, by every way that it knows."""
    from stylegan_bridge.steering import SteerConfig, steer

    space, task = _space(), _task()
    gpu.log.reset()
    result = steer(
        space, task, lambda images: task(images.cpu()), {1: 12, 2: 12},
        config=SteerConfig(pool_size=32, batch_size=8, goal=4.0, diversity_floor=0.0), seed=3,
    )  # fmt: skip
    assert len(result.labels) == 24
    assert {"plain", "direction", "ascent"} <= set(result.methods), set(result.methods)
    return {"syncs": _waits(gpu) / result.evaluations}
