"""Augmentation moves what it should by as much as it should, repeats by seed, and mixes labels with pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bars_data import bars

from classifiers.augment import OPERATIONS, STRENGTHS, Strength, augment, draw_mixing, make_strength, mix


def run(images: torch.Tensor, strength: Strength, seed: int = 0) -> torch.Tensor:
    return augment(images, strength, torch.Generator().manual_seed(seed))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(bars(64, size=24).images)


def test_none_only_scales(images: torch.Tensor) -> None:
    assert torch.equal(run(images, STRENGTHS["none"]), images.float() / 255)


@pytest.mark.parametrize("level", [level for level in STRENGTHS if level != "none"])
def test_keeps_shape_and_range_changes_pixels_and_repeats(images: torch.Tensor, level: str) -> None:
    out = run(images, STRENGTHS[level])
    assert out.shape == images.shape
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(out, run(images, STRENGTHS[level]))
    assert not torch.equal(out, run(images, STRENGTHS[level], seed=1))
    assert (out - images.float() / 255).abs().mean() > 0.02


def test_no_range_is_no_change(images: torch.Tensor) -> None:
    """The resampling itself, with an identity map, returns the pixels."""
    out = run(images, Strength(flip=1e-9, rotate=1e-6))
    assert torch.allclose(out, images.float() / 255, atol=1e-4)


def test_flip_is_a_mirror_image(images: torch.Tensor) -> None:
    out = run(images, Strength(flip=1.0))
    assert torch.allclose(out, images.flip(3).float() / 255, atol=1e-4)


def centre(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre of mass (row, column) in pixels of (B, 1, H, W)."""
    h, w = x.shape[2:]
    mass = x.sum((1, 2, 3))
    rows = (x.sum((1, 3)) * torch.arange(h)).sum(1) / mass
    return rows, (x.sum((1, 2)) * torch.arange(w)).sum(1) / mass


def blob(n: int = 400, size: int = 33) -> torch.Tensor:
    images = torch.zeros(n, 1, size, size, dtype=torch.uint8)
    images[:, :, 14:19, 14:19] = 255
    return images


def test_shift_reaches_its_range_and_not_further() -> None:
    rows, columns = centre(run(blob(), Strength(shift=0.1)))
    for moved in (rows - 16, columns - 16):
        assert 2.9 < moved.abs().max() <= 3.31  # a tenth of 33 pixels
        assert abs(float(moved.mean())) < 0.4


def test_zoom_reaches_its_range() -> None:
    images = torch.zeros(400, 1, 65, 65, dtype=torch.uint8)
    images[:, :, 22:43, 22:43] = 255
    area = run(images, Strength(zoom=0.4)).sum((1, 2, 3)) / 21**2
    assert area.max() == pytest.approx(1.4**2, rel=0.05)
    assert area.min() == pytest.approx(1.4**-2, rel=0.05)


def test_rotation_keeps_area_and_turns_by_its_angle() -> None:
    images = torch.zeros(400, 1, 65, 65, dtype=torch.uint8)
    images[:, :, 31:34, 50:60] = 255
    out = run(images, Strength(rotate=20.0))
    rows, columns = centre(out)
    angle = torch.rad2deg(torch.atan2(rows - 32, columns - 32))
    assert 18.5 < angle.abs().max() <= 20.5
    assert torch.allclose(out.sum((1, 2, 3)), torch.full((400,), 30.0), rtol=0.1)


def test_shear_slants_and_is_independent_of_the_flip() -> None:
    images = torch.zeros(400, 1, 65, 65, dtype=torch.uint8)
    images[:, :, 5:10, 31:34] = 255
    _, columns = centre(run(images, Strength(shear=0.2, flip=0.5)))
    assert 4.3 < (columns - 32).abs().max() < 5.6  # 24.5 rows up, slanted by a fifth
    plain = run(images, Strength(shear=0.2))
    assert centre(plain)[1].std() > 2


def test_cutout_blanks_half_of_the_images_by_a_square() -> None:
    out = run(torch.full((400, 1, 40, 40), 255, dtype=torch.uint8), Strength(cutout=0.5, cutout_size=0.5))
    gone = (out == 0.5).flatten(1).sum(1)
    assert 0.4 < float((gone > 0).float().mean()) < 0.56
    assert gone.max() <= 21 * 21
    assert gone.max() > 15 * 15


def test_brightness_and_contrast() -> None:
    grey = torch.full((200, 1, 8, 8), 128, dtype=torch.uint8)
    level = run(grey, Strength(brightness=0.2)).mean((1, 2, 3)) - 128 / 255
    assert 0.17 < level.abs().max() <= 0.2
    ramp = torch.arange(96, 160, dtype=torch.uint8).view(1, 1, 8, 8).repeat(200, 1, 1, 1)
    gain = run(ramp, Strength(contrast=0.4)).std((1, 2, 3)) / (ramp.float() / 255).std((1, 2, 3))
    assert gain.max() == pytest.approx(1.4, rel=0.03)
    assert gain.min() == pytest.approx(1 / 1.4, rel=0.03)


def operation(monkeypatch: pytest.MonkeyPatch, name: str, x: torch.Tensor, magnitude: float = 0.5) -> torch.Tensor:
    """RandAugment with one operation per image, always `name`."""
    real = torch.randint
    monkeypatch.setattr(torch, "randint", lambda high, *a, **k: real(high, *a, **k).fill_(OPERATIONS.index(name)))
    return run(x, Strength(ops=1, magnitude=magnitude))


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_of_randaugment_acts_alone(
    images: torch.Tensor, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out, plain = operation(monkeypatch, name, images), images.float() / 255
    assert out.shape == plain.shape
    assert out.min() >= 0
    assert out.max() <= 1
    changed = (out - plain).abs().mean() > 1e-3
    assert changed == (name != "identity")


def test_randaugments_operations_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = torch.arange(0, 256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(4, 1, 1, 1)
    plain = ramp.float() / 255
    solarized = operation(monkeypatch, "solarize", ramp)
    assert torch.allclose(solarized, torch.where(plain > 0.75, 1 - plain, plain), atol=1e-4)
    assert len(operation(monkeypatch, "posterize", ramp).mul(63).round().unique()) == 64
    stretched = operation(monkeypatch, "autocontrast", ramp // 2 + 20)
    assert (stretched.min(), stretched.max()) == (0, 1)
    lifted = operation(monkeypatch, "brightness", torch.full((50, 1, 4, 4), 128, dtype=torch.uint8))
    assert sorted({round(float(v) - 128 / 255, 3) for v in lifted.unique()}) == [-0.225, 0.225]


def test_overrides_replace_the_levels_own_values() -> None:
    strength = make_strength("light", zoom=0.5, shear=None, flip=0.0)
    assert (strength.zoom, strength.flip, strength.rotate) == (0.5, 0.0, STRENGTHS["light"].rotate)


def test_mixup_mixes_labels_in_the_share_of_the_pixels() -> None:
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 6, 6).clone()
    targets = torch.eye(2)
    for seed in range(5):
        how, numbers = draw_mixing(1.0, 0.0, 6, 6, np.random.default_rng(seed))
        mixed, t = mix(x, targets, how, torch.from_numpy(numbers))
        assert torch.allclose(mixed.mean((1, 2, 3)), t[:, 1], atol=1e-6)
        assert torch.allclose(t.sum(1), torch.ones(2))
        assert mixed.std((1, 2, 3)).max() == 0


def test_cutmix_pastes_a_rectangle_and_shares_the_label_by_area() -> None:
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 12, 12).clone()
    shares = set()
    for seed in range(10):
        how, numbers = draw_mixing(0.0, 1.0, 12, 12, np.random.default_rng(seed))
        mixed, t = mix(x, torch.eye(2), how, torch.from_numpy(numbers))
        assert set(mixed.unique().tolist()) <= {0.0, 1.0}
        assert torch.allclose(mixed.mean((1, 2, 3)), t[:, 1], atol=1e-6)
        shares.add(round(float(t[0, 0]), 4))
    assert len(shares) > 5
    assert torch.equal(x[0], torch.zeros(1, 12, 12)), "the caller's batch was changed"


def test_off_is_off() -> None:
    before = np.random.default_rng(0)
    assert draw_mixing(0.0, 0.0, 5, 5, before)[0] == ""
    assert before.bit_generator.state == np.random.default_rng(0).bit_generator.state, "a number was drawn"


def test_mixing_is_what_plain_slices_and_shares_give() -> None:
    """Bit for bit: a training that was interrupted before steps were recorded goes on as it would have."""
    x, targets = torch.rand(6, 1, 12, 10), torch.rand(6, 4)
    kinds = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        how, numbers = draw_mixing(0.4, 1.0, 12, 10, rng)
        mixed, t = mix(x, targets, how, torch.from_numpy(numbers))
        kinds.add(how)
        again = np.random.default_rng(seed)
        if again.random() < 0.5:
            side, (cy, cx) = np.sqrt(1 - again.beta(1.0, 1.0)), again.random(2)
            rows, columns = (
                slice(*(int(np.clip(round((c + s * side / 2) * n), 0, n)) for s in (-1, 1)))
                for c, n in ((cy, 12), (cx, 10))
            )
            expected = x.clone()
            expected[:, :, rows, columns] = x[:, :, rows, columns].flip(0)
            share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / 120
        else:
            share = float(again.beta(0.4, 0.4))
            expected = torch.lerp(x.flip(0), x, share)
        assert torch.equal(mixed, expected)
        assert torch.equal(t, torch.lerp(targets.flip(0), targets, share))
    assert kinds == {"mixup", "cutmix"}
