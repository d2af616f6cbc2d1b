"""Why a classifier says what it says of an image: Grad-CAM, the class scores and what its first layer sees."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import Explanation
from classifiers import explain as explain_image
from classifiers.explanation import require_class
from classifiers.plots import heat_overlay, plot_explanation, strongest_maps
from ganfer.classifier.catalogue import ServedModel
from ganfer.classifier.explain_page import explanation_page
from ganfer.classifier.opened import Opened, open_found, target_of
from ganfer.config import Config
from ganfer.data.decode import Task, decode_chunk
from ganfer.data.provenance import png_base64
from ganfer.errors import DataError
from ganfer.page.node import read_results
from ganfer.results import Result, table
from ganfer.runtime.console import progress, say
from ganfer.runtime.files import digest_of, write_json, write_text
from ganfer.workspace import Run, Workspace

FORMAT = 1


def explain(
    workspace: Workspace,
    config: Config,
    classifier: ServedModel | Path,
    images: Sequence[Path],
    target: str | None = None,
) -> Result:
    """Explain the prediction for every image file, or its evidence for the class `target`.

    Writes `explanations/<run>/` with a PNG per image and a page. DataError for a file that is no image;
    ClassifierError for a class the classifier doesn't know.
    """
    for path in images:
        if not path.is_file():
            raise DataError(f"{path} is not a file.", "Give image files, e.g. ganfer explain face.jpg.")
    chosen = open_found(classifier, config.device)
    if target is not None:
        require_class(chosen.classifier, target)
    decoded = [_decoded(path, chosen, config) for path in images]
    key = {
        "config": {"target": target},
        "inputs": {"classifier": chosen.classifier.digest, "images": [digest_of(path) for path in images]},
    }
    run = workspace.run("explanations", "explain", key)
    with run.work("explain") as record:
        if record.get("status") == "complete":
            say(f"{run.name} was already done.")
            return explanation_result(run)
        found = []
        with progress("explain", len(images)) as advance:
            for number, (path, pixels) in enumerate(zip(images, decoded, strict=True), 1):
                explanation = explain_image(chosen.classifier, pixels, target)
                picture = f"{number:02d}-{path.stem[:60]}.png"
                plot_explanation(pixels, explanation, run.path / picture)
                found.append(_explained(path, pixels, explanation, picture))
                advance(1)
        results = {
            "format": FORMAT,
            "title": f"What {chosen.name} looks at",
            "classifier": {"name": chosen.name, "digest": chosen.classifier.digest},
            "images": found,
            "run": {name: run.record.get(name, "") for name in ("command", "machine", "versions", "started")},
        }
        write_json(run.path / "results.json", results)
        write_text(run.path / "index.html", explanation_page(results))
        figures = {"images": [{k: v for k, v in each.items() if k != "pngs"} for each in found]}
        digest = digest_of(run.path / "results.json")
        run.finish(digest=digest, figures=figures, device=str(chosen.classifier.device))
    return explanation_result(run)


def _decoded(path: Path, chosen: Opened, config: Config) -> np.ndarray:
    """The image as the classifier takes it, (C, S, S) uint8."""
    result = decode_chunk([Task(path)], target_of(chosen.classifier, config.data.min_side))
    if result.reasons[0]:
        raise DataError(f"{path} cannot be explained ({result.reasons[0]}).", "Leave it out, or give another image.")
    return result.pixels[0]


def explanation_result(run: Run) -> Result:
    """What finished explanations say."""
    images = read_results(run.path)["images"]
    rows = []
    for each in images:
        ranked = sorted(each["probabilities"].items(), key=lambda item: -item[1])[:3]
        rows.append([each["file"], *(f"{name} {p:.0%}" for name, p in ranked), str(run.path / each["picture"])])
    width = max(len(row) for row in rows) - 2
    header = ["image", *("says", "then", "then")[:width], "picture"]
    notes = dict.fromkeys(note for each in images for note in each["notes"])
    page = run.path / "index.html"
    lines = [*table(header, rows, "<" * len(header)), *(f"Note: {note}" for note in notes), "", f"Page: {page}"]
    return Result("ganfer explain", run.path, {**run.figures, "page": str(page)}, lines)


def _explained(path: Path, pixels: np.ndarray, explanation: Explanation, picture: str) -> dict[str, Any]:
    maps = strongest_maps(explanation)
    return {
        "file": path.name,
        "picture": picture,
        "predicted": explanation.predicted,
        "target": explanation.target,
        "method": explanation.method,
        "probabilities": explanation.probabilities,
        "notes": explanation.notes,
        "pngs": {
            "image": png_base64(pixels),
            "heat": png_base64(heat_overlay(pixels, explanation.heat)),
            "maps": [png_base64(plane[None]) for plane in maps],
        },
    }
