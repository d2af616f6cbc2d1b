"""Pictures compared by the batch: band-passed, and correlated over small shifts, on the device.

What `ganfer.data.duplicates` does for one pair with OpenCV, for thousands of pairs at once: a blur is a product with a
matrix, and all shifts of a correlation are one product of Fourier transforms.
"""

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from classifiers.device_set import to_device
from classifiers.prediction import arriving
from ganfer.data.damage import grey_chunks
from ganfer.data.duplicates import COARSE, FINE, SHIFT, SIDE, at_side

_MIDDLE = SIDE - 2 * SHIFT  # side of the part that is looked for in the other picture
_AT_ONCE = 2048  # pairs: 20 MB of transforms


def pictures(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """(N, C, H, W) uint8 to their details (N, SIDE, SIDE) float32: without lighting, without pixel noise."""
    small = np.empty((len(images), SIDE, SIDE), np.uint8)
    for start, grey in grey_chunks(images):
        for i, plane in enumerate(grey) if grey.shape[1:] != (SIDE, SIDE) else ():
            small[start + i] = at_side(plane)
        if grey.shape[1:] == (SIDE, SIDE):
            small[start : start + len(grey)] = grey
    x = torch.from_numpy(small).to(device).float()
    x = x - x.mean((1, 2), keepdim=True)  # lighting goes anyway, and a blank image is exactly 0
    fine, coarse = (_blur(sigma).to(device) for sigma in (FINE, COARSE))
    return fine @ x @ fine.T - coarse @ x @ coarse.T


@lru_cache(maxsize=2)
def _blur(sigma: float) -> Tensor:
    """(SIDE, SIDE): OpenCV's Gaussian blur of a column, its border included, as a matrix."""
    width = cv2.getGaussianKernel(round(sigma * 8 + 1) | 1, sigma)  # OpenCV's own width for float pictures
    blurred = cv2.sepFilter2D(np.eye(SIDE, dtype=np.float32), -1, np.ones(1), width)
    return torch.from_numpy(blurred)


def correlations(of: Tensor, to: Tensor, pairs: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """The best normalised cross-correlation of each pair over shifts, (P,) in -1..1.

    The middle of picture of[pairs[p, 0]], mirrored where flipped[p], is looked for in to[pairs[p, 1]]; of, to:
    (N, SIDE, SIDE). 0 where there is no detail in the middle.
    """
    ours = torch.stack([of, of.flip(2)])
    middle = ours[:, :, SHIFT:-SHIFT, SHIFT:-SHIFT]
    middle = middle - middle.mean((2, 3), keepdim=True)
    length = middle.square().sum((2, 3)).sqrt()
    # zeros beyond the middle: no shift wraps around
    waves = torch.conj_physical(torch.fft.rfft2(middle, s=(SIDE, SIDE)))
    others = torch.fft.rfft2(to)
    sums, squares = (_window_sums(x) for x in (to, to.square()))
    spread = (squares - sums.square() / _MIDDLE**2).clamp_min(0).sqrt()

    def compared(part: slice) -> Tensor:
        which = to_device(torch.from_numpy(flipped[part].astype(np.int64)), of.device)
        mine, other = to_device(torch.from_numpy(np.ascontiguousarray(pairs[part].T)), of.device)
        shifts = 2 * SHIFT + 1
        product = torch.fft.irfft2(waves[which, mine] * others[other], s=(SIDE, SIDE))[:, :shifts, :shifts]
        scale = length[which, mine, None, None] * spread[other]
        value = torch.where(scale > 1e-3, product / scale.clamp_min(1e-3), 0.0)
        return value.amax((1, 2)).clamp(-1, 1)

    parts = (slice(start, start + _AT_ONCE) for start in range(0, len(pairs), _AT_ONCE))
    found = [part.numpy() for part in arriving(map(compared, parts))]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _window_sums(x: Tensor) -> Tensor:
    """(N, SIDE, SIDE) to (N, 2 SHIFT + 1, 2 SHIFT + 1): the sum under the middle at every shift."""
    window = torch.ones(2 * SHIFT + 1, SIDE, device=x.device).triu().tril(_MIDDLE - 1)
    return window @ x @ window.T
