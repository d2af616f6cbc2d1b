"""Pictures compared by the batch are the pictures compared one by one."""

import numpy as np
import pytest
import torch

from ganfer.data.duplicates import NEAR, SHIFT, _best_fit, similarity
from ganfer.metrics.copies import TrainingIndex, picture, thumbnails
from ganfer.metrics.pictures import correlations, pictures


def faces(n: int, side: int = 48, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Smooth random pictures (n, channels, side, side) uint8."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (n, channels, 7, 7)))
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").numpy()
    return np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("side", "channels"), [(48, 1), (64, 3), (32, 1)])
def test_details_are_opencvs(side: int, channels: int) -> None:
    images = faces(5, side, channels)
    expected = np.stack([picture(image) for image in images])
    assert np.allclose(pictures(images).numpy(), expected, atol=2e-4)


def test_correlations_over_all_shifts_are_opencvs() -> None:
    images = faces(6)
    images[5] = 128  # no detail at all
    shifted = np.roll(images, (2, -3), axis=(2, 3))
    pairs = np.array([(i, j) for i in range(6) for j in range(6)] * 2)
    flipped = np.repeat([False, True], 36)
    a, b = pictures(images), pictures(shifted)
    found = correlations(a, b, pairs, flipped)
    for (i, j), flip, value in zip(pairs, flipped, found, strict=True):
        if 5 in (i, j):
            assert value == 0, "nothing to compare"
            continue
        mine = picture(images[i])
        mine = np.ascontiguousarray(mine[:, ::-1]) if flip else mine
        assert value == pytest.approx(_best_fit(mine, picture(shifted[j])), abs=1e-4)
    own = found[:36].reshape(6, 6).diagonal()[:5]
    assert (own > NEAR).all(), f"a shift by less than {SHIFT + 1} pixels is found"


def test_the_likest_training_image_is_the_likest_of_all() -> None:
    training, rng = faces(60), np.random.default_rng(1)
    queries = faces(20, seed=9)
    queries[0] = training[7]
    queries[1] = np.roll(training[8], 2, axis=2)
    queries[2] = training[9][:, :, ::-1]
    features = rng.normal(size=(60, 8)).astype(np.float32)
    own = rng.normal(size=(20, 8)).astype(np.float32)
    index = TrainingIndex.of(training, features)
    found = index.look(queries, own)
    assert found.index[:3].tolist() == [7, 8, 9]
    assert found.mirrored[:3].tolist() == [False, False, True]
    assert (found.likeness[:3] >= NEAR).all()
    for i in range(20):
        mine, theirs = picture(queries[i]), picture(training[found.index[i]])
        mine = np.ascontiguousarray(mine[:, ::-1]) if found.mirrored[i] else mine
        assert found.likeness[i] == pytest.approx(similarity(mine, theirs), abs=1e-4)
    in_parts = [index.look(queries[part], own[part]) for part in (slice(0, 7), slice(7, 20))]
    assert np.array_equal(np.concatenate([part.index for part in in_parts]), found.index)


def test_thumbnails_are_unit_vectors_and_a_blank_one_is_zero() -> None:
    images = faces(4)
    images[3] = 7
    small = thumbnails(images)
    assert np.allclose(np.linalg.norm(small[:3], axis=1), 1, atol=1e-5)
    assert np.abs(small[3]).max() < 1e-3
