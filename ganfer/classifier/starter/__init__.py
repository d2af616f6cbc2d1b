"""The classifier that comes with ganfer: a `compact` network that has seen FER2013's faces, with its card.

It reads photographs of people where a workspace has no classifier trained on real images. The experiment on a user's
own data never uses it: labels, the screen and every arm stand on that data alone.
"""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganfer.errors import DataError
from ganfer.runtime.files import digest_of

if TYPE_CHECKING:
    from ganfer.data.imageset import ImageSet

NAME = "starter"
FILE = Path(__file__).parent / "model.safetensors"
CARD = FILE.with_name("card.json")


def there() -> bool:
    """Whether this installation has the weights."""
    return FILE.is_file() and CARD.is_file()


@cache
def card() -> dict[str, Any]:
    """What it is, what it was trained on, how good it is, what it must not be used for."""
    read: dict[str, Any] = json.loads(CARD.read_text(encoding="utf-8"))
    return read


def words() -> str:
    """What one should know of it, in a line."""
    measured = card()["figures"]
    recalls = {name: row["recall"] for name, row in measured["per_class"].items()}
    worst = min(recalls, key=recalls.__getitem__)
    return (
        f"trained on {card()['trained_on']['data']}; {measured['accuracy']:.1%} right on {measured['split']}, "
        f"{worst} only {recalls[worst]:.0%}"
    )


def notice() -> str:
    """What a command says that uses it without being asked to."""
    return (
        f"No classifier trained on real images is here, so ganfer's {NAME} reads the faces ({words()}). "
        "Your own: ganfer data add PATH, ganfer train classifier."
    )


def no_images() -> "ImageSet":
    """An empty set of its classes, size and channels: what photographs are held against that belong to no data."""
    import numpy as np

    from ganfer.data.imageset import ImageSet

    size, channels = card()["input"]["size"], card()["input"]["channels"]
    none = np.array([], np.str_)
    return ImageSet(
        images=np.zeros((0, channels, size, size), np.uint8),
        labels=np.array([], np.int64),
        class_names=tuple(card()["class_names"]),
        split=none,
        group=none,
        source=none,
        ids=none,
    )


def refuse(file: Path, what: str) -> None:
    """DataError when a file is the starter, under whatever name: `what` stands on the user's data alone."""
    file = file / FILE.name if file.is_dir() else file
    if there() and file.is_file() and digest_of(file) == digest_of(FILE):
        raise DataError(
            f"The {NAME} was trained on {card()['trained_on']['data']}, not on your data; {what} may not stand on it.",
            "Leave --classifier out, or train one on your data: ganfer train classifier.",
        )
