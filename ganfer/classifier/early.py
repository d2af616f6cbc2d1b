"""What can be told to be wrong with a command before the minutes that data and a classifier take to make."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from classifiers.files import read_foreign
from classifiers.models import require_model
from classifiers.start import check_start, model_options, own_file
from ganfer.classifier.catalogue import ServedModel
from ganfer.classifier.selective import parse_thresholds
from ganfer.config import Config
from ganfer.data.drawn import EXPRESSIONS
from ganfer.data.imageset import read_set
from ganfer.data.names import class_named
from ganfer.data.text import printable
from ganfer.errors import ConfigError, DataError, did_you_mean
from ganfer.runtime.device import resolve_device
from ganfer.workspace import Run, Workspace


def known_classes(workspace: Workspace) -> tuple[str, ...]:
    """The classes of the active data, or of the faces that would be drawn."""
    data = workspace.active_data
    return tuple(EXPRESSIONS) if data is None else tuple(read_set(data.path).class_names)


def image_shape(workspace: Workspace, config: Config) -> tuple[int, int]:
    """Channels and side of the active data's images, or of the faces that would be drawn."""
    data = workspace.active_data
    if data is None:
        return config.data.channels, config.data.size
    images = read_set(data.path).images
    return images.shape[1], images.shape[2]


def check_training(config: Config, workspace: Workspace) -> None:
    """The device, the architecture, its options and the starting weights: whether the active data's images can be
    trained on so. GanferError or ClassifierError says what is wrong."""
    check_device(config)
    settings = config.classifier
    require_model(settings.model, **model_options(settings))
    weights = settings.pretrained
    if weights == "none":
        return
    if own := own_file(weights):
        check_start(own, settings, image_shape(workspace, config))
        return
    if weights != "imagenet" and not Path(weights).is_file():
        raise ConfigError(
            f"classifier.pretrained = {weights!r} is neither a file nor a classifier's folder.",
            "Give none, imagenet, a file of weights, or the folder of a trained classifier.",
        )
    if weights != "imagenet":
        read_foreign(Path(weights))
    require_model(settings.model, pretrained=weights)


def refuse_seen(workspace: Workspace, weights: str, setting: str) -> None:
    """ConfigError for starting weights that learned from the active data, where folds test every image of it."""
    own, data = own_file(weights), workspace.active_data
    if own is None or data is None:
        return
    sets = {run.name: run for run in workspace.runs("data")}

    def first(name: str) -> str:
        """The set that a set was made of by thinning or cleaning, or itself."""
        while name in sets and str(sets[name].figures.get("parent", "")) in sets:
            name = str(sets[name].figures["parent"])
        return name

    if _data_behind(own) in {run.digest for run in sets.values() if first(run.name) == first(data.name)}:
        raise ConfigError(
            f"{setting} = {weights!r} has learned from {data.name}: folds would test it on its own training images.",
            "Start from a classifier of other data, or from none.",
        )


def _data_behind(weights: Path) -> str:
    """The digest of the data that a classifier learned from, as the record beside it or of its report says; or ""."""
    for folder in list(weights.absolute().parents)[:3]:
        inputs = Run(folder).record.get("key", {}).get("inputs", {})
        if "data" in inputs:
            return str(inputs["data"])
    return ""


def check_device(config: Config) -> None:
    """The device must be there."""
    resolve_device(config.device)


def check_classes(workspace: Workspace, names: Iterable[str], option: str) -> None:
    """Classes that are asked for must be known."""
    known = known_classes(workspace)
    for name in names:
        if name not in known:
            raise ConfigError(f"{option} names the class {name!r}.", did_you_mean(name, known))


def check_images(paths: Sequence[Path]) -> None:
    """Files that are to be read must be there and hold something."""
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is not a file.", "Give image files, e.g. ganfer explain face.jpg.")
        if not path.stat().st_size:
            raise DataError(f"{path} is empty (0 bytes).", "Leave it out.")


def check_file(value: str | Path | None, option: str) -> None:
    """A file that a setting names, "" or None for none, must be there."""
    if value and not Path(value).is_file():
        raise ConfigError(f"{option} {value} is no file.", "Look at the path, or leave it out.")


def check_class_folders(workspace: Workspace, folder: Path, files: Sequence[Path]) -> None:
    """Of the files below a folder one at least must lie in a folder named like a class."""
    names = known_classes(workspace)
    if not any(class_named(printable(part), names) for path in files for part in path.relative_to(folder).parts[:-1]):
        raise DataError(
            f"{folder} holds no usable image of {', '.join(names)}.", "Name its subfolders like the classes."
        )


def check_evaluation(workspace: Workspace, config: Config, chosen: Sequence[ServedModel]) -> None:
    """The thresholds, where the classes they may name are known already."""
    if not chosen:
        parse_thresholds(config.evaluate.thresholds, known_classes(workspace))
