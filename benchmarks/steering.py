"""Does steering fill every class from a generator that hardly draws one? ganfer's own unconditional GAN, drawn faces.

    python benchmarks/steering.py --workspace DIR [--minutes 15] [--faces 500]

Seven balanced classes of drawn faces train the classifiers; all but a few of one class are taken away (`ganfer data
thin`) before the GAN is trained on the rest, unconditionally. Then `ganfer generate --n N --steer` asks that GAN for
all classes alike. Reported beside the plain sample's counts: label entropy and accuracy per class by the judge that
took part, and by a referee, a third classifier that took no part in the steering, beside its accuracy on real
held-back faces; generator evaluations per kept face; diversity beside plain and real faces. Interrupted, it goes on
when called again. Figures go to results/steering.json, the grid to docs/steering.png.
"""

import argparse
import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gan_common import environment, save

from classifiers import Classifier, load_classifier, train
from ganfer.classifier.train import real_only, samples
from ganfer.config import Config, SteeringConfig, load_config
from ganfer.data.drawn import EXPRESSIONS, draw_faces
from ganfer.data.imageset import ImageSet, read_set, save_set
from ganfer.data.sheets import row_sheet, save_sheet
from ganfer.gan.sampling import open_gan
from ganfer.generate.batch import read_batch
from ganfer.metrics.diversity import relative_entropy_to_uniform
from ganfer.metrics.features import RandomConvFeatures
from ganfer.pipeline import Project
from ganfer.results import Result
from ganfer.workspace import Run, Workspace
from stylegan_bridge.steering import thumbnails

RARE, RARE_FACES = "disgust", 27
REFEREE = "cnn"
CONFIDENCE = SteeringConfig().confidence
PLAIN, PLAIN_FROM = 2000, 50_000_000  # plain faces beside the steered ones, from seeds that steering does not use
PER_CLASS = {"train": 900, "val": 120, "test": 300}
_FACES_PER_PERSON = 6


def settings(minutes: float, other: list[str]) -> Config:
    """A small unconditional GAN with the default regularisation, and small classifiers."""
    return load_config(
        overrides=[
            f"{key}={str(value).lower()}"
            for key, value in {
                "gan.network": "dcgan",
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
                "steering.judge": "compact",
                "steering.judge_epochs": 8,
                "device": "cpu",
            }.items()
        ]
        + other
    )


def balanced_faces(workspace: Workspace) -> Run:
    """As many drawn faces of each class, as a data set of the workspace; no person is in two splits."""
    key = {"config": {"per_class": PER_CLASS}, "inputs": {}, "seed": 0}
    run = workspace.run("data", "balanced", key)
    with run.work("draw") as record:
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


def starved_gan(project: Project) -> Run:
    """The unconditional GAN, trained on all faces but most of the rare class's; found if it is there."""
    path = project.thin(counts={RARE: RARE_FACES}).path
    assert path is not None
    project.workspace.activate_data(Run(path))
    return project.needs.gan()


def train_referee(project: Project, data: Run) -> Classifier:
    """A third classifier, of another architecture and seed than guide and judge; it takes no part in the steering."""
    images = read_set(data.path)
    folder = project.workspace.root / "referee"
    settings = dataclasses.replace(project.config.classifier, model=REFEREE, epochs=15)
    result = train(
        settings,
        samples(images.of("train")),
        samples(real_only(images, "val")),
        images.class_names,
        folder,
        seed=77,
        device="cpu",
    )
    return result.load("cpu")


def read_by(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Accuracy per class of (N, C, H, W) images asked for as `labels`, and the entropy of what was read."""
    read = classifier.probabilities(images).argmax(axis=1)
    tally = np.bincount(read, minlength=len(EXPRESSIONS))
    return {
        "accuracy": round(float((read == labels).mean()), 4),
        "per_class": {
            name: round(float((read[labels == k] == k).mean()), 4) if (labels == k).any() else None
            for k, name in enumerate(EXPRESSIONS)
        },
        "counts": dict(zip(EXPRESSIONS, tally.tolist(), strict=True)),
        "label_entropy": round(relative_entropy_to_uniform(tally), 4),
    }


def accepted_share(classifier: Classifier, images: np.ndarray, name: str) -> float:
    """Share of images that it calls `name` with the confidence at which a judge accepts one."""
    probabilities = classifier.probabilities(images)
    k = EXPRESSIONS.index(name)
    return round(float(((probabilities.argmax(axis=1) == k) & (probabilities[:, k] >= CONFIDENCE)).mean()), 4)


def mean_distance(features: np.ndarray) -> float:
    """Between all pairs; NaN, which JSON has not, never: 0 for fewer than two."""
    return float(torch.pdist(torch.from_numpy(features)).mean()) if len(features) > 1 else 0.0


def diversity(images: np.ndarray, labels: np.ndarray, plain: np.ndarray, real: np.ndarray, real_labels: np.ndarray
) -> dict[str, Any]:  # fmt: skip
    """Mean distance of pairs within each class, relative to pairs of plain images; real faces beside it.

    By 16 x 16 averages, which steering itself watches, and by random convolutions, which it never saw.
    """
    found: dict[str, Any] = {}
    convolutions = RandomConvFeatures(images.shape[1])
    for name, features in (
        ("averages", lambda x: thumbnails(torch.from_numpy(x)).numpy()),
        ("random_convolutions", convolutions),
    ):
        base = mean_distance(features(plain))
        found[name] = {
            "kept": {
                e: round(mean_distance(features(images[labels == k])) / base, 3) for k, e in enumerate(EXPRESSIONS)
            },
            "real": {
                e: round(mean_distance(features(real[real_labels == k])) / base, 3) for k, e in enumerate(EXPRESSIONS)
            },
        }
    return found


def grid(path: Path, images: np.ndarray, labels: np.ndarray, plain: np.ndarray, counts: dict[str, int]) -> None:
    """Plain faces in the first two rows, then a row per class of kept ones."""
    rows = [("plain", "as they come", plain[:14]), ("", "", plain[14:28])]
    for k, name in enumerate(EXPRESSIONS):
        rows.append((name, f"{counts[name]} of {sum(counts.values())} plain", images[labels == k][:14]))
    save_sheet(path, row_sheet(rows, scale=1))


def main() -> None:
    """Train, steer, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15.0, help="training time of the GAN")
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="other settings")
    parser.add_argument("--grid", type=Path, default=Path(__file__).parents[1] / "docs" / "steering.png")
    parser.add_argument("--no-referee", action="store_true", help="leave out the third classifier's training")
    wanted = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())
    workspace = Workspace(wanted.workspace)
    project = Project(workspace, settings(wanted.minutes, wanted.set))
    balanced_faces(workspace)
    gan = starved_gan(project)
    data = balanced_faces(workspace)
    classifiers = {
        "guide": load_classifier(project.needs.classifier().path, "cpu"),
        "judge": load_classifier(project.needs.judge().path, "cpu"),
    }
    began = time.perf_counter()
    result = project.generate(wanted.faces, gan=gan.name, steer=True)
    print(result)
    seconds = time.perf_counter() - began
    assert result.path is not None
    write_figures(wanted, project, gan, data, classifiers, result, seconds)  # also without the referee, if interrupted
    if wanted.no_referee:
        return
    classifiers["referee"] = train_referee(project, data)
    write_figures(wanted, project, gan, data, classifiers, result, seconds)


def write_figures(
    wanted: argparse.Namespace,
    project: Project,
    gan: Run,
    data: Run,
    classifiers: dict[str, Classifier],
    result: Result,
    seconds: float,
) -> None:
    """What each classifier reads in real, plain and kept faces, and the grid."""
    assert result.path is not None
    workspace = project.workspace
    batch = read_batch(Run(result.path))
    images, labels = batch.images(), np.array([EXPRESSIONS.index(name) for name in batch.asked])
    plain = open_gan(gan.path, "cpu").sample(np.arange(PLAIN) + PLAIN_FROM)
    test = read_set(data.path).of("test")
    real = np.asarray(test.images)
    unknown = np.full(len(plain), -1)
    report = {}
    for name, classifier in classifiers.items():
        on_plain = read_by(classifier, plain, unknown)
        report[name] = {
            "model": classifier.card["architecture"],
            "real": read_by(classifier, real, test.labels),
            "kept": read_by(classifier, images, labels),
            "plain_counts": on_plain["counts"],
            "plain_entropy": on_plain["label_entropy"],
            f"plain_share_of_{RARE}": round(on_plain["counts"][RARE] / len(plain), 4),
            f"plain_share_of_{RARE}_from_{CONFIDENCE}": accepted_share(classifier, plain, RARE),
        }
    save(
        "steering",
        {
            "what": f"{wanted.faces} faces of 7 classes, from a GAN that saw {RARE_FACES} faces of {RARE}",
            "gan": {"run": gan.name, **{key: gan.figures[key] for key in ("steps", "images", "kid", "best_step")}},
            "gan_training_counts": read_set(Run(workspace.root / "data" / gan_data(workspace, gan)).path).counts(
                "train"
            ),
            "real_faces": len(real),
            "plain_faces": len(plain),
            "classifiers": report,
            "steering": {key: value for key, value in result.figures.items() if key != "notes"},
            "diversity": diversity(images, labels, plain[:500], real, test.labels),
            "settings": dataclasses.asdict(project.config.steering),
            "seconds": round(seconds, 1),
            "seed": project.config.seed,
            **environment(),
        },
    )
    grid(wanted.grid, images, labels, plain, report["judge"]["plain_counts"])


def gan_data(workspace: Workspace, gan: Run) -> str:
    """The name of the set that a GAN was trained on."""
    digest = gan.record["key"]["inputs"]["data"]
    return next(run.name for run in workspace.runs("data") if run.digest == digest)


if __name__ == "__main__":
    main()
