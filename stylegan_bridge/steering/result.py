"""What a steering campaign was asked for, and what it brought home."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from stylegan_bridge.errors import BridgeError


@dataclass(frozen=True, kw_only=True)
class SteerConfig:
    """How far, how long and how strictly to steer."""

    pool_size: int = 256  # plain images, to learn the directions from
    batch_size: int = 16
    max_evaluations_per_face: float = 20.0  # generator evaluations per face asked for, the pool included
    goal: float = 1.0  # margin in logits at which a code is handed to the judge; rises where the judge disagrees
    max_goal: float = 8.0
    ascent_steps: int = 8
    ascent_rate: float = 0.3
    prior_weight: float = 1.0
    anchor_weight: float = 0.01
    generations: int = 12
    mutation: float = 0.4
    max_distance: float = 1.25  # from the centre of the generator's codes, relative to the furthest plain one
    layers: tuple[int, ...] | None = None  # which layers of W+ may move; None: all
    min_confidence: float = 0.5  # of the judge in the target
    diversity_floor: float = 0.8  # mean pairwise distance within a class, relative to plain images
    patience: int = 8  # batches without a kept face before a class is given up

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        positive = ("pool_size", "batch_size", "max_evaluations_per_face", "max_goal", "ascent_steps")
        for name in (*positive, "ascent_rate", "generations", "mutation", "max_distance", "patience"):
            if not getattr(self, name) > 0:
                raise BridgeError(f"{name} = {getattr(self, name)} must be above 0")
        if not 0 <= self.min_confidence < 1 or not 0 <= self.diversity_floor <= 1:
            raise BridgeError("min_confidence must be in 0..1 (1 excluded) and diversity_floor in 0..1")
        if min(self.prior_weight, self.anchor_weight) < 0:
            raise BridgeError("prior_weight and anchor_weight must be 0 or more")


@dataclass(frozen=True)
class ClassReport:
    """One class: asked for, kept, by which way, and what stood in the way of the rest."""

    target: int
    wanted: int
    kept: int
    methods: dict[str, int]  # plain, direction, ascent, evolution
    refused: dict[str, int]  # score, judge, prior, diversity
    evaluations: int
    diversity: float  # mean pairwise distance over that of plain images; nan below two faces
    stopped: str  # "" where the quota is filled, else why not


@dataclass(frozen=True)
class SteerResult:
    """The kept faces, in order of class, and the account. `codes[i]` draws `images[i]` again."""

    images: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64
    codes: Tensor  # (N, L, D) float32
    seeds: tuple[int, ...]  # of the code that each started from
    methods: tuple[str, ...]
    reports: tuple[ClassReport, ...]
    plain_counts: dict[int, int]  # the judge's answers on the plain pool
    evaluations: int

    @property
    def evaluations_per_face(self) -> float:
        """Generator evaluations per kept face, everything included; inf if nothing was kept."""
        return self.evaluations / len(self.labels) if len(self.labels) else math.inf

    @property
    def label_entropy(self) -> float:
        """Of the kept labels, relative to uniform over the classes asked for: 1 is balanced."""
        counts = Counter(self.labels.tolist())
        asked = sum(report.wanted > 0 for report in self.reports)
        if asked < 2 or not counts:
            return 1.0 if counts else 0.0
        shares = [count / len(self.labels) for count in counts.values()]
        return -sum(share * math.log(share) for share in shares) / math.log(asked)

    def check(self) -> SteerResult:
        """Itself if every quota was filled; else a BridgeError that says what was reached and why."""
        short = [r for r in self.reports if r.kept < r.wanted]
        if short:
            told = "; ".join(f"class {r.target}: {r.kept} of {r.wanted}, {r.stopped}" for r in short)
            raise BridgeError(f"steering did not reach its target: {told}")
        return self

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, without images and codes."""
        return {
            "kept": len(self.labels),
            "evaluations": self.evaluations,
            "evaluations_per_face": round(self.evaluations_per_face, 3) if len(self.labels) else None,
            "label_entropy": round(self.label_entropy, 4),
            "plain_counts": {str(k): v for k, v in sorted(self.plain_counts.items())},
            "classes": [
                {**asdict(r), "diversity": None if math.isnan(r.diversity) else round(r.diversity, 4)}
                for r in self.reports
            ],
        }
