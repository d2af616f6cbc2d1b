"""How far the filling of one class has come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from torch import Tensor

from stylegan_bridge.steering.moves import Direction

#: Below this share of the judge's yes among what an ascent found, over so many, evolution takes over.
MISLED_SHARE, MISLED_AFTER = 0.25, 16


@dataclass
class ClassState:
    """A class being filled."""

    target: int
    wanted: int
    budget: int
    goal: float
    codes: list[Tensor] = field(default_factory=list)
    images: list[Tensor] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    ascents: list[bool] = field(default_factory=list)  # the judge's answers to what ascents found
    has_gradient: bool = True
    evaluations: int = 0
    idle: int = 0  # batches since the last kept face
    tries: int = 0  # and starts
    pool_used: int = 0  # how many of the pool's codes, the most promising first, were started from
    stopped: str = ""
    direction: Direction | None = None

    @property
    def is_finished(self) -> bool:
        return self.missing <= 0 or bool(self.stopped)

    @property
    def missing(self) -> int:
        return self.wanted - len(self.seeds)

    @property
    def is_misled(self) -> bool:
        recent = self.ascents[-4 * MISLED_AFTER :]
        return len(recent) >= MISLED_AFTER and sum(recent) < MISLED_SHARE * len(recent)

    def main_reason(self) -> str:
        """What most often stood in the way."""
        reasons = {
            "score": "the score could not be satisfied near the generator's own codes",
            "judge": "the independent judge disagreed with the score",
            "prior": "what satisfied the score was too far from the generator's own codes",
            "diversity": "the faces were too alike",
        }
        return reasons[self.refused.most_common(1)[0][0]] if +self.refused else "too few were tried"
