"""`ganfer label FOLDER` in a workspace that knows drawn faces only: photographs, read by the classifier of the package.

There are no real images here to hold them against, so the labels stand on the starter's confidence, whose class-wise
thresholds come with it. The batch belongs to no data set: no experiment of the workspace takes it up.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from classifiers import load_classifier
from ganfer.classifier import starter
from ganfer.classifier.catalogue import trained_on_real
from ganfer.config import Config
from ganfer.data.decode import Target, Task, decode_chunk
from ganfer.data.imageset import read_set
from ganfer.data.provenance import is_synthetic
from ganfer.data.sets import is_drawn
from ganfer.data.sources.survey import is_image
from ganfer.errors import DataError, GanferError
from ganfer.label.screener import Limits, Screener
from ganfer.runtime.parts import Spread
from ganfer.workspace import Run, Workspace

_LOOKED_AT = 8


def are_photos(workspace: Workspace, folder: Path) -> bool:
    """Whether only the starter can read a folder: no real images are the workspace's, and ganfer did not draw these."""
    data = workspace.active_data
    if not starter.there() or (data and not is_drawn(data)) or trained_on_real(workspace):
        return False
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_image(path.name)][:_LOOKED_AT]
    try:
        return not found or not (is_synthetic(found[0]) or (data is not None and _of_the_set(found, data)))
    except DataError:
        return True  # the import says which files cannot be read


def _of_the_set(files: Sequence[Path], data: Run) -> bool:
    """Whether one of the files is an image of the set, its mark of a drawn face removed."""
    images = read_set(data.path)
    decoded = decode_chunk([Task(path) for path in files], Target(images.size, images.channels))
    return any((images.images == picture).all(axis=(1, 2, 3)).any() for picture in decoded.pixels)


class ConfidenceScreener(Screener):
    """A screener without real images: neither manifold nor copies are looked for, class shares are left as they are."""

    def __init__(self, config: Config) -> None:
        card = starter.card()
        self.classifier = load_classifier(starter.FILE, config.device)
        self.spread = Spread(config.workers, config.cluster, str(self.classifier.device))
        self.names = tuple(self.classifier.class_names)
        self.settings = dataclasses.replace(config.label, manifold=0.0, copies=False)
        self.known_rows, self.pools = np.array([], np.int64), 0
        self._equal = self._index = self.assumed = None
        self._manifolds = [None] * len(self.names)
        count = len(self.names)
        self.held_back_probabilities, self.held_back_labels = np.zeros((0, count)), np.array([], np.int64)
        if config.label.min_confidence == "auto":
            if config.label.beta != card["thresholds"]["beta"]:
                raise GanferError(
                    f"label.beta = {config.label.beta:g}: the {starter.NAME}'s thresholds are made for "
                    f"{card['thresholds']['beta']:g}.",
                    "Leave it, or give --min-confidence.",
                )
            thresholds = np.array([card["thresholds"]["confidence"][name] for name in self.names])
        else:
            thresholds = np.full(count, float(config.label.min_confidence))
        self.limits = Limits(thresholds, np.zeros(count), None)
