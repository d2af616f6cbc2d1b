"""The card of a set of images: what is in it, what of it is synthetic, what it is for and what not."""

from pathlib import Path
from typing import Any

from ganfer.cards.croissant import croissant
from ganfer.cards.facts import NOT_FOR, DatasetFacts, description
from ganfer.cards.markdown import code, front_matter, plain, public, public_tree, table
from ganfer.runtime.files import digest_of, write_json, write_text
from ganfer.version import __version__

CARD, CROISSANT = "README.md", "croissant.json"
_MARK = (
    "Every generated PNG says that it is synthetic: text chunks `ganfer:*` name the generator's digest, the seed and "
    "the class, and XMP has the IPTC term `trainedAlgorithmicMedia` (the machine-readable mark that Art. 50(2) of the "
    "EU AI Act asks for). Keep them when you convert the images."
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_cards(folder: Path, facts: DatasetFacts) -> None:
    """Write README.md and croissant.json beside the images."""
    write_text(folder / CARD, dataset_card(facts))
    shards = {
        split: [(str(file.relative_to(folder)), digest_of(file)) for file in sorted(folder.glob(pattern))]
        for split, pattern in (facts.files.items() if facts.form == "webdataset" else ())
    }
    write_json(folder / CROISSANT, croissant(facts, shards))


def dataset_card(facts: DatasetFacts) -> str:
    """README.md, with the front matter that the Hub and `datasets.load_dataset` read."""
    return front_matter(_front(facts)) + "\n".join(_body(facts)) + "\n"


def _front(facts: DatasetFacts) -> dict[str, Any]:
    tags = ["facial-expression-recognition", "ganfer", *(["synthetic"] if facts.synthetic else [])]
    files = [{"split": split, "path": pattern} for split, pattern in facts.files.items()]
    return {
        "pretty_name": public(facts.title),
        "license": facts.licence,
        "task_categories": ["image-classification" if facts.class_names else "unconditional-image-generation"],
        "tags": tags,
        "size_categories": [next((word for limit, word in _SIZES if facts.total < limit), "1M<n<10M")],
        "configs": [{"config_name": "default", "data_files": files}] if facts.form != "png" else None,
    }


def _body(facts: DatasetFacts) -> list[str]:
    lines = ["", f"# {plain(public(facts.title))}", "", plain(description(facts)), ""]
    splits = list(facts.counts)
    rows = [
        [name, *(f"{facts.counts[split].get(name, 0):,}" for split in splits)]
        for name in dict.fromkeys(name for classes in facts.counts.values() for name in classes)
    ]
    rows = [[name or "(none asked for)", *rest] for name, *rest in rows]
    rows.append(["all", *(f"{sum(facts.counts[split].values()):,}" for split in splits)])
    lines += ["## What is in it", "", *table(["class", *splits], rows), ""]
    if facts.columns:
        lines += [*table(["column", "meaning"], list(facts.columns.items())), ""]
    lines += _reading(facts)
    lines += _how(facts)
    lines += ["## Use", "", *_uses(facts), "", "Not for:", "", *(f"- {plain(use)}" for use in NOT_FOR), ""]
    lines += ["## Limits", "", *(f"- {plain(public(note))}" for note in _limits(facts)), ""]
    lines += ["## Licence", "", _licence(facts), "", f"Written by ganfer {__version__}."]
    return lines


def _reading(facts: DatasetFacts) -> list[str]:
    call = {
        "parquet": 'load_dataset("parquet", data_files={...})',
        "webdataset": 'load_dataset("webdataset", data_files={...})',
        "png": 'load_dataset("imagefolder", data_dir=".")',
    }[facts.form]
    files = ", ".join(f"{split!r}: {pattern!r}" for split, pattern in facts.files.items())
    return ["```python", "from datasets import load_dataset", "", call.replace("{...}", f"{{{files}}}"), "```", ""]


def _how(facts: DatasetFacts) -> list[str]:
    if not facts.made:
        return []
    rows = [(what, public_tree(value)) for what, value in facts.made if value not in (None, "")]
    lines = ["## How it was made", "", *(f"- {plain(what)}: {code(value)}" for what, value in rows), ""]
    return [*lines, _MARK, ""] if facts.synthetic else lines


def _uses(facts: DatasetFacts) -> list[str]:
    if not facts.synthetic:
        return ["Training and judging classifiers of facial expressions, in research and for one's own data."]
    return [
        "Training a classifier of facial expressions together with real images, where some classes are rare; research",
        "on synthetic data. Measure on real images whether it helps: `ganfer retrain` compares with and without.",
    ]


def _limits(facts: DatasetFacts) -> list[str]:
    found = list(facts.notes)
    if facts.synthetic:
        found += [
            "The faces are no photographs of persons. A generator can repeat what it was trained on, above all of "
            "small classes; `ganfer quality` counts copies.",
            "They have the faults of the images that the generator learned from: who is on them, who is not, and who "
            "labelled them.",
            "The class is the one asked for, or what a classifier said; nobody need have looked at it.",
        ]
    if facts.total > facts.synthetic:
        found.append("Real faces are personal data: the people on them, and the law, decide who may have these images.")
    return found


def _licence(facts: DatasetFacts) -> str:
    if facts.licence != "unknown":
        return f"{plain(facts.licence)}, as whoever exported the images stated."
    return (
        "None was stated. The images, and a generator trained on images, have the terms of the images they come from: "
        "look them up before you pass anything on."
    )
