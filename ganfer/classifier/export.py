"""A classifier as ONNX with a card beside it, checked against torch before it appears."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import ExportResult, export_onnx
from classifiers.export import TOLERANCE
from ganfer.cards.model import Measure, ModelFacts, write_model_card
from ganfer.classifier.catalogue import ServedModel
from ganfer.classifier.model_card import classifier_facts, measures, validation_estimates
from ganfer.classifier.opened import Opened, open_found
from ganfer.config import Config
from ganfer.data.imageset import read_set
from ganfer.errors import GanferError
from ganfer.results import Result
from ganfer.runtime.files import atomic_path, check_writable, digest_of, write_json
from ganfer.runtime.room import need_room
from ganfer.version import __version__
from ganfer.workspace import Run, Workspace

MODEL, CARD = "model.onnx", "card.json"
_CHECKED = 64  # real images that the check adds to noise


def export(
    workspace: Workspace, config: Config, classifier: ServedModel | Path, data: Run | None, out: Path | None = None
) -> Result:
    """Write `exports/<run>/model.onnx` and card.json, and copies as `out` and `out`.json when it is given.

    Real validation images of the active data, where they fit, and noise must give the same probabilities in ONNX
    Runtime and torch. ClassifierError when they don't; GanferError for an `out` that exists as something else.
    """
    check_name(out)
    chosen = open_found(classifier, config.device)
    images = _real_images(chosen, data)
    key = {"config": {"format": 1}, "inputs": {"classifier": chosen.classifier.digest}}
    run = workspace.run("exports", chosen.name, key)
    if out is not None and out.exists() and not (run.complete and digest_of(out) == run.digest):
        raise GanferError(f"{out} exists already.", "Remove it or give another name.")
    with run.work("export") as record:
        if record.get("status") != "complete" or not (run.path / MODEL).is_file():
            _need_room(chosen, run.path, out)
            exported = export_onnx(chosen.classifier, run.path / MODEL, images)
            digest = digest_of(run.path / MODEL)
            card = _card(chosen, exported, digest)
            write_json(run.path / CARD, card)
            write_model_card(run.path, _model_facts(chosen, data))
            run.finish(digest=digest, figures=card, device=str(chosen.classifier.device))
        if out is not None:
            _copy(run, out)
    return _result(run, out)


def check_name(out: Path | None, *, is_new: bool = False) -> None:
    """GanferError where `out` is no name for an ONNX file, or no file can be written; None is the workspace's own.

    is_new: the classifier is yet to be trained, so that a file that is there is another's.
    """
    if out is not None and (out.suffix != ".onnx" or out.is_dir()):
        raise GanferError(f"{out} is no name for an ONNX file.", "Give a file name that ends in .onnx.")
    if out is None:
        return
    check_writable(out.parent, str(out))
    if is_new and out.exists():
        raise GanferError(f"{out} exists already.", "Remove it or give another name.")
    if not _is_card(beside := out.with_suffix(".json")):
        raise GanferError(f"{beside}, where the card belongs, exists and is none of ganfer's.", "Give another name.")


def _real_images(chosen: Opened, data: Run | None) -> np.ndarray | None:
    """Some validation images of the active data, if they fit the classifier."""
    if data is None:
        return None
    images = read_set(data.path)
    if (images.size, images.channels) != (chosen.classifier.size, chosen.classifier.channels):
        return None
    return np.asarray(images.select(np.flatnonzero(images.split == "val")[:_CHECKED]).images)


def _card(chosen: Opened, exported: ExportResult, digest: str) -> dict[str, Any]:
    """What a user of the file must know: input, output, classes, what it was trained on and how good it was."""
    classifier = chosen.classifier
    made = (
        "architecture",
        "parameters",
        "normalisation",
        "temperature",
        "seed",
        "train_counts",
        "validation",
        "versions",
    )
    return {
        "format": "onnx",
        "ganfer": __version__,
        "file": MODEL,
        "sha256": digest,
        "bytes": exported.num_bytes,
        "input": {
            "name": "images",
            "type": "uint8",
            "shape": ["N", classifier.channels, classifier.size, classifier.size],
            "range": "0 to 255, square face crops; normalisation is inside the model",
        },
        "output": {"name": "probabilities", "type": "float32", "shape": ["N", len(classifier.class_names)]},
        "class_names": classifier.class_names,
        "check": {
            "against": "torch",
            "images": exported.num_images,
            "largest_difference": exported.largest_difference,
            "allowed": TOLERANCE,
        },
        "classifier": {
            "name": chosen.name,
            "sha256": classifier.digest,
            **{name: classifier.card[name] for name in made if name in classifier.card},
        },
    }


def _model_facts(chosen: Opened, data: Run | None) -> ModelFacts:
    """What the model card says of the exported classifier."""
    card = chosen.classifier.card
    known = data is not None and data.digest == chosen.data_digest
    results: list[Measure] = []
    if (card.get("validation") or {}).get("confusion"):
        table = validation_estimates(card["validation"], chosen.classifier.class_names, int(card.get("seed") or 0))
        results = measures(table, "validation")
    full = {**card, "class_names": chosen.classifier.class_names}
    return classifier_facts(chosen.name, full, data.name if data is not None and known else "", results, onnx=True)


def _is_card(path: Path) -> bool:
    """Whether a card may be written there: nothing is there yet, or an export's card."""
    if not path.exists():
        return True
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("format") == "onnx" and "ganfer" in found


def _need_room(chosen: Opened, folder: Path, out: Path | None) -> None:
    """GanferError where the disk cannot hold the model's numbers, and its copy."""
    size = 4 * sum(parameter.numel() for parameter in chosen.classifier.model.parameters())
    for place in (folder, out.parent if out else None):
        if place is not None:
            need_room(place, size, f"{chosen.name} as ONNX", "Free space; the same command goes on from here.")


def _copy(run: Run, out: Path) -> None:
    """The finished files under the user's name; through a temporary name, as everything that is written."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for source, target in ((run.path / CARD, out.with_suffix(".json")), (run.path / MODEL, out)):
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)


def _result(run: Run, out: Path | None) -> Result:
    figures = run.figures
    check, where = figures["check"], out or run.path / MODEL
    card = out.with_suffix(".json") if out else run.path / CARD
    lines = [
        f"{where} ({figures['bytes'] / 2**20:.1f} MB), card in {card}",
        f"images uint8 {tuple(figures['input']['shape'])} -> probabilities of {', '.join(figures['class_names'])}",
        f"ONNX Runtime and torch differ by at most {check['largest_difference']:.1e} over {check['images']} images "
        f"(allowed: {check['allowed']:g})",
    ]
    return Result("ganfer export", where.parent, {**figures, "file": str(where)}, lines)
