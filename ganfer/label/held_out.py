"""Are images from elsewhere copies of this data's validation or test images? Then no training on them can be tested.

A generator that this workspace trained has seen the training split alone. A folder, or a network from elsewhere, may
hold or have learned any image. What is found is counted, never shown: nobody should choose faces by the test images.
"""

from functools import partial
from pathlib import Path

import numpy as np

from classifiers import Classifier
from ganfer.data.duplicates import NEAR
from ganfer.data.imageset import ImageSet
from ganfer.generate.batch import Batch
from ganfer.label.screener import Screener
from ganfer.metrics.copies import CopyRule, TrainingIndex
from ganfer.metrics.extractors import chunks, features_and_probabilities
from ganfer.runtime.console import progress
from ganfer.runtime.parts import Arrays, kept_parts
from ganfer.workspace import Run


def from_elsewhere(batch_run: Run) -> bool:
    """Whether no GAN that was trained on this workspace's training split drew the batch."""
    return "gan" not in batch_run.record.get("key", {}).get("inputs", {})


def copies_of_held_out(screener: Screener, batch: Batch, images: ImageSet, folder: Path) -> np.ndarray:
    """(N,) bool: which images of the batch are copies of validation or test images; see `ganfer.metrics.copies`.

    folder: where what was found is kept meanwhile.
    """
    rows = np.flatnonzero(np.isin(images.split, ("val", "test")) & (images.source == "real"))
    if not len(rows):
        return np.zeros(len(batch), dtype=bool)
    features = np.concatenate(
        [
            features_and_probabilities(screener.classifier, np.asarray(images.images[rows[part.start : part.stop]]))[0]
            for part in chunks(len(rows))
        ]
    )
    index = TrainingIndex.of(images.images, features, rows)
    copies = partial(_copies, screener.classifier, index, screener.limits.copy or CopyRule(NEAR, 0.0))
    with progress("compare with validation and test", len(batch)) as advance:
        parts = kept_parts(copies, len(batch), batch.images, folder, spread=screener.spread, advance=advance)
        return np.concatenate([part["copy"] for part in parts])


def _copies(classifier: Classifier, index: TrainingIndex, rule: CopyRule, pixels: np.ndarray) -> Arrays:
    mine = features_and_probabilities(classifier, pixels)[0]
    return {"copy": rule.copies(index.look(pixels, mine, device=classifier.device))}
