"""Which classifier a command means: runs of the workspace by name, folders and files by path, several as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from classifiers import Classifier, Ensemble, Predictor, load_classifier
from classifiers.prediction import WEIGHTS
from ganfer.data.decode import Target
from ganfer.data.imageset import ImageSet
from ganfer.errors import DataError
from ganfer.workspace import Run, Workspace


@dataclass(frozen=True)
class Chosen:
    """A classifier and where it comes from. data_digest: of the set it was trained on, "" where that is unknown."""

    name: str
    path: Path
    classifier: Classifier
    data_digest: str = ""


def locate(workspace: Workspace, name: str) -> Path:
    """The folder or file of a classifier: an existing path, else a run of the workspace. WorkspaceError if neither."""
    path = Path(name)
    if path.is_file() or (path / WEIGHTS).is_file():
        return path
    return workspace.find("classifiers", name).path


def open_chosen(path: Path, device: str) -> Chosen:
    """The classifier at a path. ClassifierError when it is missing or damaged."""
    classifier = load_classifier(path, device)
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
