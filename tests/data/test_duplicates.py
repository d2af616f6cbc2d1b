"""The search for duplicates: complete within its radius, right about planted copies, silent about unrelated images."""

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from textures import textures

from ganfer.data.duplicates import NEAR, Duplicates, _candidates, _coefficients, band_pass, find_duplicates, similarity
from ganfer.data.hamming import bands_for, close_pairs, radius_of

EDITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "darker": lambda x: (x * 0.7).astype(np.uint8),
    "gamma": lambda x: (255 * (x / 255.0) ** 0.7).astype(np.uint8),
    "jpeg": lambda x: _jpeg(x, 40),
    "shift": lambda x: np.roll(x, (1, -1), axis=(0, 1)),
    "resize": lambda x: cv2.resize(cv2.resize(x, (32, 32), interpolation=cv2.INTER_AREA), (48, 48)),
    "zoom": lambda x: cv2.resize(x, (50, 50))[1:49, 1:49],
    "noise": lambda x: np.clip(x + np.random.default_rng(0).normal(0, 8, x.shape), 0, 255).astype(np.uint8),
}


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _find(images: np.ndarray) -> Duplicates:
    return find_duplicates(images, np.ones(len(images), dtype=bool), np.zeros(len(images), dtype=int))


def _pairs(found: Duplicates) -> list[tuple[int, int]]:
    return list(zip(found.first.tolist(), found.second.tolist(), strict=True))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("edit", EDITS)
def test_edited_copies_are_found_and_nothing_else(edit: str, mirrored: bool) -> None:
    originals = textures(40)
    edited = np.stack([EDITS[edit](image[0]) for image in originals[:8]])[:, None]
    copies = edited[..., ::-1] if mirrored else edited
    found = _find(np.concatenate([originals, copies]))
    assert _pairs(found) == [(i, 40 + i) for i in range(8)]
    assert (found.mirrored == mirrored).all()
    assert (found.similarity >= NEAR).all()


def test_an_exact_copy_is_no_near_pair_and_an_exact_mirror_image_is_one_of_similarity_one() -> None:
    images = textures(3)
    found = _find(np.concatenate([images, images[:1], images[1:2, :, :, ::-1]]))
    assert found.same_as.tolist() == [0, 1, 2, 0, 4]
    assert _pairs(found) == [(1, 4)]
    assert found.mirrored.tolist() == [True]
    assert found.similarity[0] == pytest.approx(1.0, abs=1e-4)


def test_of_equal_images_the_one_of_highest_rank_stands_for_all() -> None:
    images = np.repeat(textures(1), 4, axis=0)
    found = find_duplicates(images, np.ones(4, dtype=bool), np.array([0, 2, 1, 2]))
    assert found.same_as.tolist() == [1, 1, 1, 1]


def test_images_left_out_take_no_part() -> None:
    images = np.repeat(textures(1), 3, axis=0)
    found = find_duplicates(images, np.array([True, False, True]), np.zeros(3, dtype=int))
    assert found.same_as.tolist() == [0, 1, 0]


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (32, 3), (64, 1), (128, 3)])
def test_any_size_grey_or_colour(size: int, channels: int) -> None:
    images = textures(12, size=size, channels=channels)
    brighter = np.clip(images[:3].astype(int) + 25, 0, 255).astype(np.uint8)
    assert _pairs(_find(np.concatenate([images, brighter]))) == [(0, 12), (1, 13), (2, 14)]


def test_an_image_alone_and_none_at_all() -> None:
    assert _pairs(_find(textures(1))) == []
    assert _find(textures(0)).same_as.shape == (0,)


def test_what_is_found_does_not_depend_on_the_other_images() -> None:
    images = textures(30)
    pair = np.concatenate([images[:1], np.roll(images[:1], 1, axis=3)])
    alone, among = _find(pair), _find(np.concatenate([pair, images[1:]]))
    assert _pairs(alone) == _pairs(among) == [(0, 1)]
    assert alone.similarity[0] == among.similarity[0]


def test_a_part_that_fits_is_not_enough() -> None:
    one, other = textures(2)[:, 0]
    half = other.copy()
    half[:, :24] = one[:, :24]
    assert similarity(band_pass(one), band_pass(half)) < NEAR


def test_similarity_is_symmetric_and_one_for_the_image_itself() -> None:
    a, b = (band_pass(image) for image in textures(2)[:, 0])
    assert similarity(a, a) == pytest.approx(1.0, abs=1e-5)
    assert similarity(a, np.zeros_like(a)) == 0.0
    shifted = np.roll(a, 2, axis=0)
    assert similarity(a, shifted) == similarity(shifted, a) > NEAR
    assert similarity(a, b) < 0.5


def test_the_worse_of_both_directions_counts() -> None:
    """The middle of `a` lies whole in `b`, but the middle of `b` has a foreign strip that `a` lacks."""
    a, foreign = (band_pass(image) for image in textures(2)[:, 0])
    b = np.roll(a, 4, axis=0)
    b[:7] = foreign[:7]
    assert similarity(a, b) == similarity(b, a)
    assert NEAR < similarity(a, b) < 0.99


def test_the_mirror_images_coefficients_are_those_of_the_mirrored_image() -> None:
    """Two mirror images have the same coefficients once the odd horizontal frequencies change sign."""
    images = textures(5)
    both = np.concatenate([images, images[..., ::-1]])
    candidates = _candidates(_coefficients(both, np.arange(10), None), True, 8)
    assert {(i, i + 5) for i in range(5)} <= {tuple(pair) for pair in candidates.tolist()}


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([5, 6, 8]),
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 63), max_size=18)), min_size=1, max_size=30),
)
def test_all_pairs_within_the_radius_are_found(bands: int, changes: list[tuple[int, list[int]]]) -> None:
    """Against comparing everything with everything, on hashes made from a few by flipping bits."""
    bases = [0, (1 << 64) - 1, 0x123456789ABCDEF0, 0x0F0F0F0F0F0F0F0F]
    values = []
    for base, flips in changes:
        value = bases[base]
        for bit in flips:
            value ^= 1 << bit
        values.append(value)
    hashes = np.array(values, dtype=np.uint64)
    found = {pair for i, j in close_pairs(hashes, hashes, bands) for pair in zip(i.tolist(), j.tolist(), strict=True)}
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None])
    wanted = {(int(i), int(j)) for i, j in np.argwhere(distance <= radius_of(bands)) if i < j}
    assert found == wanted


def test_larger_sets_are_searched_less_far() -> None:
    assert [radius_of(bands_for(n)) for n in (2, 1 << 16, 1 << 17, 1 << 20)] == [15, 15, 11, 9]
