"""Faces from elsewhere are compared with validation and test: copies of those are counted, and never kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import NAMES, add_batch, add_set, fast_config, striped, tiny_set

from ganfer.data.provenance import write_png
from ganfer.generate.batch import read_rows
from ganfer.label.held_out import from_elsewhere
from ganfer.label.labels import HELD_OUT, newest_labels
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

LOOSE = {"label__min_confidence": "0", "label__require_match": False, "label__manifold": 0.0, "label__diverse": False}


@pytest.mark.parametrize("copies", [True, False])
def test_copies_of_test_images_are_rejected_and_not_named(tmp_path: Path, copies: bool) -> None:
    images = tiny_set((12, 12, 12), val=6, test=6)
    noise = np.random.default_rng(0).integers(0, 256, images.images.shape, dtype=np.uint8)
    images = replace(images, images=noise)
    workspace = Workspace(tmp_path / "work")
    data = add_set(workspace, images)
    held = np.flatnonzero(images.split != "train")[:20]  # 18 of validation, 2 of the test
    folder = tmp_path / "faces"
    (folder / NAMES[0]).mkdir(parents=True)
    for i, image in enumerate([*images.images[held], *striped(np.zeros(6, np.int64), seed=1)]):
        write_png(folder / NAMES[0] / f"{i:02d}.png", image, {"generator": "another"})
    config = fast_config(**LOOSE, label__copies=copies, classifier__epochs=1, data__min_side=16)
    project = Project(workspace, config)
    result = project.label(folder)
    assert result.figures["screen"]["reasons"].get(HELD_OUT) == 20
    assert sum(result.figures["screen"]["kept"].values()) <= 6
    labels = newest_labels(project.needs.batch())
    assert labels is not None
    held_ids = set(images.ids[images.split != "train"].tolist())
    assert not any(held_ids & set(row.values()) for row in read_rows(labels.path / "labels.csv"))
    own = add_batch(workspace, data, np.array([0, 1, 2] * 4))
    assert not from_elsewhere(own)  # its GAN has seen the training split alone
