"""The independent judge of steered faces: another architecture, another seed, half of the training images.

Steering looks for latents that the workspace's classifier calls a class. What merely fools that one classifier should
not pass, so another decides what is kept, which has nothing in common with it but the data.
"""

import dataclasses

import numpy as np

from classifiers import TrainConfig, train
from ganfer.classifier.train import real_only, samples
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.splits import rank_of
from ganfer.errors import GanferError
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.workspace import Run, Workspace

_UNNORMALISED_LR = 1e-3  # networks without batch norm learn badly at AdamW's usual 3e-3
_SEED_SHIFT = 2_000_003  # the classifier starts from the plain seed, the GAN's guide from another shift


def judge_settings(config: Config, classifier_model: str) -> TrainConfig:
    """How the judge is trained: as the classifier, but for the network, and with all classes equally often.

    classifier_model: the architecture that guides. GanferError when the judge was set to the same one.
    """
    asked = config.steering.judge
    chosen = asked if asked != "auto" else ("compact-small" if not _is_compact(classifier_model) else "cnn")
    if chosen == classifier_model:
        raise GanferError(
            f"steering.judge = {chosen!r} is the classifier's own architecture.",
            "An independent judge needs another one; 'auto' chooses it.",
        )
    return dataclasses.replace(
        config.classifier,
        model=chosen,
        lr=_UNNORMALISED_LR if chosen in ("cnn", "cnn-sgd", "fnn") else None,
        optimizer=None,
        epochs=config.steering.judge_epochs or config.classifier.epochs,
        sampler="balanced",
        loss="cross-entropy",
        pretrained="none",
        tensorboard=False,
    )


def _is_compact(model: str) -> bool:
    return model.startswith("compact")


def judge_run(workspace: Workspace, config: Config, data: Run, classifier_model: str) -> Run:
    """Where the judge for this data lives, trained or not: apart from the classifiers, which commands choose from."""
    settings = judge_settings(config, classifier_model)
    key = {"config": dataclasses.asdict(settings), "inputs": {"data": data.digest}, "seed": config.seed}
    return workspace.run("judges", settings.model.replace(":", "-"), key)


def train_judge(workspace: Workspace, config: Config, data: Run, classifier_model: str) -> Result:
    """Train the judge on its half of the training split, choose and calibrate it on validation."""
    settings = judge_settings(config, classifier_model)
    run = judge_run(workspace, config, data, classifier_model)
    with run.work("train judge") as record:
        if record.get("status") == "complete":
            return _result(run, "was already trained")
        images = read_set(data.path)
        half = judges_half(images.of("train"))
        say(f"Training the independent judge ({settings.model}) on {len(half):,} of the training images.")
        trained = train(
            settings,
            samples(half),
            samples(real_only(images, "val")),
            images.class_names,
            run.path,
            seed=config.seed + _SEED_SHIFT,
            device=config.device,
            progress=progress,
        )
        classifier = trained.load(config.device)
        figures = {
            "model": settings.model,
            "images": len(half),
            "validation": {name: trained.validation[name] for name in ("accuracy", "balanced_accuracy", "ece")},
            "recall": {name: row["recall"] for name, row in trained.validation["per_class"].items()},
        }
        run.finish(digest=classifier.digest, figures=figures, device=str(classifier.device))
    return _result(run, "trained")


def judges_half(train_images: ImageSet) -> ImageSet:
    """Half of every class's labelled images, at least one, whole subjects as far as that goes; the same each time."""
    names = [group or name for group, name in zip(train_images.group, train_images.ids, strict=True)]
    ranks = np.array([rank_of(str(name)) for name in names], dtype=np.uint64)
    chosen = []
    for label in range(len(train_images.class_names)):
        members = np.flatnonzero(train_images.labels == label)
        ordered = members[np.argsort(ranks[members], kind="stable")]
        chosen.append(ordered[: (len(ordered) + 1) // 2])
    return train_images.select(np.sort(np.concatenate(chosen)))


def _result(run: Run, what: str) -> Result:
    score = run.figures["validation"]["balanced_accuracy"]
    return Result(
        "train judge", run.path, run.figures, [f"{run.name} {what}: validation balanced accuracy {score:.1%}"]
    )
