"""Latents by seed: image i's latent is a function of seeds[i] alone, whatever the batch, the device or the machine.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), vectorised over the seeds because
NumPy's own makes one generator object per seed. Normals come from the inverse distribution function, which gives
truncation for free.
"""

import numpy as np
from scipy.special import ndtr, ndtri

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def philox4x32(counters: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Philox4x32-10: counters (..., 4) and keys (..., 2), 32-bit words held in uint64, give (..., 4) random words."""
    c0, c1, c2, c3 = (counters[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = keys[..., 0].astype(np.uint64), keys[..., 1].astype(np.uint64)
    for _ in range(_ROUNDS):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> _SHIFT) ^ c1 ^ k0,
            product1 & _LOW,
            (product0 >> _SHIFT) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0, k1 = (k0 + np.uint64(_WEYL[0])) & _LOW, (k1 + np.uint64(_WEYL[1])) & _LOW
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1)


def latents(seeds: np.ndarray, dim: int, truncation: float = 0.0) -> np.ndarray:
    """Standard normal latents (N, dim) float32 for seeds (N,) int64; `truncation` > 0 cuts the normal off there."""
    words = np.asarray(seeds, dtype=np.int64).view(np.uint64)
    keys = np.stack([words & _LOW, words >> _SHIFT], axis=-1)[:, None, :]
    blocks = -(-dim // 4)
    counters = np.zeros((1, blocks, 4), dtype=np.uint64)
    counters[0, :, 0] = np.arange(blocks)
    random = philox4x32(counters, keys).reshape(len(words), blocks * 4)[:, :dim]
    uniform = (random.astype(np.float64) + 0.5) / 2.0**32
    if truncation > 0:
        below = ndtr(-truncation)
        uniform = below + uniform * (1.0 - 2.0 * below)
    return ndtri(uniform).astype(np.float32)
