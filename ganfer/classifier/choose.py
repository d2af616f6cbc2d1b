"""Classifiers opened: one, or several as one, and whether they fit the images. `catalogue` says which a name means."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from classifiers import Classifier, Ensemble, Predictor, load_classifier
from ganfer.classifier.catalogue import ServedModel
from ganfer.data.decode import Target
from ganfer.data.imageset import ImageSet
from ganfer.errors import DataError
from ganfer.workspace import Run


@dataclass(frozen=True)
class Chosen:
    """A classifier and where it comes from. data_digest: of the set it was trained on, "" where that is unknown."""

    name: str
    path: Path
    classifier: Classifier
    data_digest: str = ""


def open_chosen(choice: ServedModel | Path, device: str) -> Chosen:
    """The classifier of a source, or at a path. ClassifierError when it is missing or damaged."""
    path = choice.file if isinstance(choice, ServedModel) else choice
    if isinstance(choice, ServedModel) and (path.parent / "record.json").is_file():
        path = path.parent  # a run
    classifier = load_classifier(path, device)
    if isinstance(choice, ServedModel):
        return Chosen(choice.name, path, classifier, choice.data_digest)
    record = Run(path).record if path.is_dir() else {}
    data = str(record.get("key", {}).get("inputs", {}).get("data", ""))
    name = path.name if path.is_dir() else f"{path.parent.name}/{path.name}"
    return Chosen(name, path, classifier, data)


def as_one(chosen: Sequence[Chosen]) -> Predictor:
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
