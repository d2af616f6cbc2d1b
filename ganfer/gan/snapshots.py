"""How good a snapshot is: KID against held-back training images and its samples' spread, overall and per class."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from ganfer.data.sheets import row_sheet
from ganfer.gan.plan import TrainingPlan
from ganfer.gan.sampling import GanGenerator
from ganfer.metrics.features import RandomConvFeatures, Standardiser, spread
from ganfer.metrics.kid import mmd2_on, within_on
from ganfer.runtime.seeding import image_seeds, stream

GRID_COLUMNS = 10
_SAMPLES = 64  # fakes per class at least
_REFERENCE = 300  # real training images per class behind the features' scale and the real spread
_JUDGED = 8  # a class with fewer held-back images gets no KID of its own
_SEED = 2**31 - 1  # of the judged samples; no user's batch starts here by accident


@dataclass(frozen=True)
class SnapshotScore:
    """score: what the best snapshot has lowest, None when too little was held back. diversity: spread over real's."""

    score: float | None
    kid: float | None
    kid_by_class: dict[str, float]
    diversity: dict[str, float]


class SnapshotScorer:
    """Judges snapshots of one training by the same held-back images, features and seeds every time."""

    def __init__(self, plan: TrainingPlan, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.features = RandomConvFeatures(plan.images.shape[1], device)
        chosen = [self._reference(label) for label in range(len(plan.names))]
        reference = [self.features(plan.images[index]) for index in chosen]
        self.standardise = Standardiser.fit(np.concatenate(reference))
        self.real_spread = [spread(self.standardise(f)) if len(f) > 1 else None for f in reference]
        self.held = self.standardise(self.features(plan.held_images))
        self.held_counts = np.bincount(plan.held_labels, minlength=len(plan.names))
        self._held_by_class = [self.held[plan.held_labels == label] for label in range(len(plan.names))]
        # every snapshot is compared with the same held-back images, whose distances among themselves never change
        self._within = [
            within_on(held, device) if len(held) > 1 else None for held in (self.held, *self._held_by_class)
        ]
        self.labels = np.repeat(np.arange(len(plan.names)), np.maximum(self.held_counts, _SAMPLES))

    def _reference(self, label: int) -> np.ndarray:
        members = np.flatnonzero(self.plan.labels == label)
        return np.sort(stream(0, "gan-reference", label).permutation(members)[:_REFERENCE])

    def score(self, generator: GanGenerator) -> SnapshotScore:
        """The figures of one snapshot."""
        labels = self.labels if self.plan.class_names else None
        images = generator.sample(image_seeds(_SEED, len(self.labels)), labels)
        fake = self.standardise(self.features(images))
        by_class: dict[str, float] = {}
        diversity: dict[str, float] = {}
        as_held = []  # fakes in the proportions of the held-back images
        for label, name in enumerate(self.plan.names):
            mine, held = fake[self.labels == label], int(self.held_counts[label])
            as_held.append(mine[:held])
            if held >= _JUDGED and self.plan.class_names:
                held_back, within = self._held_by_class[label], self._within[label + 1]
                by_class[name] = mmd2_on(held_back, mine, self.device, within_x=within)
            real = self.real_spread[label]
            if real:
                diversity[name] = spread(mine) / real
        overall: float | None = None
        if len(self.held) >= 2:
            overall = mmd2_on(self.held, np.concatenate(as_held), self.device, within_x=self._within[0])
        score = float(np.mean(list(by_class.values()))) if by_class else overall
        return SnapshotScore(score, overall, by_class, diversity)

    def grid(self, generator: GanGenerator) -> Image.Image:
        """A fixed-seed grid: a row per class, the same seeds in every row and every snapshot."""
        names = self.plan.names
        seeds = np.tile(image_seeds(_SEED, GRID_COLUMNS), len(names))
        labels = np.repeat(np.arange(len(names)), GRID_COLUMNS) if self.plan.class_names else None
        images = generator.sample(seeds, labels)  # all rows at once: a pass has a fixed size, however few it is for
        rows = images.reshape(len(names), GRID_COLUMNS, *images.shape[1:])
        counts = [f"of {self.plan.counts[label]:,}" for label in range(len(names))]
        return row_sheet(list(zip(names, counts, rows, strict=True)))
