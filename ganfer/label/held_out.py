"""Are images from elsewhere copies of this data's validation or test images? Then no training on them can be tested.

A generator that this workspace trained has seen the training split alone. A folder, or a network from elsewhere, may
hold or have learned any image. What is found is counted, never shown: nobody should choose faces by the test images.
"""

import numpy as np

from ganfer.data.duplicates import NEAR
from ganfer.data.imageset import ImageSet
from ganfer.generate.batch import Batch
from ganfer.label.screener import Screener
from ganfer.metrics.copies import CopyRule, TrainingIndex
from ganfer.metrics.extractors import chunks, features_and_probabilities
from ganfer.runtime.console import progress
from ganfer.workspace import Run


def from_elsewhere(batch_run: Run) -> bool:
    """Whether no GAN that was trained on this workspace's training split drew the batch."""
    return "gan" not in batch_run.record.get("key", {}).get("inputs", {})


def copies_of_held_out(screener: Screener, batch: Batch, images: ImageSet) -> np.ndarray:
    """(N,) bool: which images of the batch are copies of validation or test images; see `ganfer.metrics.copies`."""
    found = np.zeros(len(batch), dtype=bool)
    rows = np.flatnonzero(np.isin(images.split, ("val", "test")) & (images.source == "real"))
    if not len(rows):
        return found
    features = np.concatenate(
        [
            features_and_probabilities(screener.classifier, np.asarray(images.images[rows[part.start : part.stop]]))[0]
            for part in chunks(len(rows))
        ]
    )
    index = TrainingIndex.of(images.images, features, rows)
    rule = screener.limits.copy or CopyRule(NEAR, 0.0)
    with progress("compare with validation and test", len(batch)) as advance:
        for part in chunks(len(batch)):
            pixels = batch.images(range(part.start, part.stop))
            mine = features_and_probabilities(screener.classifier, pixels)[0]
            found[part.start : part.stop] = rule.copies(index.look(pixels, mine, device=screener.classifier.device))
            advance(part.stop - part.start)
    return found
