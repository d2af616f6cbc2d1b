"""Random numbers that depend on a seed and nothing else: not on batch, order, process or numpy's distributions."""

import math

import numpy as np

DRAWN_VERSION = 1
"""Part of every random stream. Raised whenever the same seed would give another face."""

IDENTITY, EXPRESSION, SCENE, NOISE, TEXTURE, SPLIT = range(6)
"""The independent streams of one seed."""

_BLOCK = 128


def check_seed(name: str, seed: int) -> int:
    """`seed` as a plain int; ValueError unless it is a non-negative whole number."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"{name} must be a whole number of at least 0, got {seed!r}")
    return int(seed)


def generator(stream: int, seed: int) -> np.random.Generator:
    """A counter-based (Philox) generator for one stream of one seed."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(DRAWN_VERSION, stream))
    return np.random.Generator(np.random.Philox(sequence))


class Draws:
    """Scalar draws from one stream of one seed.

    Everything is made from uniform doubles, which numpy keeps stable for a bit generator; its own normal, beta and
    choice algorithms may change between releases.
    """

    def __init__(self, stream: int, seed: int) -> None:
        self._generator = generator(stream, seed)
        self._block: list[float] = []

    def unit(self) -> float:
        """Uniform on [0, 1)."""
        if not self._block:
            self._block = self._generator.random(_BLOCK).tolist()
        return self._block.pop()

    def uniform(self, low: float, high: float) -> float:
        """Uniform on [low, high)."""
        return low + (high - low) * self.unit()

    def normal(self, mean: float, deviation: float, limit: float = 2.5) -> float:
        """Normal (Box-Muller), cut off at `limit` deviations so that no face falls apart."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.unit()))
        value = radius * math.cos(2.0 * math.pi * self.unit())
        return mean + deviation * max(-limit, min(limit, value))

    def chance(self, probability: float) -> bool:
        """True with the given probability; always uses one draw, so that later draws do not shift."""
        return self.unit() < probability

    def pick(self, weights: tuple[float, ...]) -> int:
        """An index, in proportion to its weight."""
        left = self.unit() * sum(weights)
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return index
        return len(weights) - 1
