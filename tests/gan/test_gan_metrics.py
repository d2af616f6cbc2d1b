"""KID and the features: direction, identity, values from elsewhere, and what they must notice."""

import numpy as np
import pytest
import torch_fidelity.metric_kid as reference
from sklearn.metrics.pairwise import polynomial_kernel as sklearn_kernel

from ganfer.errors import GanferError
from ganfer.metrics.features import RandomConvFeatures, Standardiser, spread
from ganfer.metrics.kid import kid, mmd2, polynomial_kernel

RNG = np.random.default_rng(0)


def gaussian(n: int, shift: float = 0.0, dim: int = 12, scale: float = 1.0) -> np.ndarray:
    return RNG.normal(shift, scale, (n, dim)).astype(np.float32)


def test_kernel_and_estimate_agree_with_torch_fidelity_and_scikit_learn():
    x, y = gaussian(40), gaussian(40, 0.5)
    settings = {
        "kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0,
    }  # fmt: skip
    expected = reference.kernel_poly(x.astype(np.float64), y.astype(np.float64), **settings)
    assert np.allclose(polynomial_kernel(x, y), expected)
    assert np.allclose(polynomial_kernel(x, y), sklearn_kernel(x.astype(np.float64), y, degree=3))
    assert mmd2(x, y) == pytest.approx(reference.kernel_mmd(x.astype(np.float64), y.astype(np.float64), **settings))


def test_by_hand():
    x, y = np.array([[0.0], [1.0]]), np.array([[2.0], [0.0]])
    # within x: k(0,1) = 1; within y: k(2,0) = 1; across: k(0,2)=1, k(0,0)=1, k(1,2)=27, k(1,0)=1, mean 7.5
    assert mmd2(x, y) == pytest.approx(1 + 1 - 2 * 7.5)


def test_it_is_unbiased_so_equal_distributions_come_out_around_zero():
    values = [mmd2(gaussian(30), gaussian(20)) for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert min(values) < 0


def test_it_grows_with_the_distance_and_with_mode_collapse():
    real = gaussian(200)
    shifts = [kid(real, gaussian(200, shift)).value for shift in (0.0, 0.3, 0.6)]
    assert shifts == sorted(shifts)
    collapsed = np.repeat(gaussian(2), 100, axis=0)
    assert kid(real, collapsed).value > kid(real, gaussian(200)).value + 3 * kid(real, gaussian(200)).spread


def test_spread_shrinks_with_the_subsets_size_and_small_sets_work():
    real, fake = gaussian(800), gaussian(800, 0.1)
    assert kid(real, fake, subset_size=400).spread < kid(real, fake, subset_size=20).spread
    assert kid(gaussian(10), gaussian(900)).subset_size == 5
    assert np.isnan(kid(gaussian(3), gaussian(3)).spread)
    assert kid(real, fake) == kid(real, fake)
    with pytest.raises(GanferError, match="1 against 5.*at least 2"):
        kid(gaussian(1), gaussian(5))


# --- features -------------------------------------------------------------------------------------------------------


def drawing(n: int, size: int = 32) -> np.ndarray:
    """Discs of random place and brightness on a ramp: (n, 1, size, size) uint8."""
    y, x = np.mgrid[:size, :size]
    centre = RNG.uniform(10, size - 10, (2, n, 1, 1))
    disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 30
    return np.clip(100 + 2 * x + disc * RNG.uniform(40, 90, (n, 1, 1)), 0, 255).astype(np.uint8)[:, None]


@pytest.fixture(scope="module")
def measured():
    extract = RandomConvFeatures(1)
    reference_set = drawing(150)
    standardise = Standardiser.fit(extract(reference_set))
    return lambda images: standardise(extract(images))


def test_features_are_the_same_every_time_and_for_every_batch():
    images = drawing(6)
    features = RandomConvFeatures(1)(images)
    assert features.shape == (6, RandomConvFeatures(1).dim)
    assert np.array_equal(features, RandomConvFeatures(1)(images))
    assert np.allclose(features[2:3], RandomConvFeatures(1)(images[2:3]), atol=1e-5)
    assert not np.allclose(features, RandomConvFeatures(1, seed=1)(images))
    assert RandomConvFeatures(3)(np.zeros((0, 3, 16, 16), np.uint8)).shape == (0, RandomConvFeatures(3).dim)


def test_kid_notices_noise_blur_collapse_and_shifted_brightness(measured):
    real = drawing(150)
    good = mmd2(measured(real), measured(drawing(150)))
    damage = {
        "noise": np.clip(drawing(150) + RNG.normal(0, 15, (150, 1, 32, 32)), 0, 255).astype(np.uint8),
        "blur": drawing(150)[:, :, ::4, ::4].repeat(4, axis=2).repeat(4, axis=3),
        "collapse": drawing(3).repeat(50, axis=0),
        "brightness": (drawing(150) * 0.7).astype(np.uint8),
    }
    for name, images in damage.items():
        assert mmd2(measured(real), measured(images)) > good + 0.05, name


def test_spread_is_the_variance_and_notices_collapse(measured):
    assert spread(np.array([[0.0, 0.0], [2.0, 4.0]])) == pytest.approx((2 + 8) / 2)
    assert spread(measured(drawing(150))) == pytest.approx(1.0, abs=0.25)
    assert spread(measured(drawing(1).repeat(20, axis=0))) < 1e-6
