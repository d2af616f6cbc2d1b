"""Does steering fill every class from a generator that hardly draws one? ganfer's own unconditional GAN, drawn faces.

    python benchmarks/steering.py --workspace DIR [--minutes 15] [--faces 500]

Seven balanced classes of drawn faces train the classifiers; all but a few of one class are taken away (`ganfer data
thin`) before the GAN is trained on the rest, unconditionally. Then `ganfer generate --n N --steer` asks that GAN for
all classes alike. Reported beside the plain sample's counts: label entropy and accuracy per class by the judge that took
part, and by a referee, a third classifier that took no part in the steering, beside its accuracy on real held-back
faces; generator evaluations per kept face; diversity beside plain and real faces. Interrupted, it goes on when called
again. Figures go to results/steering.json, the grid to docs/steering.png.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch

from ganfer.config import Config, load_config
from ganfer.data.drawn import EXPRESSIONS, draw_faces
from ganfer.data.imageset import ImageSet, save_set
from ganfer.pipeline import Project
from ganfer.workspace import Run, Workspace

RARE, RARE_FACES = "disgust", 27
PER_CLASS = {"train": 900, "val": 120, "test": 300}
_FACES_PER_PERSON = 6


def settings(minutes: float) -> Config:
    """An unconditional GAN with the default regularisation, and the default classifiers."""
    return load_config(
        overrides={
            "gan.conditional": False,
            "gan.minutes": minutes,
            "gan.steps": 100_000,
            "gan.snapshot_every": 1000,
            "gan.base_channels": 16,
            "gan.lr_generator": 5e-4,
            "gan.lr_discriminator": 5e-4,
            "classifier.tensorboard": False,
            "classifier.model": "compact-small",
            "classifier.epochs": 15,
            "device": "cpu",
        }
    )


def balanced_faces(workspace: Workspace) -> Run:
    """As many drawn faces of each class, as a data set of the workspace; no person is in two splits."""
    key = {"config": {"per_class": PER_CLASS}, "inputs": {}, "seed": 0}
    run = workspace.run("data", "balanced", key)
    with run.work("draw", key) as record:
        if record.get("status") != "complete":
            split = np.repeat(list(PER_CLASS), [len(EXPRESSIONS) * count for count in PER_CLASS.values()])
            labels = np.concatenate([np.tile(np.arange(len(EXPRESSIONS)), count) for count in PER_CLASS.values()])
            start = {name: 10_000_000 * (i + 1) for i, name in enumerate(PER_CLASS)}
            people = np.array([start[name] + i // _FACES_PER_PERSON for i, name in enumerate(split)])
            images = draw_faces(np.arange(len(labels)) + 90_000_000, labels, identities=people)
            made = ImageSet(
                images=images,
                labels=labels.astype(np.int64),
                class_names=tuple(EXPRESSIONS),
                split=split.astype(np.str_),
                group=people.astype(np.str_),
                source=np.full(len(labels), "real"),
                ids=np.array([f"drawn-{i}" for i in range(len(labels))]),
            )
            run.finish(digest=save_set(run.path, made), figures={"count": len(labels)})
    workspace.activate_data(run)
    return run


def train_starved_gan(project: Project) -> Run:
    """The unconditional GAN, trained on all faces but most of the rare class's."""
    path = project.thin(counts={RARE: RARE_FACES}).path
    assert path is not None
    project.workspace.activate_data(Run(path))
    made = project.train_gan().path
    assert made is not None
    return Run(made)


def main() -> None:
    """Train, steer, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15.0, help="training time of the GAN")
    parser.add_argument("--faces", type=int, default=500)
    wanted = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())
    workspace = Workspace(wanted.workspace)
    project = Project(workspace, settings(wanted.minutes))
    balanced_faces(workspace)
    gan = train_starved_gan(project)
    print(gan.name)


if __name__ == "__main__":
    main()
