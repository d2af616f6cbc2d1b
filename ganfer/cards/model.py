"""The card of a classifier or a generator: what it learned from, how good it was where, what it is for and what not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganfer.cards.dataset import CARD
from ganfer.cards.markdown import code, front_matter, plain, public, public_tree, table
from ganfer.runtime.files import write_text
from ganfer.version import __version__

_CLASSIFIER_NOT_FOR = (
    "decisions about a person: hiring, schooling, policing, border control, credit, insurance, health",
    "inferring what somebody feels: it names what a face shows, as annotators saw it, and is often wrong",
    "emotion recognition at work or in education: Art. 5(1)(f) of the EU AI Act, but for medical or safety reasons",
)
_GENERATOR_NOT_FOR = (
    "passing its faces off as photographs: Art. 50(2) of the EU AI Act asks for a machine-readable mark, which "
    "`ganfer generate` writes into each",
    "validation or test: a figure measured on synthetic images says nothing of real faces",
    "faces of certain persons, and anything that harms or deceives people",
)


@dataclass(frozen=True)
class Measure:
    """A figure with its 95% interval. kind: the Hub's name for it; split: where it was measured."""

    kind: str
    name: str
    value: float
    low: float | None = None
    high: float | None = None
    split: str = "validation"


@dataclass(frozen=True)
class ModelFacts:
    """What a card says.

    task: image-classification or unconditional-image-generation. data: name of the images it learned from. counts:
    class -> training images. use: lines of Python. made: (what, value) in order. results: those that were measured.
    """

    name: str
    task: str
    summary: str
    class_names: Sequence[str]
    data: str
    counts: Mapping[str, int]
    results: Sequence[Measure]
    use: Sequence[str]
    made: Sequence[tuple[str, object]]
    library: str = "ganfer"
    licence: str = "unknown"
    notes: Sequence[str] = ()
    not_for: Sequence[str] = ()
    synthetic: bool = False


def write_model_card(folder: Path, facts: ModelFacts) -> None:
    """Write README.md beside the weights."""
    write_text(folder / CARD, model_card(facts))


def model_card(facts: ModelFacts) -> str:
    """README.md, with the front matter that the Hub reads: tags, metrics, and results with their intervals."""
    return front_matter(_front(facts)) + "\n".join(_body(facts)) + "\n"


def _front(facts: ModelFacts) -> dict[str, Any]:
    return {
        "license": facts.licence,
        "library_name": facts.library,
        "pipeline_tag": facts.task,
        "tags": ["facial-expression-recognition", "ganfer", *(["synthetic-data"] if facts.synthetic else [])],
        "metrics": list(dict.fromkeys(measure.kind for measure in facts.results)),
        "model-index": [{"name": public(facts.name), "results": _index(facts)}] if facts.results else None,
    }


def _index(facts: ModelFacts) -> list[dict[str, Any]]:
    """A result per split, as Papers with Code had them."""
    found = []
    for split in dict.fromkeys(measure.split for measure in facts.results):
        metrics: list[dict[str, Any]] = [
            {"type": each.kind, "name": each.name, "value": round(each.value, 6), **_interval(each)}
            for each in facts.results
            if each.split == split
        ]
        dataset = {"type": "image", "name": public(facts.data) or "unknown", "split": split}
        found.append({"task": {"type": facts.task}, "dataset": dataset, "metrics": metrics})
    return found


def _interval(each: Measure) -> dict[str, Any]:
    if each.low is None or each.high is None:
        return {}
    return {"args": {"confidence_level": 0.95, "low": round(each.low, 6), "high": round(each.high, 6)}}


def _body(facts: ModelFacts) -> list[str]:
    lines = [
        "",
        f"# {plain(public(facts.name))}",
        "",
        plain(public(facts.summary)),
        "",
        "```python",
        *facts.use,
        "```",
        "",
    ]
    if facts.results:
        rows = [
            [
                each.name,
                each.split,
                f"{each.value:.4f}",
                "" if each.low is None else f"{each.low:.4f} to {each.high:.4f}",
            ]
            for each in facts.results
        ]
        lines += ["## How good it is", "", *table(["figure", "measured on", "value", "95% interval"], rows), ""]
    lines += ["## What it learned from", "", f"{plain(public(facts.data) or 'unknown data')}.", ""]
    if facts.counts:
        lines += [*table(["class", "training images"], [(name, f"{n:,}") for name, n in facts.counts.items()]), ""]
    made = [(what, public_tree(value)) for what, value in facts.made if value not in (None, "", {})]
    lines += ["## How it was made", "", *(f"- {plain(what)}: {code(value)}" for what, value in made), ""]
    standard = _CLASSIFIER_NOT_FOR if facts.task == "image-classification" else _GENERATOR_NOT_FOR
    lines += ["## Not for", "", *(f"- {plain(use)}" for use in (facts.not_for or standard)), ""]
    if facts.notes:
        lines += ["## Limits", "", *(f"- {plain(public(note))}" for note in facts.notes), ""]
    licence = (
        "None was stated: the weights come with the terms of the images that they were trained on."
        if facts.licence == "unknown"
        else f"{plain(facts.licence)}."
    )
    return [*lines, "## Licence", "", licence, "", f"Written by ganfer {__version__}."]
