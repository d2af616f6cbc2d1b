"""What a person's decisions change for training: which faces of a batch count as kept, and under which label."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.errors import DataError
from ganfer.generate.batch import read_batch
from ganfer.label.labels import KEPT, Labels, read_labels
from ganfer.review.blind import blind_figures, blind_lines
from ganfer.review.decisions import Decision, Log, decisions_digest, log_of
from ganfer.statistics.agreement import cohen_kappa
from ganfer.workspace import Run

REJECTED = "rejected by a person"


def decided(labels: Labels, batch: Run) -> Labels:
    """The labels after people's decisions on the batch, which outweigh the screen; the same where there are none.

    A kept face has the person's label; where that is not the labeller's, its probabilities become one-hot.
    """
    state = log_of(batch.path).state()
    if not state:
        return labels
    predicted, probabilities = labels.predicted.copy(), labels.probabilities.copy()
    reason = labels.reason.astype(object)  # of any length
    for i, decision in _by_index(labels, batch, state).items():
        reason[i] = KEPT if decision.keep else REJECTED
        if decision.keep and labels.class_names[predicted[i]] != decision.label:
            predicted[i] = labels.class_names.index(decision.label)
            probabilities[i] = np.eye(len(labels.class_names), dtype=np.float32)[predicted[i]]
    return dataclasses.replace(labels, predicted=predicted, probabilities=probabilities, reason=reason.astype(np.str_))


def decisions_input(batch: Run) -> dict[str, str]:
    """What an experiment's key says of people's decisions on its faces: nothing where there are none."""
    digest = decisions_digest(batch.path)
    return {"decisions": digest} if digest else {}


def review_figures(labels: Labels, batch: Run) -> dict[str, Any] | None:
    """What people decided on a batch, kept apart from what the screen did; None where nobody decided anything.

    labels: the screen's own. Counts of faces: decided, added (rejected by the screen, kept by a person), by the
    screen's reason; removed (the other way round); relabelled; confirmed; and how far each two people agree.
    """
    log = log_of(batch.path)
    state = log.state()
    if not state:
        return None
    counts = {"decided": 0, "added": 0, "removed": 0, "relabelled": 0, "confirmed": 0}
    added: dict[str, int] = {}
    for i, decision in _by_index(labels, batch, state).items():
        was, own = bool(labels.kept[i]), labels.class_names[labels.predicted[i]]
        counts["decided"] += 1
        if decision.keep and not was:
            counts["added"] += 1
            added[str(labels.reason[i])] = added.get(str(labels.reason[i]), 0) + 1
        elif was and not decision.keep:
            counts["removed"] += 1
        if decision.keep and decision.label != own:
            counts["relabelled"] += 1
        elif decision.keep == was:
            counts["confirmed"] += 1
    return {**counts, "added_by_reason": added, "reviewers": by_reviewer(log), "agreement": agreements(log)}


def people_said(batch: Run, labels_run: Run, class_names: Sequence[str]) -> dict[str, Any]:
    """What a report says of people: their decisions ("review") and blind tests ("blind_test"), where there are any."""
    review = review_figures(read_labels(labels_run, class_names), batch)
    blind = blind_figures(batch)
    return {**({"review": review} if review else {}), **({"blind_test": blind} if blind else {})}


def people_notes(said: Mapping[str, Any]) -> list[str]:
    """What `people_said` found, as sentences of a report."""
    notes = []
    if review := said.get("review"):
        who = ", ".join(f"{name} ({count:,})" for name, count in review["reviewers"].items())
        notes.append(
            f"A person decided on {review['decided']:,} of the faces ({who}): {review['added']:,} that the screen had "
            f"rejected were added, {review['removed']:,} that it had kept were removed, {review['relabelled']:,} got "
            "another label."
        )
        notes += [f"{line}." for line in agreement_lines(review["agreement"])]
    if blind := said.get("blind_test"):
        notes.append("Blind test, real or made: " + "; ".join(line.strip() for line in blind_lines(blind)) + ".")
    return notes


def by_reviewer(log: Log) -> dict[str, int]:
    """On how many images each person decided."""
    return {name: len(log.state(name)) for name in log.reviewers}


def agreements(log: Log) -> list[dict[str, Any]]:
    """Of each two people how far they agree on what both decided, with Cohen's kappa and its interval."""
    said = {name: log.state(name) for name in log.reviewers}
    found = []
    for one, other in combinations(said, 2):
        both = sorted(said[one].keys() & said[other].keys())
        if both:
            first, second = ([said[name][image].word for image in both] for name in (one, other))
            found.append({"reviewers": [one, other], **dataclasses.asdict(cohen_kappa(first, second))})
    return found


def agreement_lines(figures: list[dict[str, Any]]) -> list[str]:
    """The agreement of each two people in words."""
    lines = []
    for pair in figures:
        words = f"{' and '.join(pair['reviewers'])} agree on {pair['agreement']:.1%} of the {pair['n']:,} both decided"
        if pair["kappa"] is not None:
            words += f" (Cohen's kappa {pair['kappa']:.2f}, {pair['low']:.2f} to {pair['high']:.2f})"
        lines.append(words)
    return lines


def _by_index(labels: Labels, batch: Run, state: dict[str, Decision]) -> dict[int, Decision]:
    """The decisions by the face's place in the batch. DataError for a face or a class that is not there."""
    place = {name: i for i, name in enumerate(read_batch(batch).file_names)}
    found = {}
    for name, decision in state.items():
        checked(name, decision, place, labels.class_names, log_of(batch.path).path)
        found[place[name]] = decision
    return found


def checked(name: str, decision: Decision, names: object, class_names: tuple[str, ...], where: Path) -> None:
    """DataError for a decision on an image or a class that is not there."""
    if name not in names:  # type: ignore[operator]
        raise DataError(f"{where} decides on {name!r}, which is not there.", "Remove that line from it.")
    if decision.keep and decision.label not in class_names:
        raise DataError(
            f"{where} labels {name!r} {decision.label!r}; the classes are {', '.join(class_names)}.",
            "Decide on that face again.",
        )
