"""Losses, DiffAugment, the weight average, batches and latents: what each must do whatever the network."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from ganfer.errors import ConfigError
from ganfer.gan.ada import adapt, fresh_ada
from ganfer.gan.batches import Batches, class_shares
from ganfer.gan.diffaugment import diff_augment, parse_policies
from ganfer.gan.ema import average_of, recalibrate, update_average
from ganfer.gan.latents import latents, philox4x32
from ganfer.gan.losses import LOSSES, gradient_penalty


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- losses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_losses_fall_when_their_network_does_better(name):
    loss = LOSSES[name]
    low, high = torch.full((4,), -0.5), torch.full((4,), 0.5)
    assert loss.discriminator(high, low) < loss.discriminator(low, high)
    real = torch.zeros(4) if loss.paired else None
    assert loss.generator(high, real) < loss.generator(low, real)


def test_losses_by_hand():
    zero, one = torch.zeros(2), torch.ones(2)
    assert float(LOSSES["non-saturating"].discriminator(zero, zero)) == pytest.approx(2 * np.log(2))
    assert float(LOSSES["non-saturating"].generator(one, None)) == pytest.approx(np.log1p(np.exp(-1)))
    assert float(LOSSES["hinge"].discriminator(2 * one, -2 * one)) == 0.0
    assert float(LOSSES["hinge"].discriminator(zero, zero)) == 2.0
    relativistic = LOSSES["relativistic"]
    assert float(relativistic.discriminator(one, zero)) == pytest.approx(np.log1p(np.exp(-1)))
    assert float(relativistic.discriminator(one + 7, zero + 7)) == pytest.approx(np.log1p(np.exp(-1)))  # no zero point
    assert float(relativistic.generator(zero, one)) == pytest.approx(np.log1p(np.exp(1)))


def test_r1_is_the_squared_gradient_and_can_be_minimised():
    weight = torch.full((4,), 3.0, requires_grad=True)
    images = torch.randn(5, 1, 2, 2)
    penalty = gradient_penalty(lambda x: x.flatten(1) @ weight, images)
    assert penalty.item() == pytest.approx(36.0)
    penalty.backward()
    assert weight.grad is not None
    assert torch.allclose(weight.grad, 2 * weight.detach())


# --- DiffAugment ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policies", ["color", "translation", "cutout", "color,translation,cutout", ""])
@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_keeps_the_shape_lets_gradients_through_and_repeats(policies, channels):
    images = torch.rand(6, channels, 16, 16).mul(2).sub(1).requires_grad_(True)
    names = parse_policies(policies)
    out = diff_augment(images, names, rng())
    assert out.shape == images.shape
    assert torch.equal(out, diff_augment(images, names, rng()))
    assert names == () or not torch.equal(out, diff_augment(images, names, rng(1)))
    out.sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()


def test_augmentation_changes_as_many_images_as_its_probability_says():
    images = torch.rand(400, 1, 8, 8)
    for probability in (0.0, 0.3, 1.0):
        out = diff_augment(images, ("color",), rng(), torch.tensor(probability))
        changed = (out != images).flatten(1).any(1).float().mean()
        assert abs(float(changed) - probability) < 0.08


@pytest.mark.parametrize("paired", [False, True])
def test_adaptive_augmentation_follows_the_discriminators_lead(paired):
    state = fresh_ada(torch.device("cpu"))
    sure = torch.full((100,), 3.0)
    for _ in range(250):
        adapt(state, sure, -sure, target=0.6, paired=paired)
    assert 0.3 < float(state[0]) < 0.5  # 25,000 images, half of the ramp, after the lead has built up
    for _ in range(600):
        adapt(state, -sure, sure, target=0.6, paired=paired)
    assert float(state[0]) == 0.0
    for _ in range(700):
        adapt(state, sure + 5, sure + 4, target=0.6, paired=paired)  # without pairs all that counts is the sign
    assert float(state[0]) == 1.0


def test_translation_moves_the_image_and_fills_with_zero():
    images = torch.full((64, 1, 16, 16), 0.5)
    out = diff_augment(images, ("translation",), rng())
    assert set(out.unique().tolist()) == {0.0, 0.5}
    lost = (out == 0).any(3).sum(2)
    assert lost.max() <= 2 + 16  # two rows at most, or whole rows where columns went
    dot = torch.zeros(256, 1, 16, 16)
    dot[:, :, 8, 8] = 1.0
    moved = diff_augment(dot, ("translation",), rng())
    assert moved.sum() == 256
    spots = {tuple(spot) for spot in moved[:, 0].nonzero()[:, 1:].tolist()}
    assert spots == {(y, x) for y in range(6, 11) for x in range(6, 11)}


def test_cutout_takes_a_square_of_half_the_side_at_most():
    out = diff_augment(torch.ones(200, 1, 16, 16), ("cutout",), rng())
    area = (out == 0).sum(dim=(1, 2, 3))
    assert area.max() == 64
    assert area.min() >= 16


def test_an_unknown_policy_names_the_nearest():
    with pytest.raises(ConfigError, match="colour.*'color'"):
        parse_policies("colour")


# --- the weight average ---------------------------------------------------------------------------------------------


def test_half_of_a_change_is_left_after_the_half_life():
    network = torch.nn.Linear(1, 1)
    torch.nn.init.ones_(network.weight)
    average = average_of(network)
    with torch.no_grad():
        network.weight.zero_()
    for _ in range(10):
        update_average(average, network, batch_size=8, images_seen=10**6, half_life=80.0)
    assert float(average.weight) == pytest.approx(0.5)
    update_average(average, network, batch_size=8, images_seen=10**6, half_life=0.0)
    assert float(average.weight) == 0.0


def test_recalibrated_statistics_are_those_of_the_inputs():
    norm = torch.nn.BatchNorm2d(2)
    norm.running_mean.fill_(99.0)
    network = torch.nn.Sequential()
    network.add_module("norm", norm)

    class Taking(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = norm

        def forward(self, z, labels):
            return self.norm(z)

    batches = [torch.randn(32, 2, 4, 4) * 3 + 5 for _ in range(4)]
    recalibrate(Taking(), [(batch, None) for batch in batches])
    assert torch.allclose(norm.running_mean, torch.stack([b.mean(dim=(0, 2, 3)) for b in batches]).mean(0), atol=1e-5)
    assert norm.momentum == 0.1
    assert not norm.training


# --- batches --------------------------------------------------------------------------------------------------------


def make_batches(counts, balance=0.5, seed=0, flip=False):
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.broadcast_to(labels[:, None, None, None] * 10, (len(labels), 1, 4, 4)).astype(np.uint8).copy()
    images[..., 0] += 1  # the left edge, to see flips
    shuffled = np.random.default_rng(0).permutation(len(labels))
    return Batches(
        images[shuffled], labels[shuffled], len(counts), balance=balance, latent_dim=4, batch_size=512, flip=flip,
        seed=seed, device=torch.device("cpu"),
    )  # fmt: skip


def test_a_batch_is_a_function_of_seed_and_step():
    one, other = make_batches([50, 5]), make_batches([50, 5])
    other.draw(3)
    first, second = one.draw(7), other.draw(7)
    for name in ("real", "labels", "z"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert not torch.equal(one.draw(7).z, one.draw(8).z)
    assert not torch.equal(one.draw(7).z, make_batches([50, 5], seed=1).draw(7).z)


def test_images_go_with_their_labels():
    batch = make_batches([50, 5, 20]).draw(0)
    pixel = batch.real[:, 0, 1, 2].add(1).mul(127.5).round().long()
    assert torch.equal(pixel, batch.labels * 10)


@pytest.mark.parametrize(("balance", "rare_share"), [(0.0, 0.01), (0.5, 1 / (1 + 99**0.5)), (1.0, 0.5)])
def test_the_power_sets_how_often_a_rare_class_is_drawn(balance, rare_share):
    assert class_shares(np.array([99, 1]), balance)[1] == pytest.approx(rare_share)
    batches = make_batches([99, 1], balance=balance)
    drawn = torch.cat([batches.draw(step).labels for step in range(20)]).float().mean()
    assert float(drawn) == pytest.approx(rare_share, abs=0.02)


def test_half_of_the_images_are_mirrored():
    edge = make_batches([50], flip=True).draw(0).real
    mirrored = (edge[:, 0, 0, 3] > edge[:, 0, 0, 0]).float().mean()
    assert 0.4 < float(mirrored) < 0.6


# --- latents --------------------------------------------------------------------------------------------------------


def test_philox_gives_the_published_words():
    """Known answers of Random123 (Salmon et al. 2011) for philox4x32-10."""
    ones = np.full((1, 4), 0xFFFFFFFF, dtype=np.uint64)
    zero = np.zeros((1, 4), dtype=np.uint64)
    assert philox4x32(zero, zero[:, :2]).tolist() == [[0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]]
    assert philox4x32(ones, ones[:, :2]).tolist() == [[0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]]


def test_a_latent_depends_on_its_seed_alone():
    seeds = np.array([5, -1, 2**40, 0, 7], dtype=np.int64)
    together = latents(seeds, 10)
    assert together.dtype == np.float32
    assert np.array_equal(together[[3, 1]], latents(seeds[[3, 1]], 10))
    assert np.array_equal(together[:, :6], latents(seeds, 6))
    assert len(np.unique(together[:, 0])) == 5


def test_latents_are_standard_normal_and_truncation_cuts():
    z = latents(np.arange(400), 50)
    assert kstest(z.ravel(), "norm").pvalue > 0.01
    assert abs(np.corrcoef(z[:-1, 0], z[1:, 0])[0, 1]) < 0.2
    cut = latents(np.arange(400), 50, truncation=0.7)
    assert np.abs(cut).max() <= 0.7
    assert np.corrcoef(cut.ravel(), z.ravel())[0, 1] > 0.9  # the same faces, nearer to the average
