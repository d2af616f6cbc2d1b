"""Matrices of several sizes as one zero-padded batch: the same arithmetic, since zeros stay zeros, in few kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of x, x x^T x and (x x^T)^2 x
_NEGLIGIBLE = 1e-9  # of a matrix's norm: entries that the iteration cannot raise to anything that counts
_CHEAP = 1 << 31  # multiplications per product, padding included, that a GPU does in the time of a few launches
_WASTE = 2.0  # padded arithmetic over the matrices' own, above that


def as_matrix(p: Tensor) -> Tensor:
    """(O, I, k, k) to (O, k k I), (O, I) as it is. The order of a kernel's columns doesn't matter; its own order in
    memory saves copies."""
    return (p.movedim(1, -1) if p.ndim == 4 else p).flatten(1)


def orthogonalised(matrix: Tensor, iterations: int = 5, *, half: bool = False) -> Tensor:
    """The nearest matrix with orthonormal rows (or columns), roughly: singular values end up around 0.7 to 1.2.

    (R, C), or (N, R, C) with zero-padded wide matrices. A Newton-Schulz iteration of the fifth order whose coefficients
    were chosen for speed; in bfloat16 where `half`, and on CUDA. Entries below a billionth of the norm count as zero:
    the momentum of units that died decays into denormal numbers, which a CPU multiplies a hundred times more slowly.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x.bfloat16() if x.is_cuda else x
    x = F.hardshrink(x / (torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True) + 1e-7), _NEGLIGIBLE)
    x = x.bfloat16() if half else x
    add_product = torch.addmm if x.ndim == 2 else torch.baddbmm
    if x.dtype == torch.float32 and x.shape[-1] > 2 * x.shape[-2]:
        x = _by_gram_matrices(x, iterations)
        return (x.mT if tall else x).to(matrix.dtype)
    for _ in range(iterations):
        gram = x @ x.mT
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrix.dtype)


def _by_gram_matrices(x: Tensor, iterations: int) -> Tensor:
    """The same iteration of wide matrices x (R, C), or (N, R, C), on their (R, R) Gram matrices alone.

    Every iterate is a polynomial in x x^T times x, so the long side is multiplied twice, not twice an iteration.
    bfloat16 has too few bits to square the singular values.
    """
    a, b, c = _COEFFICIENTS
    add_product = torch.addmm if x.ndim == 2 else torch.baddbmm
    gram, whole = x @ x.mT, None
    for left in reversed(range(iterations)):
        factor = add_product(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        whole = factor if whole is None else factor @ whole
        if left:
            gram = factor @ gram @ factor
    assert whole is not None
    return whole @ x


class MatrixStack:
    """`params` as (N, rows, columns), the tall ones transposed; gradients and momenta are views as the params are.

    scale (N, 1, 1): the length of each matrix's step over that of orthonormal rows.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        self.params = list(params)
        self._shapes = [tuple(as_matrix(p).shape) for p in params]
        rows, columns = max(min(s) for s in self._shapes), max(max(s) for s in self._shapes)
        first = self.params[0]
        self.gradient = torch.zeros(len(params), rows, columns, device=first.device, dtype=first.dtype)
        self.velocity = torch.zeros_like(self.gradient)
        self.gradients, self.momenta = self.views(self.gradient), self.views(self.velocity)
        self.scale = torch.empty(len(params), 1, 1, device=first.device, dtype=first.dtype)
        for i, shape in enumerate(self._shapes):
            self.scale[i].fill_(0.2 * max(shape) ** 0.5)

    def views(self, stack: Tensor) -> list[Tensor]:
        """The parts (as the params) of a tensor (N, rows, columns)."""
        parts = []
        for matrix, p, (rows, columns) in zip(stack, self.params, self._shapes, strict=True):
            part = matrix[:columns, :rows].T if rows > columns else matrix[:rows, :columns]
            if p.ndim == 4:
                part = part.unflatten(1, (p.shape[2], p.shape[3], p.shape[1])).movedim(-1, 1)
            parts.append(part)
        return parts


def stacks_of(params: Sequence[Tensor]) -> list[MatrixStack]:
    """As few stacks as padding allows, the large matrices first."""
    sizes = {id(p): (min(as_matrix(p).shape), max(as_matrix(p).shape)) for p in params}
    work = {key: rows * rows * columns for key, (rows, columns) in sizes.items()}
    piles: list[list[Tensor]] = []
    for p in sorted(params, key=lambda p: -work[id(p)]):
        pile = [*piles[-1], p] if piles else [p]
        rows, columns = (max(sizes[id(q)][side] for q in pile) for side in (0, 1))
        padded, own = len(pile) * rows * rows * columns, sum(work[id(q)] for q in pile)
        if piles and padded <= max(_CHEAP, _WASTE * own):
            piles[-1] = pile
        else:
            piles.append([p])
    return [MatrixStack(pile) for pile in piles]
