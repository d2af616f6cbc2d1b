"""A search whose candidates come from half precision finds what one in float64 finds."""

import numpy as np
import pytest
import torch

from ganfer.metrics import search
from ganfer.metrics.copies import TrainingIndex
from ganfer.metrics.neighbours import nearest
from ganfer.metrics.search import Search


@pytest.fixture(params=[True, False], ids=["bf16", "fp32"])
def half(request, monkeypatch):
    """With bfloat16 in hardware and without: what it proposes is the same in either."""
    monkeypatch.setattr(search, "has_bf16", lambda device: request.param)


def exactly(queries: np.ndarray, references: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """By definition, of equally near ones the first."""
    squared = ((queries[:, None].astype(np.float64) - references[None].astype(np.float64)) ** 2).sum(2)
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(squared, order, axis=1)), order


@pytest.mark.usefixtures("half")
@pytest.mark.parametrize("kind", ["spread", "far from the origin", "nearly alike", "with twins", "of one value"])
def test_the_nearest_are_those_of_a_search_in_float64(kind, monkeypatch):
    rng = np.random.default_rng(0)
    references = rng.normal(size=(300, 20))
    if kind == "far from the origin":
        references += 1000
    if kind == "nearly alike":  # closer to each other than half precision can tell: all are measured
        references = 1 + 1e-4 * references
    if kind == "with twins":
        references[100:200] = references[:100]
    if kind == "of one value":
        references[:] = 0.3
    references = references.astype(np.float32)
    queries = (references[::7] + rng.normal(scale=0.3 * references.std(), size=(43, 20))).astype(np.float32)
    queries[0] = references[5]
    for slab, block in ((32_768, 1024), (128, 10)):
        monkeypatch.setattr(search, "_SLAB", slab)
        monkeypatch.setattr(search, "_BLOCK", block)
        monkeypatch.setattr(search, "_PAIRS", 50)
        found = Search(references)
        for k in (1, 5, 400):
            distances, indices = found.nearest(queries, k)
            expected = exactly(queries, references, min(k, 300))
            assert np.array_equal(indices, expected[1]), (slab, k)
            assert np.allclose(distances, expected[0], rtol=1e-12, atol=0)
    assert Search(references).nearest(queries[:0], 3)[0].shape == (0, 3)


@pytest.mark.usefixtures("half")
def test_only_what_half_precision_cannot_tell_apart_is_measured(monkeypatch):
    rng = np.random.default_rng(0)
    references, queries = (rng.normal(size=(n, 64)).astype(np.float32) for n in (4000, 50))
    measured = []
    plain = search._Slab._measured

    def counting(self, queries, where, near, k):
        measured.append(int(near.sum()))
        return plain(self, queries, where, near, k)

    monkeypatch.setattr(search._Slab, "_measured", counting)
    Search(references).nearest(queries, 5)
    assert 50 * 5 <= sum(measured) < 50 * 60


def test_training_images_are_prepared_once(monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 1, 48, 48), np.uint8)
    features = rng.normal(size=(40, 12)).astype(np.float32)
    index, made = TrainingIndex.of(images, features), []
    plain = search._Slab.__init__
    monkeypatch.setattr(search._Slab, "__init__", lambda self, part: (made.append(len(part)), plain(self, part))[1])
    first, second = (index.look(images[part], features[part]) for part in (slice(0, 5), slice(5, 9)))
    assert made == [40, 40], "features and thumbnails"
    assert np.array_equal(np.concatenate([first.index, second.index]), np.arange(9))
    near = nearest(features[:5], features, 17, dtype=torch.float64)[0]
    assert np.allclose(first.isolation, near[:, 0] / near[:, 1:].mean(1), atol=1e-6)
