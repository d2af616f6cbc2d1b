"""Inversion: what a network drew is found again, near where it came from; codes that are held back stay editable."""

import pytest
import torch
from bridge_checkpoints import tiny_config, tiny_generator
from torch import Tensor

from stylegan_bridge import BridgeError, ProjectConfig, Projector, StyleSpace
from stylegan_bridge.projection import noise_regularisation
from stylegan_bridge.steering import PlainSpace


def pixels(one: Tensor, other: Tensor) -> Tensor:
    return ((one - other) / 255).square().mean(dim=(1, 2, 3))


@pytest.fixture
def space() -> StyleSpace:
    return StyleSpace(tiny_generator(tiny_config(16, mapping_lr_multiplier=0.01)))


QUICK = ProjectConfig(steps=150, rate=0.1, starts=16, mean_weight=1e-5, layer_weight=1e-3)


def test_a_face_that_the_network_drew_is_found_and_its_latent_with_it(space):
    truth = space.codes([7000, 7001])
    projector = Projector(space, pixels, QUICK)
    found = projector.project(space.final(truth))
    white = projector.prior.whitened
    away = (white(found.codes) - white(truth)).square().mean(dim=(1, 2))
    apart = (white(space.codes([1, 2])) - white(truth)).square().mean(dim=(1, 2))
    assert float(found.distances.max()) < 0.05 * float(
        pixels(space.images(space.codes([1, 2])), space.images(truth)).min()
    )
    assert float(away.max()) < 0.35 * float(apart.min())
    assert torch.equal(space.final(found.codes), found.images)


def test_an_image_is_inverted_the_same_whatever_its_company(space):
    targets = space.final(space.codes([7000, 7001]))
    projector = Projector(space, pixels, ProjectConfig(steps=10, starts=4))
    assert torch.allclose(projector.project(targets).codes[1:], projector.project(targets[1:]).codes, atol=1e-3)


def test_the_layer_weight_keeps_the_layers_alike_and_the_mean_weight_near_the_average(space):
    strange = torch.randint(0, 256, (1, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)

    def spread(config: ProjectConfig) -> tuple[float, float]:
        projector = Projector(space, pixels, config)
        points = projector.prior.whitened(projector.project(strange).codes)
        return float((points - points.mean(dim=1, keepdim=True)).square().mean()), float(points.square().mean())

    loose = spread(ProjectConfig(steps=60, starts=4, mean_weight=0, layer_weight=0))
    assert spread(ProjectConfig(steps=60, starts=4, mean_weight=0, layer_weight=1.0))[0] < 0.3 * loose[0]
    assert spread(ProjectConfig(steps=60, starts=4, mean_weight=0.5, layer_weight=0))[1] < loose[1]


def test_the_z_of_any_generator_is_found():
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(1))
    space = PlainSpace(lambda z: (128 + 40 * (z @ weight)).view(-1, 1, 8, 8), 4)
    truth = space.codes([50_000])
    found = Projector(space, pixels, ProjectConfig(steps=200, mean_weight=0, layer_weight=0)).project(
        space.images(truth)
    )
    assert torch.allclose(found.codes, truth, atol=0.05)


def test_noise_images_are_found_too_and_stay_noise(space):
    generator = space.generator
    with torch.no_grad():
        for block in generator.synthesis.blocks:  # noise that is seen, and another than the saved one
            block.conv1.noise_strength.fill_(0.5)
    target = generator.sample_ws(space.codes([7000]), "random", [3])
    plain = Projector(space, pixels, ProjectConfig(steps=60, starts=4)).project(target)
    found = Projector(space, pixels, ProjectConfig(steps=60, starts=4, noise=True, noise_weight=0.1)).project(target)
    assert found.noises is not None
    assert [tuple(noise.shape[1:]) for noise in found.noises] == [
        (1, s, s) for s in space.generator.synthesis.noise_shapes()
    ]
    assert float(found.distances) < float(plain.distances)
    assert all(abs(float(noise.mean())) < 0.05 for noise in found.noises)
    smooth = torch.linspace(-1.7, 1.7, 16).expand(1, 1, 16, 16)
    rough = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert float(noise_regularisation([smooth])) > 10 * float(noise_regularisation([rough]))


def test_images_of_another_size_are_refused(space):
    with pytest.raises(BridgeError, match=r"shape \(1, 16, 16\): this network draws \(3, 16, 16\)"):
        Projector(space, pixels, ProjectConfig(steps=1, starts=2)).project(torch.zeros(1, 1, 16, 16))
    with pytest.raises(BridgeError, match="noise images"):
        Projector(PlainSpace(lambda z: z.view(-1, 1, 2, 2), 4), pixels, ProjectConfig(noise=True))
