"""The classifier that comes with ganfer, made from a finished training: float16 weights and the card beside them.

    ganfer data add fer2013.tar.xz -w W
    ganfer train classifier --config fer2013-compact-cpu --set classifier.epochs=30 -w W
    ganfer evaluate --tta flip -w W
    python benchmarks/starter.py W [--out ganfer/classifier/starter]

The figures of the test split are those that the recorded evaluation measured, once, with the weights as they were
trained; this script looks at validation only: do the float16 weights say the same, and which confidence a label needs.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gan_common import environment

from classifiers import Classifier, load_classifier
from classifiers import evaluate as classifier_figures
from classifiers.files import read_weights, save_weights
from ganfer.classifier.starter import CARD, FILE, NAME
from ganfer.classifier.train import real_only
from ganfer.config import LabelConfig
from ganfer.data.imageset import ImageSet, read_set
from ganfer.label.criteria import classwise_thresholds
from ganfer.page.node import read_results
from ganfer.runtime.files import digest_of, write_json
from ganfer.workspace import Run, Workspace

LARGEST = 4_000_000  # bytes
DIFFERENCE = 0.01  # of any probability between both; so only near ties may get another answer
AGREE = 0.995  # of the validation images get the same answer from both
_RECALLED = ("recall", "precision", "f1")

WORDS = {
    "licence": (
        "The weights are ganfer's, under its MIT licence. FER2013 (Goodfellow et al. 2013) was gathered by an image "
        "search and published for a competition without a licence of its own; its publishers hold no rights in the "
        "pictures, and uses of it other than research are for the user to judge. No picture of it is in this package."
    ),
    "intended_use": (
        "A first look: reading posed and clear expressions in photographs and videos before one has trained a "
        "classifier on data of one's own, and trying ganfer's commands."
    ),
    "not_for": [
        "decisions about a person: hiring, schooling, policing, border control, credit, insurance, health",
        "inferring what somebody feels: it names what a face shows, as annotators saw it, and is often wrong",
        "emotion recognition at work or in education: Art. 5(1)(f) of the EU AI Act, but for medical or safety reasons",
        "comparing groups of people: its errors by age, gender and skin colour have not been measured",
        "labelling or screening the data of an experiment, which ganfer refuses",
    ],
    "limits": (
        "FER2013's labels are noisy: people agree with them in about 65% of cases (Goodfellow et al. 2013). Its faces "
        "are 48 x 48 grey crops found by a search engine, mostly frontal and of adults. Disgust and fear are "
        "often missed."
    ),
}  # fmt: skip


def main() -> None:
    """Make the file and its card; stop where float16 would change what the classifier says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--run", help="the classifier  [default: the newest]")
    parser.add_argument("--data-name", default="FER2013", help="what the card calls the data  [default: FER2013]")
    parser.add_argument("--out", type=Path, default=FILE.parent)
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    run = workspace.find("classifiers", options.run) if options.run else workspace.latest("classifiers")
    if run is None:
        raise SystemExit(f"{workspace.root} holds no finished classifier")
    print(json.dumps(make(workspace, run, options.out, options.data_name)["float16"]))


def make(workspace: Workspace, run: Run, out: Path, data_name: str) -> dict[str, Any]:
    """Write the weights and the card of a run into `out`; returns the card."""
    data = next(each for each in workspace.runs("data") if each.digest == run.record["key"]["inputs"]["data"])
    evaluation = evaluated(workspace, run)
    tensors, trained = read_weights(run.path / FILE.name)
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    if wrong := [name for name, tensor in half.items() if not torch.isfinite(tensor).all()]:
        raise SystemExit(f"{', '.join(wrong)} cannot be told in float16")
    out.mkdir(parents=True, exist_ok=True)
    file = out / FILE.name
    kept = {key: value for key, value in trained.items() if key != "history"}
    save_weights(file, half, {**kept, "name": NAME, "stored_as": "float16"})
    images = read_set(data.path)
    checked = compared(load_classifier(run.path, "cpu"), load_classifier(file, "cpu"), real_only(images, "val"))
    unlike = checked["agree"] < AGREE or checked["largest_difference"] > DIFFERENCE
    if unlike or file.stat().st_size > LARGEST:
        raise SystemExit(f"{file} is not good enough: {checked}, {file.stat().st_size:,} bytes")
    card = {
        "name": NAME,
        "architecture": trained["architecture"],
        "parameters": trained["parameters"],
        "class_names": list(trained["class_names"]),
        "input": {"size": trained["size"], "channels": trained["channels"], "range": "0 to 255, square face crops"},
        "bytes": file.stat().st_size,
        "sha256": digest_of(file),
        "trained_on": {
            "data": data_name, "digest": data.digest, "images": images.counts("train"),
            "validation": images.counts("val"), "steps": trained["steps"], "seed": trained["seed"],
        },
        "figures": figures_of(evaluation, data_name),
        "validation": checked.pop("figures"),
        "float16": checked,
        "thresholds": thresholds(load_classifier(file, "cpu"), real_only(images, "val")),
        **WORDS,
        "made": {
            "command": run.record["command"].partition(" -w ")[0],
            "seconds": run.record["seconds"], "machine": run.record["machine"],
            "versions": run.record["versions"], "card_on": environment(),
        },
    }  # fmt: skip
    write_json(out / CARD.name, card)
    return card


def evaluated(workspace: Workspace, run: Run) -> dict[str, Any]:
    """The results of the newest evaluation of this classifier on the test split of its data."""
    for each in reversed(workspace.runs("evaluations")):
        inputs = each.record.get("key", {}).get("inputs", {})
        if each.complete and inputs.get("classifiers") == [run.digest]:
            results: dict[str, Any] = read_results(each.path)
            if results["data"]["name"].endswith(", test split"):
                return results
    raise SystemExit(f"{run.name} was not evaluated: ganfer evaluate --tta flip -w {workspace.root}")


def figures_of(results: dict[str, Any], data_name: str) -> dict[str, Any]:
    """What the card says of the test split: overall and per class, with 95% intervals."""

    def plain(found: dict[str, float]) -> dict[str, Any]:
        return {"value": round(found["mean"], 4), "interval": [round(found["low"], 4), round(found["high"], 4)]}

    overall = {name: plain(found) for name, found in results["figures"].items() if name != "f_beta"}
    per_class = {
        name: {
            **{figure: round(row[figure]["mean"], 4) for figure in _RECALLED if row[figure]},
            "recall_interval": plain(row["recall"])["interval"] if row["recall"] else None,
            "images": row["support"],
        }
        for name, row in results["per_class"].items()
    }
    return {
        "split": f"{data_name}'s public test", "images": results["data"]["images"], "tta": results["settings"]["tta"],
        **{name: each["value"] for name, each in overall.items()},
        "intervals": {name: each["interval"] for name, each in overall.items()},
        "ece": round(results["ece"], 4), "per_class": per_class,
    }  # fmt: skip


def compared(full: Classifier, half: Classifier, val: ImageSet) -> dict[str, Any]:
    """Whether both say the same of the validation images, and the figures of the float16 one there."""
    images, labels = np.asarray(val.images), val.labels
    before, after = full.probabilities(images), half.probabilities(images)
    same, best = before.argmax(1) == after.argmax(1), np.sort(before, axis=1)[:, -2:]
    figures = {}
    for tta in ("none", "flip"):
        found = classifier_figures(half.probabilities(images, tta=tta), labels, val.class_names)  # type: ignore[arg-type]
        figures[tta] = {
            name: round(getattr(found, name), 4) for name in ("accuracy", "balanced_accuracy", "macro_f1", "ece")
        }
    return {
        "images": len(val),
        "agree": float(np.mean(same)),
        "other_answers": int(np.sum(~same)),
        "largest_lead_of_a_changed_answer": float((best[:, 1] - best[:, 0])[~same].max(initial=0.0)),
        "largest_difference": float(np.abs(before - after).max()),
        "accuracy_before": float(np.mean(before.argmax(1) == labels)),
        "accuracy_after": float(np.mean(after.argmax(1) == labels)),
        "figures": figures,
    }


def thresholds(classifier: Classifier, val: ImageSet) -> dict[str, Any]:
    """The confidence a label needs, per class: the one that maximises F-beta on validation."""
    beta = LabelConfig().beta
    found = classwise_thresholds(classifier.probabilities(np.asarray(val.images)), val.labels, beta)
    return {"beta": beta, "confidence": dict(zip(val.class_names, np.round(found, 4).tolist(), strict=True))}


if __name__ == "__main__":
    main()
