"""Distances between feature vectors, a block at a time: what the metrics of manifolds and copies stand on.

Memory stays at one block whatever the sizes; a memory-mapped reference is read slab by slab. Arithmetic runs on the
device it is given, in float64 by default: squared distances by a matrix product lose half the digits to cancellation.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

Device = torch.device | str
_BLOCK = 1024  # queries per block
_SLAB = 32_768  # references in memory at a time
_NOISE = {torch.float64: 1e-12, torch.float32: 1e-5}  # squared distances below this share of the norms are 0


def distance_blocks(
    queries: np.ndarray, references: np.ndarray, *, device: Device = "cpu", dtype: torch.dtype = torch.float64
) -> Iterator[tuple[slice, Tensor]]:
    """Euclidean distances of queries (N, d) to all references (M, d): (rows, (len(rows), M)), block after block."""
    yield from _blocks(queries, as_tensor(references, device, dtype))


def as_tensor(features: np.ndarray, device: Device, dtype: torch.dtype = torch.float64) -> Tensor:
    """Features (N, d) on the device; float64 stays on the processor where the device is Apple's, which has none."""
    if dtype == torch.float64 and torch.device(device).type == "mps":
        device = "cpu"
    kind = np.float64 if dtype == torch.float64 else np.float32
    return torch.from_numpy(features.astype(kind)).to(device=device, dtype=dtype)  # a copy: maps are read-only


def _blocks(queries: np.ndarray, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    centre = y.mean(0) if len(y) else 0.0  # smaller norms, smaller cancellation
    y = y - centre
    yy = y.square().sum(1)
    for start in range(0, len(queries), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(queries)))
        x = as_tensor(queries[rows], y.device, y.dtype) - centre
        norms = x.square().sum(1)[:, None] + yy
        squared = torch.addmm(norms, x, y.T, alpha=-2.0)
        squared[squared < _NOISE[y.dtype] * norms] = 0.0
        yield rows, squared.sqrt_()


def nearest(
    queries: np.ndarray,
    references: np.ndarray,
    k: int = 1,
    *,
    device: Device = "cpu",
    dtype: torch.dtype = torch.float64,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest references (M, d) of each query (N, d): distances (N, k), ascending, and indices (N, k) int64.

    k is lowered to M where there are fewer references; M >= 1.
    """
    k = min(k, len(references))
    distances = np.full((len(queries), k), np.inf)
    indices = np.zeros((len(queries), k), dtype=np.int64)
    for low in range(0, len(references), _SLAB):
        slab = as_tensor(references[low : low + _SLAB], device, dtype)
        for rows, block in _blocks(queries, slab):
            near, index = block.topk(min(k, len(slab)), dim=1, largest=False)
            joined = np.concatenate([distances[rows], near.cpu().double().numpy()], axis=1)
            places = np.concatenate([indices[rows], index.cpu().numpy() + low], axis=1)
            order = np.argsort(joined, axis=1, kind="stable")[:, :k]
            distances[rows] = np.take_along_axis(joined, order, axis=1)
            indices[rows] = np.take_along_axis(places, order, axis=1)
    return distances, indices


def radii(features: np.ndarray, k: int, *, device: Device = "cpu", dtype: torch.dtype = torch.float64) -> np.ndarray:
    """Each vector's distance to its k-th nearest other one: features (N, d), N > k, to (N,) float64."""
    assert len(features) > k, f"{len(features)} features have no {k}-th neighbour"
    return nearest(features, features, k + 1, device=device, dtype=dtype)[0][:, k]
