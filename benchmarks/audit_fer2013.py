"""How many of FER2013's training and validation labels `ganfer data audit` doubts, by how well the model knows faces.

    python benchmarks/audit_fer2013.py WORKSPACE --model compact-small --epochs 15 [--folds 3]

WORKSPACE holds FER2013 as its active set (ganfer data add fer2013.tar.xz). Each setting trains one model per fold (an
interrupted run goes on). Adds a row to benchmarks/results/audit_fer2013.json and writes `random-100.png`, a hundred of
the doubted drawn at random with seed 0, into the audit's folder, to be looked at; no picture leaves the workspace.

    python benchmarks/audit_fer2013.py WORKSPACE --model compact-small --epochs 8 --clean-arm 5

trains the arm `clean` of the experiment beside plain training with 5 seeds instead (WORKSPACE has a labelled batch,
which these arms do not use, and copies of validation and test images are dropped). Writes
benchmarks/results/clean_arm.json.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

import ganfer
from ganfer.config import load_config
from ganfer.data.imageset import read_set
from ganfer.data.sheets import contact_sheet, save_sheet
from ganfer.page.node import read_results
from ganfer.pipeline import Project
from ganfer.review.audit import FOLDER, doubted_rows
from ganfer.runtime.files import write_json
from ganfer.workspace import Run

OUT = Path(__file__).resolve().parent / "results" / "audit_fer2013.json"
LOOKED_AT = 100


def measured(project: Project, model: str, epochs: int, folds: int) -> dict[str, Any]:
    """One audit's figures, with the folds' accuracy and seconds."""
    found = project.audit().figures
    run = project.workspace.find("crossvals", found["crossval"])
    way = read_results(run.path)["ways"][found["folds"]]
    return {
        "model": model,
        "epochs": epochs,
        "folds": folds,
        "seed": 0,
        "out_of_fold": {name: way["pooled"][name] for name in ("accuracy", "balanced_accuracy")},
        "training_seconds": way["seconds"],
        **{name: found[name] for name in ("images", "doubted", "by_split", "by_class", "estimated_noise")},
        "pairs": found["pairs"][:10],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU, other work beside it",
        "ganfer": ganfer.__version__,
    }


def clean_arm(project: Project, seeds: int) -> dict[str, Any]:
    """What `retrain --arms original,clean` found."""
    told = project.retrain()
    print(told)
    found = told.figures
    return {
        "seeds": seeds,
        "arms": [
            {name: arm[name] for name in ("name", "description", "train_counts", "steps", "metrics", "per_class")}
            for arm in found["arms"]
        ],
        "comparisons": found["comparisons"],
        "equal_shares": found["equal_shares"],
        "verdict": found["verdict"],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU, other work beside it",
        "ganfer": ganfer.__version__,
    }


def draw_sheet(data: Run) -> Path:
    """A hundred of the doubted at random, each with its label and the likelier one."""
    images, rows = read_set(data.path), list(doubted_rows(data))
    place = {name: i for i, name in enumerate(images.ids.tolist())}
    chosen = np.random.default_rng(0).choice(len(rows), min(LOOKED_AT, len(rows)), replace=False)
    pixels = images.images[[place[rows[i]["id"]] for i in chosen]]
    captions = [f"{n} {rows[i]['label']}\n? {rows[i]['suggested']}" for n, i in enumerate(chosen, 1)]
    path = data.path / FOLDER / "random-100.png"
    save_sheet(path, contact_sheet(pixels, columns=10, scale=3, captions=captions))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--model", default="compact-small")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--clean-arm", type=int, default=0, metavar="SEEDS")
    given = parser.parse_args()
    settings = {
        "classifier.model": given.model,
        "classifier.epochs": given.epochs,
        "classifier.tensorboard": False,
        "classifier.precision": "bf16-mixed",
        "crossval.workers": 1,
        "audit.folds": given.folds,
        "retrain.arms": "original,clean",
        "retrain.seeds": given.clean_arm or 3,
        "retrain.workers": 1,
    }
    project = Project(given.workspace, load_config(overrides=settings))
    if given.clean_arm:
        asked = {name: getattr(given, name) for name in ("model", "epochs", "folds")}
        write_json(OUT.with_name("clean_arm.json"), {**asked, **clean_arm(project, given.clean_arm)})
        return
    row = measured(project, given.model, given.epochs, given.folds)
    rows = json.loads(OUT.read_text()) if OUT.is_file() else []
    same = [(r["model"], r["epochs"], r["folds"]) for r in rows]
    if (given.model, given.epochs, given.folds) in same:
        rows.pop(same.index((given.model, given.epochs, given.folds)))
    write_json(OUT, [*rows, row])
    data = project.workspace.active_data
    assert data is not None
    print(f"{row['doubted']:,} of {row['images']:,} doubted; look at {draw_sheet(data)}")


if __name__ == "__main__":
    main()
