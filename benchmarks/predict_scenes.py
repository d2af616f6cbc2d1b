"""Detector and classifier together on drawn scenes whose faces are known: found, and read as well as ready crops?

    python benchmarks/predict_scenes.py WORKSPACE --detector-model FILE [--faces 70] [--sizes 48 96] [--tilts 0 30]

WORKSPACE holds the drawn faces and a classifier trained on them. Each face, of people and seeds outside that data, is
put into a 1280 x 720 scene at every size and tilt, and its head is cut out by `predict`; beside that, the same face is
drawn as a ready crop, as the training images are. Writes benchmarks/results/predict_scenes.json;
rows that are there for the same classifier and number of faces are kept, so that it can be run in parts.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from gan_common import RESULTS, environment, save

from classifiers import load_classifier
from ganfer.data.drawn import Face, render, render_rgba
from ganfer.live.analyse import Analyser
from ganfer.live.detect import open_detector
from ganfer.workspace import Workspace

FIRST_SEED = 900_000_000
SIZES, TILTS = (48, 96, 200), (0, 30)
SCENE = (720, 1280)
DIFFICULTY = 0.5


def place(face: Face, side: int, tilt: float, rng: np.random.Generator) -> tuple[np.ndarray, tuple[float, float]]:
    """A scene with one head of `side` pixels, and where its middle is."""
    pose = dataclasses.replace(face.pose, roll=tilt)
    head = render_rgba(dataclasses.replace(face, pose=pose), max(64, side)).astype(np.float32)
    if side < 64:
        head = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
    scene = np.full((*SCENE, 3), rng.integers(60, 220, 3), np.float32)
    scene *= np.linspace(0.8, 1.2, SCENE[1])[None, :, None]
    x, y = int(rng.integers(0, SCENE[1] - side)), int(rng.integers(0, SCENE[0] - side))
    part, cover = scene[y : y + side, x : x + side], head[:, :, 3:] / 255
    part[:] = part * (1 - cover) + head[:, :, :3] * cover
    noisy = scene + rng.normal(0, 2, scene.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), (x + 0.5 * side, y + 0.53 * side)


def away(box: tuple[float, float, float, float], middle: tuple[float, float]) -> float:
    """Pixels from the middle of a box to where a face is."""
    return float(np.hypot(box[0] + box[2] / 2 - middle[0], box[1] + box[3] / 2 - middle[1]))


def interval(hits: np.ndarray) -> list[float]:
    """Accuracy with a bootstrap interval of 95%."""
    rng = np.random.default_rng(0)
    means = rng.choice(hits, (2000, len(hits))).mean(axis=1)
    return [round(float(v), 4) for v in (hits.mean(), *np.quantile(means, (0.025, 0.975)))]


def earlier(classifier: str, faces: int) -> list[dict[str, Any]]:
    """Rows of an earlier part of the same measurement."""
    path = RESULTS / "predict_scenes.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    same = (found.get("classifier"), found.get("faces_of_each_kind")) == (classifier, faces)
    return list(found["scenes"]) if same else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--detector-model", type=Path)
    parser.add_argument("--faces", type=int, default=70, help="of each size and tilt")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of the head, pixels")
    parser.add_argument("--tilts", type=int, nargs="+", default=TILTS, help="degrees, to either side")
    parser.add_argument("--tilted", action="store_true", help="search turned copies too, as predict does in photos")
    options = parser.parse_args()
    run = Workspace(options.workspace).latest("classifiers")
    assert run is not None, "train a classifier there first"
    classifier = load_classifier(run.path, "cpu")
    names = list(classifier.class_names)
    analyser = Analyser(classifier, open_detector(model=options.detector_model, tilted=options.tilted))
    machine = environment("cpu")
    faces = [Face.sample(FIRST_SEED + i, names[i % len(names)], difficulty=DIFFICULTY) for i in range(options.faces)]
    truth = [face.expression for face in faces]
    ready = np.stack([render(face, classifier.size, classifier.channels) for face in faces])
    guessed = [names[k] for k in classifier.probabilities(ready).argmax(axis=1)]
    crops = interval(np.array([a == b for a, b in zip(guessed, truth, strict=True)]))
    rows = earlier(run.name, options.faces)
    for side in options.sizes:
        for tilt in options.tilts:
            kind = {"head_pixels": side, "tilt_degrees": tilt, "turned_copies_searched": options.tilted}
            if any(kind.items() <= row.items() for row in rows):
                continue
            rng = np.random.default_rng(side * 100 + tilt)
            found, right, false = [], [], 0
            for face in faces:
                scene, middle = place(face, side, tilt * (1 if rng.random() < 0.5 else -1), rng)
                (results,) = analyser.analyse([scene])
                near = [one for one in results if away(one.box, middle) < side / 5]
                false += len(results) - len(near)
                found.append(bool(near))
                if near:
                    right.append(near[0].label == face.expression)
            rows.append(
                {
                    **kind,
                    "found": interval(np.array(found)),
                    "expression_right_where_found": interval(np.array(right)) if right else None,
                    "false_faces": false,
                }
            )
            print(rows[-1], flush=True)
    save(
        "predict_scenes",
        {
            "what": f"drawn faces of difficulty {DIFFICULTY} in 1280 x 720 scenes; value, 95% interval",
            "faces_of_each_kind": options.faces,
            "classifier": run.name,
            "validation": run.figures.get("validation"),
            "ready_crops_of_the_same_faces": crops,
            "scenes": sorted(
                rows, key=lambda row: (row["turned_copies_searched"], row["head_pixels"], row["tilt_degrees"])
            ),
            "opencv": cv2.__version__,
            **machine,
        },
    )


if __name__ == "__main__":
    main()
