"""Before an experiment starts: is the test split large enough to show anything, and does training leak into it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.errors import DataError
from ganfer.runtime.console import say
from ganfer.runtime.files import read_object
from ganfer.statistics.significance import fewest_images
from ganfer.workspace import Run, Workspace


@dataclass(frozen=True)
class Leaks:
    """What `ganfer data check` found in the data set.

    leaking: id of an image -> the split, nearer to the test, that holds the same picture. summary: the check's counts.
    """

    leaking: Mapping[str, str]
    summary: Mapping[str, Any]

    def count(self, source: str, images: ImageSet) -> int:
        """How many images of a split leak."""
        mine = images.ids[images.split == source].tolist()
        return sum(name in self.leaking for name in mine)


def refuse_too_few(test: ImageSet) -> None:
    """DataError where no outcome could be told from chance: too few test images, whatever the models do."""
    least = fewest_images()
    if len(test) < least:
        raise DataError(
            f"The test split has {len(test)} labelled image(s); with fewer than {least} no change can be shown, "
            "however large.",
            "Add more test images, or add the data again with a larger data.test_fraction.",
        )
    if np.bincount(test.labels, minlength=len(test.class_names)).max() == len(test):
        raise DataError(
            f"All {len(test)} test images are {test.class_names[test.labels[0]]}.",
            "A test split needs images of two classes or more.",
        )


def leaks_of(workspace: Workspace, config: Config, data: Run, images: ImageSet) -> Leaks:
    """The findings of the data check, which is run now where it has not been.

    None for the drawn faces: no person is in two of their splits, and the check takes some who look alike for copies.
    """
    if data.figures.get("kind") == "drawn":
        return Leaks({}, {})
    from ganfer.data.check import check

    file = data.path / "check" / "check.json"
    if not file.is_file():
        say("Looking for images that are in two splits (ganfer data check).")
        check(workspace, data)
    try:
        found = read_object(file, "Write it again: ganfer data check.")
        if "lookalikes" not in found and images.group.any():  # by a check that took people who look alike for one
            check(workspace, data)
            found = read_object(file, "Write it again: ganfer data check.")
        leaking = {str(name): str(split) for name, split in found["leaking_images"].items()}
        lists = ("leaking_images", "damaged_images", "shared_subjects")
        summary = {name: value for name, value in found.items() if name not in lists}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{file} cannot be read ({error}).", "Write it again: ganfer data check.") from error
    leaks = Leaks(leaking, summary)
    if leaking:
        say(
            f"{leaks.count('train', images):,} training and {leaks.count('val', images):,} validation images are also "
            "in a split nearer to the test, which makes the figures too good. "
            "`ganfer data check --drop` makes a set without them, for the GAN too."
        )
    return leaks
