"""The nearest of many references again and again, on a processor: proposed in half precision, decided exactly.

A product of matrices in bfloat16, where the processor has it, costs a quarter of one in float32, and its error has a
bound: |x'y' - xy| <= |x'||y' - y| + |x' - x||y|. What lies within the bound of the k-th best is measured in float64; so
the result is that of a search in float64 throughout, in whatever precision candidates were found.
"""

import numpy as np
import torch
from torch import Tensor

from classifiers.device import has_bf16
from ganfer.metrics.neighbours import Device, nearest

_BLOCK = 1024  # queries at a time: 64 MB of scores
_SLAB = 32_768  # references at a time
_PAIRS = 8192  # measured at once
_CPU = torch.device("cpu")


class Search:
    """References (M, d) float32, M >= 1, which may be memory-mapped; kept ready up to `_SLAB` of them."""

    def __init__(self, references: np.ndarray, device: Device = "cpu") -> None:
        self._references, self._device = references, torch.device(device)
        self._kept: _Slab | None = None

    def nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `ganfer.metrics.neighbours.nearest`: distances (N, k) float64, ascending, and indices (N, k) int64.

        Of equally near ones those of lower index come first.
        """
        if self._device.type != "cpu":
            return nearest(queries, self._references, k, device=self._device, dtype=torch.float32)
        k = min(k, len(self._references))
        distances = np.full((len(queries), 0), np.inf)
        indices = np.zeros((len(queries), 0), dtype=np.int64)
        for low in range(0, len(self._references), _SLAB):
            slab = self._slab(low)
            parts = [slab.nearest(queries[i : i + _BLOCK], k) for i in range(0, max(1, len(queries)), _BLOCK)]
            distances = np.concatenate([distances, np.concatenate([near for near, _ in parts])], axis=1)
            indices = np.concatenate([indices, np.concatenate([where for _, where in parts]) + low], axis=1)
            order = np.lexsort((indices, distances), axis=1)[:, :k]
            distances, indices = (np.take_along_axis(a, order, axis=1) for a in (distances, indices))
        return distances, indices

    def _slab(self, low: int) -> "_Slab":
        if self._kept is not None:
            return self._kept
        slab = _Slab(self._references[low : low + _SLAB])
        if len(self._references) <= _SLAB:
            self._kept = slab
        return slab


class _Slab:
    """Some references as one matrix, whose product with a query (and ones) is xy - |y|²/2: the larger the nearer."""

    def __init__(self, references: np.ndarray) -> None:
        self._exact = torch.from_numpy(np.array(references, np.float32))
        self._centre = self._exact.mean(0)  # smaller norms, smaller errors
        centred = self._exact - self._centre
        self._dtype = torch.bfloat16 if has_bf16(_CPU) else torch.float32
        rounded = centred.to(self._dtype)
        half = centred.double().square().sum(1, keepdim=True) / 2
        digits = []  # of |y|²/2, as three numbers of the type
        rest = half
        for _ in range(3):
            digits.append(rest.to(self._dtype))
            rest = rest - digits[-1].double()
        padding = -(centred.shape[1] + 3) % 32  # kernels like whole vectors
        self._matrix = torch.cat([rounded, *(-d for d in digits), rounded.new_zeros(len(rounded), padding)], 1)
        self._ones = torch.cat([torch.ones(1, 3), torch.zeros(1, padding)], 1).to(self._dtype)
        self._longest = float(centred.norm(dim=1).max())
        self._lost = float((centred - rounded.float()).norm(dim=1).max()) * 1.001  # norms are rounded themselves
        accumulated = self._matrix.shape[1] * 2.0**-23
        self._sums = (accumulated * 1.01 * self._longest, accumulated * float(half.max()))

    def nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances (n, k) float64, ascending, and indices (n, k); k is lowered to the number of references."""
        n, k = len(queries), min(k, len(self._exact))
        exact = torch.from_numpy(np.array(queries, np.float32))
        centred = exact - self._centre
        rounded = centred.to(self._dtype)
        scores = torch.cat([rounded, self._ones.expand(n, -1)], 1) @ self._matrix.T
        length = rounded.float().norm(dim=1)
        error = (centred - rounded.float()).norm(dim=1) * self._longest + length * self._lost
        error = error * 1.001 + length * self._sums[0] + self._sums[1]
        distances = torch.full((n, k), torch.inf, dtype=torch.float64)
        indices = torch.zeros((n, k), dtype=torch.int64)
        left, wide = torch.arange(n), 2 * k + 8
        while len(left):
            wide = min(wide, len(self._exact))
            best, where = scores[left].topk(wide, dim=1)
            best = best.float()
            ends = best[:, [0, -1]].abs().amax(1) * 2.0**-8  # a score in half precision is itself rounded
            least = best[:, k - 1] - 2 * (error[left] + ends)
            sure = (best[:, -1] < least) | (wide == len(self._exact))
            done = left[sure]
            distances[done], indices[done] = self._measured(
                exact[done], where[sure], best[sure] >= least[sure, None], k
            )
            left, wide = left[~sure], 4 * wide
        return distances.numpy(), indices.numpy()

    def _measured(self, queries: Tensor, where: Tensor, near: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k nearest of the candidates where (n, c) that are `near` (n, c): at least k of each row."""
        squared = torch.full(where.shape, torch.inf, dtype=torch.float64)
        rows, columns = near.nonzero(as_tuple=True)
        found = [
            (self._exact[where[i, j]].double() - queries[i].double()).square_().sum(1)
            for i, j in zip(rows.split(_PAIRS), columns.split(_PAIRS), strict=True)
        ]
        if found:
            squared[rows, columns] = torch.cat(found)
        by_index = where.argsort(dim=1)
        squared, where = squared.gather(1, by_index), where.gather(1, by_index)
        order = squared.argsort(dim=1, stable=True)[:, :k]
        return squared.gather(1, order).sqrt(), where.gather(1, order)
