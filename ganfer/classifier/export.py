"""A classifier as ONNX with a card beside it, checked against torch before it appears."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import ExportResult, export_onnx
from classifiers.export import TOLERANCE
from ganfer.classifier.catalogue import ServedModel
from ganfer.classifier.opened import Opened, open_found
from ganfer.config import Config
from ganfer.data.imageset import read_set
from ganfer.errors import GanferError
from ganfer.results import Result
from ganfer.runtime.files import atomic_path, digest_of, write_json
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
    if out is not None and not _is_card(beside := out.with_suffix(".json")):
        raise GanferError(f"{beside}, where the card belongs, exists and is none of ganfer's.", "Give another name.")
    with run.work("export") as record:
        if record.get("status") != "complete" or not (run.path / MODEL).is_file():
            exported = export_onnx(chosen.classifier, run.path / MODEL, images)
            digest = digest_of(run.path / MODEL)
            card = _card(chosen, exported, digest)
            write_json(run.path / CARD, card)
            run.finish(digest=digest, figures=card, device=str(chosen.classifier.device))
        if out is not None:
            _copy(run, out)
    return _result(run, out)


def check_name(out: Path | None) -> None:
    """GanferError where `out` is no name for an ONNX file; None is the workspace's own."""
    if out is not None and (out.suffix != ".onnx" or out.is_dir()):
        raise GanferError(f"{out} is no name for an ONNX file.", "Give a file name that ends in .onnx.")


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


def _is_card(path: Path) -> bool:
    """Whether a card may be written there: nothing is there yet, or an export's card."""
    if not path.exists():
        return True
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("format") == "onnx" and "ganfer" in found


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
