"""Train the same classifier with and without the synthetic faces, paired seeds, equal steps; say what changed.

The data's path: training split and kept synthetic faces -> `arms` -> `classifiers.train` (chosen on validation) -> one
look at the test split per trained model -> `verdict` -> `results` -> `results.json` and the page of `ganfer.report`.
"""

import dataclasses
import io
from pathlib import Path

import numpy as np

from classifiers import train
from classifiers.parts import total_steps
from ganfer.arms import Outcome, Trained, TrainingData, chosen_arms
from ganfer.batch import newest_labels, read_batch, read_labels
from ganfer.classifier import real_only, samples
from ganfer.config import Config
from ganfer.console import progress, say
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import DataError
from ganfer.files import digest_of, write_bytes
from ganfer.findings import experiment_results
from ganfer.report import read_results, terminal_summary, write_report
from ganfer.results import Result
from ganfer.workspace import Run, Workspace


def plan_lines(config: Config) -> list[str]:
    """What `retrain` will train, in words."""
    names = ", ".join(arm.name for arm in chosen_arms(config.retrain.arms))
    return [f"train {config.classifier.model} with {config.retrain.seeds} seed(s) in each arm: {names}"]


def retrain(workspace: Workspace, config: Config, data: Run, batch_run: Run) -> Result:
    """Run the experiment and write its report; an interrupted one goes on with the trainings that are missing."""
    arms = chosen_arms(config.retrain.arms)
    labels_run = newest_labels(batch_run)
    assert labels_run is not None, "the pipeline labels the batch first"
    _refuse_other_data(batch_run, labels_run, data)
    key = {
        "config": {"retrain": dataclasses.asdict(config.retrain), "classifier": dataclasses.asdict(config.classifier)},
        "inputs": {"data": data.digest, "batch": batch_run.digest, "labels": labels_run.digest},
        "seed": config.seed,
    }
    run = workspace.run("reports", "retrain", key)
    with run.work("retrain", key) as record:
        if record.get("status") == "complete":
            say(f"{run.name} was already done.")
            return report_result(run)
        images = read_set(data.path)
        real, val, test = images.of("train"), real_only(images, "val"), real_only(images, "test")
        synthetic = kept_faces(batch_run, labels_run, images)
        steps = total_steps(config.classifier, len(real))
        same_steps = dataclasses.replace(config.classifier, steps=steps)
        seeds = [config.seed + i for i in range(config.retrain.seeds)]
        outcomes = []
        for arm in arms:
            prepared = arm.build(real, synthetic, config.retrain.weight, same_steps)
            trained = []
            for seed in seeds:
                folder = run.path / "trainings" / f"{arm.name}-{seed}"
                trained.append(
                    _train_once(folder, f"{arm.name}, seed {seed}", prepared, val, test, seed, config.device)
                )
                run.tick()
            outcomes.append(Outcome(arm, prepared, steps, tuple(trained)))
        results = experiment_results(run, config, data, images, outcomes, batch_run, labels_run)
        page = write_report(run.path, results)
        figures = {"verdict": results["verdict"], "page": str(page)}
        digest = digest_of(run.path / "results.json")
        run.finish(digest=digest, figures=figures, device=outcomes[0].trained[0].device)
    return report_result(run)


def kept_faces(batch_run: Run, labels_run: Run, images: ImageSet) -> ImageSet:
    """The screened faces of a batch with their pseudo-labels, as training images of the data's classes."""
    batch, labels = read_batch(batch_run), read_labels(labels_run, images.class_names)
    kept = np.flatnonzero(labels.kept)
    if not len(kept):
        reasons, counts = np.unique(labels.reason, return_counts=True)
        said = ", ".join(f"{n} {reason}" for reason, n in zip(reasons, counts, strict=True))
        raise DataError(
            f"The screen kept none of the {len(batch)} faces of {batch_run.name} ({said}).",
            "Train the GAN longer, or label with --min-confidence 0.",
        )
    pixels = batch.images(kept)
    if pixels.shape[1:] != images.images.shape[1:]:
        raise DataError(
            f"{batch_run.name} holds images of shape {pixels.shape[1:]}, the data {images.images.shape[1:]}.",
            "Generate with a GAN trained on this data.",
        )
    return ImageSet(
        images=pixels,
        labels=labels.predicted[kept],
        class_names=images.class_names,
        split=np.full(len(kept), "train"),
        group=np.full(len(kept), ""),
        source=np.full(len(kept), "synthetic"),
        ids=np.array([f"{batch_run.name}/{batch.file_names[i]}" for i in kept]),
    )


def report_result(run: Run) -> Result:
    """The result of a finished experiment, from its `results.json`."""
    results = read_results(run.path)
    page = run.path / "index.html"
    lines = [*terminal_summary(results), "", f"report: {page.resolve()}"]
    return Result("ganfer retrain", run.path, results, lines)


def _refuse_other_data(batch_run: Run, labels_run: Run, data: Run) -> None:
    """A batch whose generator or labeller saw other data may have seen this data's test images."""
    for run, what in ((batch_run, "generated"), (labels_run, "labelled")):
        used = run.record.get("key", {}).get("inputs", {}).get("data")
        if used != data.digest:
            raise DataError(
                f"{run.name} was {what} from other data than {data.name}; its models may have seen this test split.",
                "Generate and label a batch with this data, or go back to the other with: ganfer data use NAME.",
            )


def _train_once(
    folder: Path, name: str, data: TrainingData, val: ImageSet, test: ImageSet, seed: int, device: str
) -> Trained:
    """Train one model and keep its test probabilities; what was kept by an earlier run is read back."""
    kept = folder / "test.npz"
    if kept.is_file():
        with np.load(kept) as file:
            return Trained(
                file["probabilities"], float(file["temperature"]), float(file["seconds"]), str(file["device"])
            )
    result = train(
        data.config,
        samples(data.images, data.weights),
        samples(val),
        data.images.class_names,
        folder,
        seed=seed,
        device=device,
        progress=lambda _, total: progress(name, total),
    )
    for note in result.notes:
        say(note)
    classifier = result.load(device)
    trained = Trained(
        classifier.probabilities(test.images), classifier.temperature, result.seconds, str(classifier.device)
    )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dataclasses.asdict(trained))
    write_bytes(kept, buffer.getvalue())
    return trained
