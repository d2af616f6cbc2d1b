"""Classifiers opened, and whether they fit classes and images. Which file a name means is said by `catalogue`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from classifiers import Classifier, Ensemble, Predictor, load_classifier
from ganfer.classifier.catalogue import ServedModel
from ganfer.config import Config
from ganfer.data.decode import Target
from ganfer.data.imageset import ImageSet
from ganfer.errors import DataError
from ganfer.workspace import Run


@dataclass(frozen=True)
class Opened:
    """An open classifier and where it comes from. data_digest: of the set it was trained on, "" where it is unknown."""

    name: str
    path: Path
    classifier: Classifier
    data_digest: str = ""


def open_found(found: ServedModel | Path, device: str) -> Opened:
    """What was found in the catalogue, or what is at a path. ClassifierError when it is missing or damaged."""
    path = found.file if isinstance(found, ServedModel) else found
    if isinstance(found, ServedModel) and (path.parent / "record.json").is_file():
        path = path.parent  # a run
    classifier = load_classifier(path, device)
    if isinstance(found, ServedModel):
        return Opened(found.name, path, classifier, found.data_digest)
    record = Run(path).record if path.is_dir() else {}
    data = str(record.get("key", {}).get("inputs", {}).get("data", ""))
    name = path.name if path.is_dir() else f"{path.parent.name}/{path.name}"
    return Opened(name, path, classifier, data)


def open_classifier(run: Run, class_names: tuple[str, ...], config: Config) -> Classifier:
    """The classifier of a run; DataError when it knows other classes than the data."""
    classifier = load_classifier(run.path, config.device)
    if tuple(classifier.class_names) != class_names:
        raise DataError(
            f"{run.name} knows {', '.join(classifier.class_names)}; the data has {', '.join(class_names)}.",
            "Train one on this data: ganfer train classifier.",
        )
    return classifier


def as_one(chosen: Sequence[Opened]) -> Predictor:
    """The classifier itself, or several as an ensemble. ClassifierError when they do not go together."""
    assert chosen
    return chosen[0].classifier if len(chosen) == 1 else Ensemble([each.classifier for each in chosen])


def target_of(predictor: Predictor, min_side: int = 1) -> Target:
    """What an image must become for a classifier to take it."""
    return Target(predictor.size, predictor.channels, min_side)


def require_fitting(predictor: Predictor, images: ImageSet) -> None:
    """DataError when the data's images are not of the classifier's size and channels."""
    wanted, found = (predictor.size, predictor.channels), (images.size, images.channels)
    if wanted != found:
        words = [
            "{0}x{0} {1}".format(size, "grey" if channels == 1 else "colour") for size, channels in (wanted, found)
        ]
        raise DataError(
            f"The classifier takes {words[0]} images, the data's are {words[1]}.",
            "Train one on this data (ganfer train classifier), or add the data again with --size and --color.",
        )
