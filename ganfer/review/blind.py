"""A blind test: real and made faces mixed, "real or made?" and "which expression?", for one or more people.

Everybody is asked about the same faces, each in an order of their own, so that their answers can be compared. Real
faces come from validation, never from the test split; made ones are those that the screen kept, as many of each class.
"""

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.data.imageset import read_set
from ganfer.errors import DataError
from ganfer.generate.batch import read_batch
from ganfer.label.labels import newest_labels, read_labels
from ganfer.review import journal
from ganfer.review.decisions import FOLDER
from ganfer.runtime.files import digest_json
from ganfer.runtime.seeding import stream
from ganfer.statistics.agreement import cohen_kappa, share
from ganfer.workspace import Run

FILE = "blind.jsonl"
FEWEST = 4  # faces of each kind


@dataclass(frozen=True)
class Item:
    """One face of the test: what the journal calls it, whether it was made, its class, its pixels (C, H, W)."""

    name: str
    made: bool
    label: str
    pixels: np.ndarray


class BlindTest:
    """The faces of a test and the answers so far."""

    def __init__(self, batch: Run, data: Run, faces: int) -> None:
        """faces: in all, half of them made. DataError when there are too few of either."""
        self.path = batch.path / FOLDER / FILE
        self.class_names, self.items = _items(batch, data, faces)
        self._place = {item.name: k for k, item in enumerate(self.items)}
        self.version = digest_json(list(self._place))[:16]  # of what the places stand for

    def order(self, by: str) -> list[int]:
        """The items in the order this person sees them."""
        seed = len(self.items)
        return stream(seed, f"blind {by}").permutation(len(self.items)).tolist()

    def next_of(self, by: str) -> int | None:
        """The place in this person's order of the first face without an answer; None when all are answered."""
        said = {answer["name"] for answer in self.answers() if answer["by"] == by}
        waiting = (k for k, i in enumerate(self.order(by)) if self.items[i].name not in said)
        return next(waiting, None)

    def answer(self, by: str, place: int, *, real: bool, label: str) -> bool:
        """Write an answer down; False when this person had answered already: the first answer counts."""
        item = self.items[self.order(by)[place]]
        with journal.alone(self.path):
            if any(a["by"] == by and a["name"] == item.name for a in self.answers()):
                return False
            entry = {"by": by, "name": item.name, "made": item.made, "class": item.label, "real": real, "label": label}
            journal.append(self.path, entry)
        return True

    def answers(self) -> list[dict[str, Any]]:
        """The answers to the faces of this test."""
        return [answer for answer in read_answers(self.path) if answer["name"] in self._place]


def read_answers(path: Path) -> list[dict[str, Any]]:
    """All answers in a journal. DataError for a damaged line."""
    found = []
    for number, line in enumerate(journal.read_after(path, 0)[0], 1):
        try:
            entry = json.loads(line)
            values = {name: str(entry[name]) for name in ("by", "name", "class", "label")}
            found.append({**values, "made": bool(entry["made"]), "real": bool(entry["real"])})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise journal.damaged(path, number, error) from error
    return found


def blind_figures(batch: Run) -> dict[str, Any] | None:
    """What came of the blind tests on a batch: by person, and how far people agree; None without an answer."""
    answers = read_answers(batch.path / FOLDER / FILE)
    return summary(answers) if answers else None


def summary(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares with Wilson's intervals by person, and Cohen's kappa of each two people's "real or made"."""
    people = sorted({answer["by"] for answer in answers})
    said = {by: {a["name"]: a for a in answers if a["by"] == by} for by in people}
    agreement = []
    for one, other in combinations(people, 2):
        both = sorted(said[one].keys() & said[other].keys())
        if both:
            first, second = (["real" if said[by][name]["real"] else "made" for name in both] for by in (one, other))
            agreement.append({"reviewers": [one, other], **vars(cohen_kappa(first, second))})
    return {"people": {by: _of_person(list(said[by].values())) for by in people}, "agreement": agreement}


def _of_person(answers: list[dict[str, Any]]) -> dict[str, Any]:
    real, made = [a for a in answers if not a["made"]], [a for a in answers if a["made"]]

    def part(chosen: list[dict[str, Any]], hits: int) -> dict[str, Any] | None:
        return share(hits, len(chosen)) if chosen else None

    return {
        "told_apart": part(answers, sum(a["real"] != a["made"] for a in answers)),
        "made_taken_for_real": part(made, sum(a["real"] for a in made)),
        "expression_of_real": part(real, sum(a["label"] == a["class"] for a in real)),
        "expression_of_made": part(made, sum(a["label"] == a["class"] for a in made)),
    }


def blind_lines(figures: dict[str, Any]) -> list[str]:
    """The outcome in words."""

    def said(part: dict[str, Any]) -> str:
        return f"{part['share']:.1%} ({part['low']:.1%} to {part['high']:.1%}) of {part['of']}"

    lines = []
    for by, found in figures["people"].items():
        lines.append(f"{by} told real from made: {said(found['told_apart'])}; half is what guessing brings")
        for name, words in (
            ("made_taken_for_real", "made faces taken for real"),
            ("expression_of_real", "expression of real faces named"),
            ("expression_of_made", "expression of made faces named"),
        ):
            if found[name]:
                lines.append(f"  {words}: {said(found[name])}")
    return lines


def _items(batch: Run, data: Run, faces: int) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    images = read_set(data.path)
    labels_run = newest_labels(batch)
    assert labels_run is not None
    labels, made = read_labels(labels_run, images.class_names), read_batch(batch)
    rng = stream(faces, "blind")
    real = np.flatnonzero((images.split == "val") & (images.source == "real") & (images.labels >= 0))
    kept = np.flatnonzero(labels.kept)
    chosen_made, chosen_real = _alike(labels.predicted[kept], images.labels[real], faces // 2, rng)
    if len(chosen_made) < FEWEST:
        raise DataError(
            f"A blind test needs {FEWEST} kept faces and {FEWEST} validation images of the same classes; "
            f"there are {len(chosen_made)} such pairs.",
            "Generate and label more faces: ganfer generate, ganfer label.",
        )
    kept, real = kept[chosen_made], real[chosen_real]
    pixels = made.images(kept)
    if pixels.shape[1:] != images.images.shape[1:]:
        raise DataError(
            f"{batch.name} holds images of shape {pixels.shape[1:]}, the data {images.images.shape[1:]}: that alone "
            "tells them apart.",
            "Generate with a GAN trained on this data.",
        )
    names = images.class_names
    items = [Item(made.file_names[i], True, names[labels.predicted[i]], p) for i, p in zip(kept, pixels, strict=True)]
    items += [Item(f"val:{images.ids[i]}", False, names[images.labels[i]], np.asarray(images.images[i])) for i in real]
    return names, tuple(items)


def _alike(one: np.ndarray, other: np.ndarray, most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places in two label arrays, equally many of each class, `most` at most, spread evenly over the classes."""
    pools = []
    for k in np.intersect1d(one, other).tolist():
        a, b = rng.permutation(np.flatnonzero(one == k)), rng.permutation(np.flatnonzero(other == k))
        pools += [(turn, k, int(i), int(j)) for turn, (i, j) in enumerate(zip(a, b, strict=False))]
    chosen = sorted(pools)[:most]
    return np.array([i for _, _, i, _ in chosen], np.int64), np.array([j for _, _, _, j in chosen], np.int64)
