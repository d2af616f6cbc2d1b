"""3 x 3 convolutions by Winograd's minimal filtering, F(4 x 4, 3 x 3), for wide layers on the CPU (Lavin & Gray 2016).

A quarter of the multiplications of the direct form, in 36 matrix products. On unit-variance data of 256 channels the
usual points 0, 1, -1, 2, -2 err by up to 6e-5 in float32; 0, 3/4, -3/4, 3/2, -3/2 err by up to 1.6e-5, the direct form
by 1.1e-5 (Barabasz et al. 2020 on the choice of points). Only for inference: the weights' transform is kept.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.polynomial import polynomial
from torch import Tensor

TILE, KERNEL = 4, 3
SIDE = TILE + KERNEL - 1
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
#: Measured: below these the transforms cost more than the saved multiplications.
MIN_FEATURES, MIN_RESOLUTION = 128, 32
#: Tiles are worked on in bands of rows of about this many numbers, to stay in the processor's cache.
BAND_NUMBERS = 1 << 20


@cache
def transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Input (36, 36), weight (36, 9), output (16, 36) transforms of both dimensions at once (Cook-Toom)."""
    data, kernel, out = np.zeros((SIDE, SIDE)), np.zeros((SIDE, KERNEL)), np.zeros((TILE, SIDE))
    for row, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        kernel[row] = [point**k / np.prod([point - other for other in others]) for k in range(KERNEL)]
        out[:, row] = [point**k for k in range(TILE)]
        data[row, :-1] = polynomial.polyfromroots(others)
    kernel[-1, -1] = out[-1, -1] = 1.0
    data[-1] = polynomial.polyfromroots(POINTS)
    # Powers of two move between the first two, so that neither's numbers grow; the result is the same.
    scale = 2.0 ** np.round(np.log2(np.abs(data).sum(axis=1) / np.abs(kernel).sum(axis=1)) / 2)[:, None]
    data, kernel = data / scale, kernel * scale
    with torch.inference_mode(False):
        return tuple(torch.from_numpy(np.kron(m, m)).to(torch.float32) for m in (data, kernel, out))  # type: ignore[return-value]


def applies(x: Tensor, weight: Tensor) -> bool:
    """Whether a convolution of x (N, I, H, W) with weight (O, I, k, k), padded to the same size, is faster this way."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and weight.shape[2] == KERNEL
        and min(weight.shape[:2]) >= MIN_FEATURES
        and min(x.shape[2:]) >= MIN_RESOLUTION
        and x.shape[2] % TILE == x.shape[3] % TILE == 0
    )


def transform_weight(weight: Tensor) -> Tensor:
    """(O, I, 3, 3) -> (36, I, O)."""
    outputs, inputs = weight.shape[:2]
    flat = weight.permute(2, 3, 1, 0).reshape(KERNEL * KERNEL, inputs * outputs)  # (O, I, 3, 3) -> (9, I * O)
    return (transforms()[1] @ flat).view(SIDE * SIDE, inputs, outputs)


def scaled_conv2d(x: Tensor, transformed: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Scale the channels of x (N, I, H, W) by before (N, I), convolve, scale by after (N, O) -> (N, O, H, W)."""
    count, inputs, height, width = x.shape
    outputs = transformed.shape[2]
    result = x.new_empty(count, height, width, outputs)
    padded = x.new_zeros(height + 2, width + 2, inputs)
    for index in range(count):
        torch.mul(x[index].permute(1, 2, 0), before[index], out=padded[1:-1, 1:-1])  # (I, H, W) -> (H, W, I)
        _convolve(padded, transformed, after[index], result[index])
    return result.permute(0, 3, 1, 2)  # (N, H, W, O) -> (N, O, H, W)


def _convolve(padded: Tensor, transformed: Tensor, after: Tensor, result: Tensor) -> None:
    """padded (H + 2, W + 2, I), result (H, W, O); one band of tiles at a time."""
    data, _, out = transforms()
    height, width, outputs = result.shape
    inputs = padded.shape[2]
    rows, columns = height // TILE, width // TILE
    band = max(1, min(rows, BAND_NUMBERS // (SIDE * SIDE * columns * max(inputs, outputs)) or 1))
    down, across, _ = padded.stride()
    for first in range(0, rows, band):
        count = min(band, rows - first)
        tiles = padded.as_strided(
            (SIDE, SIDE, count, columns, inputs),
            (down, across, down * TILE, across * TILE, 1),
            padded.storage_offset() + first * TILE * down,
        )
        seen = (data @ tiles.reshape(SIDE * SIDE, -1)).view(SIDE * SIDE, count * columns, inputs)  # (36, tiles, I)
        product = torch.bmm(seen, transformed).view(SIDE * SIDE, -1)  # (36, tiles, I) by (36, I, O) -> (36, tiles * O)
        pixels = (out @ product).view(TILE, TILE, count, columns, outputs).permute(2, 0, 3, 1, 4)  # rows by columns
        place = result[first * TILE : (first + count) * TILE].view(count, TILE, columns, TILE, outputs)
        torch.mul(pixels, after, out=place)
