"""What can be told to be wrong with a command before the minutes that data and a classifier take to make."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from classifiers.files import read_foreign
from classifiers.models import require_model
from classifiers.start import check_start, own_file
from ganfer.classifier.catalogue import ServedModel
from ganfer.classifier.selective import parse_thresholds
from ganfer.config import Config
from ganfer.data.drawn import EXPRESSIONS
from ganfer.data.imageset import read_set
from ganfer.data.names import class_named
from ganfer.data.text import printable
from ganfer.errors import ConfigError, DataError, did_you_mean
from ganfer.runtime.device import resolve_device
from ganfer.workspace import Workspace


def known_classes(workspace: Workspace) -> tuple[str, ...]:
    """The classes of the active data, or of the faces that would be drawn."""
    data = workspace.active_data
    return tuple(EXPRESSIONS) if data is None else tuple(read_set(data.path).class_names)


def check_training(config: Config) -> None:
    """The device, the architecture and the file of weights. GanferError or ClassifierError says what is wrong."""
    check_device(config)
    require_model(config.classifier.model)
    weights = config.classifier.pretrained
    if weights in ("none", "imagenet"):
        return
    if own := own_file(weights):
        check_start(own, config.classifier.model)
    elif not Path(weights).is_file():
        raise ConfigError(
            f"classifier.pretrained = {weights!r} is neither a file nor a classifier's folder.",
            "Give none, imagenet, a file of weights, or the folder of a trained classifier.",
        )
    else:
        read_foreign(Path(weights))


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
