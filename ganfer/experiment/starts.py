"""Weights that trainings start from, in an experiment: what its report says of them."""

from collections.abc import Mapping, Sequence

from classifiers.errors import ClassifierError
from classifiers.files import read_weights
from classifiers.prediction import WEIGHTS
from classifiers.start import STARTS
from ganfer.experiment.arms import PRETRAINED
from ganfer.experiment.trainings import Trainings

_WARNING = "Weights that have seen images of the test split would make these figures worthless."


def start_notes(trainings: Trainings, folders: Mapping[str, str]) -> list[str]:
    """What the trainings of all arms began from, and those of the arm `pretrained`; nothing where they began anew.

    folders: of each arm, without the seed.
    """
    found = []
    for arm, who in (("original", "All arms, as the settings say"), (PRETRAINED, f"The arm {PRETRAINED}")):
        if arm not in folders:
            continue
        try:
            _, card = read_weights(trainings.folder(folders[arm], trainings.seeds[0]) / WEIGHTS)
        except ClassifierError:
            continue  # its weights are gone; what they said of the test split is kept
        found += [f"{who}: {note}." for note in card.get("notes") or [] if str(note).startswith(STARTS)]
    return [*found, _WARNING] if found else []


def of_first_fold(notes: Sequence[str]) -> list[str]:
    """Of a fold's notes what is said of starting weights, which are the same in every fold."""
    return [note for note in notes if f": {STARTS} " in note or note == _WARNING]
