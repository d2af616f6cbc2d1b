"""Fréchet distance, precision and recall, density and coverage, KID's error: values and what they mean."""

import numpy as np
import pytest
import torch
import torch_fidelity.metric_fid as fid_reference
import torch_fidelity.metric_prc as prc_reference
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from ganfer.errors import GanferError
from ganfer.metrics.density_coverage import density_coverage
from ganfer.metrics.fid import fid
from ganfer.metrics.kid import mmd2, mmd2_with_error
from ganfer.metrics.neighbours import distance_blocks, nearest, radii
from ganfer.metrics.precision_recall import Manifold, precision_recall


def gaussian(n: int, seed: int, shift: float = 0.0, dim: int = 8, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (n, dim)).astype(np.float32)


# --- distances ------------------------------------------------------------------------------------------------------


def test_distances_agree_with_scipy_and_blocks_cover_all_rows():
    x, y = gaussian(2500, 0, shift=30.0), gaussian(70, 1, shift=30.0)
    found = np.concatenate([block.numpy() for _, block in distance_blocks(x, y)])
    assert np.allclose(found, cdist(x, y), atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_vectors_have_distance_zero_far_from_the_origin(dtype: torch.dtype):
    x = gaussian(50, 0, shift=1000.0)
    distances, index = nearest(x, x, device="cpu", dtype=dtype)
    assert (distances == 0).all()
    assert (index[:, 0] == np.arange(50)).all()


def test_the_nearest_ones_are_found_across_slabs(monkeypatch: pytest.MonkeyPatch):
    x, y = gaussian(40, 0), gaussian(100, 1)
    monkeypatch.setattr("ganfer.metrics.neighbours._SLAB", 7)
    distances, index = nearest(x, y, 5)
    expected = np.sort(cdist(x, y), axis=1)[:, :5]
    assert np.allclose(distances, expected)
    assert np.allclose(np.take_along_axis(cdist(x, y), index, axis=1), expected)
    assert nearest(x, y[:3], 5)[0].shape == (40, 3)


def test_radii_leave_the_point_itself_out():
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert radii(line, 1).tolist() == [1.0, 1.0, 2.0, 4.0]
    assert radii(line, 2).tolist() == [3.0, 2.0, 3.0, 6.0]


# --- FID ------------------------------------------------------------------------------------------------------------


def test_fid_by_hand():
    # means 0 and 3, variances 2 (of -1, 1) and 8 (of 1, 5): 9 + (sqrt 2 - sqrt 8)^2 = 9 + 2
    assert fid(np.array([[-1.0], [1.0]]), np.array([[1.0], [5.0]])).value == pytest.approx(11.0)


@pytest.mark.parametrize("n", [20, 300])  # fewer and more images than dimensions
def test_fid_agrees_with_the_matrix_square_root_and_with_torch_fidelity(n: int):
    x, y = gaussian(n, 0, dim=40).astype(np.float64), gaussian(n + 5, 1, 0.4, dim=40, scale=1.3).astype(np.float64)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.trace(sqrtm(a @ b)).real
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a) + np.trace(b) - 2 * root
    assert fid(x, y).value == pytest.approx(expected, rel=1e-4)
    statistics = [fid_reference.fid_features_to_statistics(torch.from_numpy(part)) for part in (x, y)]
    theirs = fid_reference.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert fid(x, y).value == pytest.approx(theirs, rel=1e-4)


def test_fid_of_a_set_with_itself_is_zero_also_with_fewer_images_than_dimensions():
    x = gaussian(10, 0, dim=64)
    assert fid(x, x).value == pytest.approx(0.0, abs=1e-9)
    assert fid(x, gaussian(10, 1, dim=64)).value > 10


def test_fid_is_biased_and_says_so():
    small = np.mean([fid(gaussian(30, 2 * i), gaussian(30, 2 * i + 1)).value for i in range(20)])
    large = np.mean([fid(gaussian(600, 2 * i), gaussian(600, 2 * i + 1)).value for i in range(5)])
    assert small > 5 * large  # both sets are of the same distribution
    assert "fewer than the 64 dimensions" in fid(gaussian(10, 0, dim=64), gaussian(90, 1, dim=64)).warning
    assert "biased" in fid(gaussian(100, 0), gaussian(100, 1)).warning
    assert fid(gaussian(10_000, 0, dim=2), gaussian(10_000, 1, dim=2)).warning == ""
    with pytest.raises(GanferError, match="1 against 5.*at least 2"):
        fid(gaussian(1, 0), gaussian(5, 1))


# --- KID's error ----------------------------------------------------------------------------------------------------


def test_the_error_of_kid_is_what_other_images_change():
    pairs = [(gaussian(60, 2 * i), gaussian(80, 2 * i + 1, 0.4)) for i in range(150)]
    found = [mmd2_with_error(x, y) for x, y in pairs]
    assert [each.value for each in found[:5]] == pytest.approx([mmd2(x, y) for x, y in pairs[:5]])
    assert np.mean([each.error for each in found]) == pytest.approx(np.std([each.value for each in found]), rel=0.25)


def test_the_error_of_kid_is_the_jackknife(monkeypatch: pytest.MonkeyPatch):
    x, y = gaussian(9, 0), gaussian(7, 1, 0.3)
    left = [mmd2(np.delete(x, i, 0), y) for i in range(9)], [mmd2(x, np.delete(y, i, 0)) for i in range(7)]
    expected = np.sqrt(sum((len(values) - 1) * np.var(values) for values in left))
    monkeypatch.setattr("ganfer.metrics.kid._BLOCK", 4)
    assert mmd2_with_error(x, y).error == pytest.approx(expected)
    with pytest.raises(GanferError, match="2 against 7"):
        mmd2_with_error(x[:2], y)


# --- precision, recall, density, coverage ---------------------------------------------------------------------------


def test_precision_and_recall_agree_with_torch_fidelity():
    fake, real = gaussian(150, 0, 0.3), gaussian(130, 1)
    found = precision_recall(fake, real)
    theirs = prc_reference.calculate_precision_recall_full(
        torch.from_numpy(fake).double(), torch.from_numpy(real).double(), 3, 10_000
    )
    assert (found.precision, found.recall) == pytest.approx(theirs)


def test_density_and_coverage_agree_with_their_definition():
    fake, real = gaussian(90, 0, 0.3), gaussian(70, 1)
    reach = np.sort(cdist(real, real), axis=1)[:, 5]
    within = cdist(fake, real) <= reach
    found = density_coverage(fake, real)
    assert found.density == pytest.approx(within.sum() / (5 * 90))
    assert found.coverage == pytest.approx(within.any(axis=0).mean())


def test_by_hand_on_a_line():
    real = np.arange(8.0)[:, None]  # 3rd neighbours: 3 at the ends, 2 elsewhere; 5th: 5, 4, 3, 3, 3, 3, 4, 5
    fake = np.array([[3.5], [3.5], [3.5], [3.5], [3.5], [40.0]])
    found = precision_recall(fake, real)
    assert found.precision == pytest.approx(5 / 6)  # the last lies outside
    assert found.recall == pytest.approx(0.5)  # its ball reaches back to 3.5
    assert precision_recall(fake[:5], real).recall == 0.0  # balls of radius 0 hold nothing
    # 3.5 lies in the balls of all eight, so 5 x 8 / (5 x 6)
    assert density_coverage(fake, real).density == pytest.approx(40 / 30)
    assert density_coverage(fake, real).coverage == 1.0


def modes(n: int, seed: int, kinds: int) -> np.ndarray:
    """n vectors around `kinds` of 10 far centres."""
    centres = np.eye(10) * 20
    return (centres[np.arange(n) % kinds] + gaussian(n, seed, dim=10)).astype(np.float32)


def test_mode_collapse_keeps_precision_and_loses_recall_and_coverage():
    real, whole, collapsed = modes(400, 0, 10), modes(400, 1, 10), modes(400, 2, 3)
    good, bad = precision_recall(whole, real), precision_recall(collapsed, real)
    assert good.precision > 0.7
    assert good.recall > 0.7
    assert bad.precision > 0.7
    assert bad.recall < 0.35
    assert density_coverage(whole, real).coverage > 0.9
    assert density_coverage(collapsed, real).coverage == pytest.approx(0.3, abs=0.02)
    assert fid(collapsed, real).value > 3 * fid(whole, real).value


def test_noise_loses_precision_and_density():
    real, noise = modes(400, 0, 10), gaussian(400, 3, dim=10, scale=20.0)
    assert precision_recall(noise, real).precision < 0.05
    assert density_coverage(noise, real).density < 0.05
    assert fid(noise, real).value > 50 * fid(modes(400, 1, 10), real).value


def test_copies_look_perfect_to_all_of_them():
    real = modes(200, 0, 10)
    assert (precision_recall(real, real).precision, precision_recall(real, real).recall) == (1.0, 1.0)
    assert density_coverage(real, real).coverage == 1.0
    assert fid(real, real).value == pytest.approx(0.0, abs=1e-6)


def test_an_outlier_fools_precision_but_not_density():
    real = np.concatenate([gaussian(200, 0), gaussian(4, 1, shift=60.0, scale=15.0)])
    around_outliers = gaussian(200, 2, shift=60.0, scale=6.0)
    assert precision_recall(around_outliers, real).precision > 0.9
    assert density_coverage(around_outliers, real).density < 4 / 5 + 0.05  # four balls of 204 at most


def test_too_few_images_are_said():
    with pytest.raises(GanferError, match="3 fakes against 90 .*More than 3"):
        precision_recall(gaussian(3, 0), gaussian(90, 1))
    with pytest.raises(GanferError, match="90 fakes against 5 .*More than 5"):
        density_coverage(gaussian(90, 0), gaussian(5, 1))


def test_realism_is_high_inside_and_falls_with_the_distance():
    real = gaussian(300, 0)
    manifold = Manifold.fit(real)
    held_back = manifold.realism(gaussian(300, 1))
    away = [np.median(manifold.realism(gaussian(300, 2, shift=shift))) for shift in (0.0, 2.0, 6.0)]
    assert away == sorted(away, reverse=True)
    assert (manifold.realism(gaussian(300, 2, shift=6.0)) < np.quantile(held_back, 0.05)).mean() > 0.99
    assert np.isinf(manifold.realism(manifold.centres[:4])).all()
    # by hand: radii 3, 2, 2, 3 and 9, of which the last is left out; 3 has distance 2
    line = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])
    assert Manifold.fit(line).realism(np.array([[5.0]]))[0] == pytest.approx(3 / 2)
