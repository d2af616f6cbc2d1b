"""The networks: shapes at every size, gradients everywhere, the class counts as far as it should."""

import pytest
import torch

from ganfer.errors import GanferError
from ganfer.gan import stylegan2
from ganfer.gan.networks import (
    GENERATORS,
    NetworkSpec,
    build_discriminator,
    build_generator,
    check_size,
    hidden_widths,
    plan_size,
)


def spec_of(size: int = 16, channels: int = 1, num_classes: int = 3, network: str = "dcgan") -> NetworkSpec:
    return NetworkSpec(network, size, channels, num_classes, latent_dim=6, base_channels=4)


def labels_for(spec: NetworkSpec, n: int) -> torch.Tensor | None:
    return torch.arange(n) % spec.num_classes if spec.num_classes else None


@pytest.mark.parametrize("size", [16, 24, 32, 48, 64, 96, 128])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("network", GENERATORS)
def test_shapes_and_range(size, channels, num_classes, network):
    spec = spec_of(size, channels, num_classes, network)
    if network == "stylegan2" and size not in stylegan2.SIZES:
        with pytest.raises(GanferError, match=rf"{size}×{size}.*--size \d+"):
            check_size(network, size)
        return
    check_size(network, size)
    images = build_generator(spec)(torch.randn(2, 6), labels_for(spec, 2))
    assert images.shape == (2, channels, size, size)
    assert network == "stylegan2" or images.abs().max() <= 1
    logits = build_discriminator(spec, "spectral")(images, labels_for(spec, 2))
    assert logits.shape == (2,)


@pytest.mark.parametrize("size", [8, 20, 47, 50, 80])
def test_a_size_no_network_reaches_names_the_nearest(size):
    with pytest.raises(GanferError, match=rf"{size}×{size}.*--size \d+"):
        plan_size(size)


@pytest.mark.parametrize(
    ("network", "size", "said", "unsaid"),
    [
        ("resgan", 17, "A resgan cannot draw 17×17", "DCGAN"),
        ("dcgan", 17, "A DCGAN cannot draw 17×17", "resgan"),
        ("dcgan", 10, "--size 16 (or any of 16,", "12,"),  # data.size begins at 16
        ("stylegan2", 17, "--size 16.", "resgan"),  # which cannot draw 17 either
        ("stylegan2", 48, "or use gan.network=resgan", "DCGAN"),
    ],
)
def test_a_size_is_refused_in_the_networks_own_name_with_sizes_that_can_be_had(network, size, said, unsaid):
    with pytest.raises(GanferError) as error:
        check_size(network, size)
    assert said in str(error.value)
    assert unsaid not in str(error.value)


@pytest.mark.parametrize("smooth", ["spectral", "r1", "none"])
@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("network", GENERATORS)
def test_the_gradient_reaches_every_parameter(smooth, num_classes, network):
    torch.manual_seed(0)
    spec = spec_of(num_classes=num_classes, network=network)
    generator, discriminator = build_generator(spec), build_discriminator(spec, smooth)
    labels = labels_for(spec, 6)
    discriminator(generator(torch.randn(6, 6), labels), labels).square().sum().backward()
    for name, parameter in [*generator.named_parameters(), *discriminator.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("network", GENERATORS)
def test_the_class_counts_as_far_as_the_strength(network):
    torch.manual_seed(0)
    spec = spec_of(network=network)
    generator, discriminator = build_generator(spec), build_discriminator(spec, "spectral")
    for module in generator.modules():
        if isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight)  # as after some training
    generator.eval(), discriminator.eval()
    z = torch.randn(1, 6).repeat(3, 1)
    labels = torch.arange(3)
    without, half, full = (generator(z, labels, strength) for strength in (0.0, 0.5, 1.0))
    torch.testing.assert_close(without[0], without[1])  # rows of one batch: close, not the same bits on every machine
    assert not torch.allclose(full[0], full[1])
    assert (half[0] - half[1]).abs().mean() < (full[0] - full[1]).abs().mean()
    same = without[:1].repeat(3, 1, 1, 1)
    assert discriminator(same, labels, 0.0).std() < 1e-6
    assert discriminator(same, labels, 1.0).std() > 1e-6


def test_the_classic_network_is_the_published_one():
    """Layers of Radford et al. 2016 at 64 px: 512, 256, 128, 64 maps, batch norm between, none at the ends."""
    spec = NetworkSpec("dcgan", 64, 3, 0, latent_dim=100, base_channels=64)
    assert hidden_widths(spec) == [64, 128, 256, 512]
    generator, discriminator = build_generator(spec), build_discriminator(spec, "none")
    # the counts of the widely used 64 px colour DCGAN
    assert sum(p.numel() for p in generator.parameters()) == 3_576_704
    assert sum(p.numel() for p in discriminator.parameters()) == 2_765_568
    weights = torch.cat([p.detach().flatten() for p in generator.parameters() if p.dim() > 1])
    assert abs(float(weights.std()) - 0.02) < 0.001


def test_spectral_norm_keeps_the_discriminator_smooth():
    torch.manual_seed(0)
    discriminator = build_discriminator(spec_of(num_classes=0), "spectral")
    with torch.no_grad():
        for parameter in discriminator.parameters():
            if parameter.dim() > 1:
                parameter.mul_(1000.0)  # undone by the normalisation
        for _ in range(20):
            discriminator(torch.randn(4, 1, 16, 16))
        a, b = torch.randn(8, 1, 16, 16), torch.randn(8, 1, 16, 16)
        slope = (discriminator(a) - discriminator(b)).abs() / (a - b).flatten(1).norm(dim=1)
    # 4x4 kernels of stride 2 overlap, so each layer may stretch by up to 2; five layers
    assert slope.max() < 2**3


def test_the_smallest_maps_of_the_residual_generator_are_shared_by_the_classes():
    torch.manual_seed(0)
    generator = build_generator(spec_of(size=48, network="resgan"))
    assert generator.knows_class == [False, True, True, True]  # of 3, 6, 12 and 24 pixels
    maps: list[torch.Tensor] = []
    generator.blocks[0].register_forward_hook(lambda module, inputs, output: maps.append(output.detach()))
    images = generator(torch.randn(1, 6).repeat(2, 1), torch.tensor([0, 1]))
    torch.testing.assert_close(maps[0][0], maps[0][1])
    assert not torch.allclose(images[0], images[1], atol=1e-3)


def test_the_discriminator_of_stylegan2_sees_how_much_a_batch_varies():
    alike = torch.randn(1, 3, 4, 4).repeat(4, 1, 1, 1)
    assert float(stylegan2.variety(alike).max()) < 1e-3
    apart = torch.cat([alike[:2] - 1, alike[2:] + 1])
    assert float(stylegan2.variety(apart).mean()) == pytest.approx(1.0, abs=1e-3)
    assert stylegan2.variety(torch.randn(6, 3, 4, 4)).shape == (6, 1, 4, 4)  # a batch that no group of four divides


@pytest.mark.parametrize("network", ["resgan", "stylegan2"])
def test_a_latent_for_every_place_it_enters_at_draws_the_same_where_they_are_equal(network):
    generator = build_generator(NetworkSpec(network, 32, 1, 3, latent_dim=6, base_channels=4)).eval()
    z, labels = torch.randn(2, 6), torch.tensor([0, 2])
    layered = z[:, None].repeat(1, generator.depth, 1)
    apart = layered.clone()
    apart[:, 1] += 1
    with torch.no_grad():
        plain = generator(z, labels)
        assert torch.allclose(generator(layered, labels), plain, atol=1e-5)
        assert not torch.allclose(generator(apart, labels), plain, atol=1e-5)
