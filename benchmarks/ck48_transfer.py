"""CK+48 in folds of people: faces of a GAN that FER2013 taught, beside a classifier that FER2013 taught.

    python benchmarks/ck48_transfer.py ckplus48.zip --workspace DIR --gan FER/gans/RUN --classifier FER/classifiers/RUN
                                       [--folds 5] [--seeds 3] [--steps 600] [--epochs 40] [--n 700]

Both come from a workspace with FER2013 (benchmarks/fer2013.py makes one). In each fold the GAN goes on from FER2013's
on the fold's training images, a labeller is trained on them, the faces are drawn, labelled and screened, and the arms
are trained: without faces, with them, and without them from the weights of FER2013's classifier. Every image is tested
once, by models that saw nobody on it. FER2013 is no part of CK+48: no person of a fold's test images is in what the
parents saw. The same command resumes. Writes benchmarks/results/ck48_transfer.json, without any picture.
"""

import argparse
from pathlib import Path
from typing import Any

from gan_common import environment, save

from classifiers.files import read_weights
from ganfer.config import load_config
from ganfer.pipeline import Project
from ganfer.workspace import Run

OVERALL = ("balanced_accuracy", "accuracy", "macro_f1")
ARMS = "original,oversample,logit-adjusted,deferred-sampling,synthetic,synthetic+best"


def main() -> None:
    """Run the folds, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--gan", type=Path, required=True)
    parser.add_argument("--classifier", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--n", type=int, default=700)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    _, card = read_weights(options.classifier / "model.safetensors")
    overrides: dict[str, Any] = {
        "retrain.arms": ARMS, "retrain.folds": options.folds, "retrain.seeds": options.seeds,
        "retrain.pretrained": str(options.classifier.resolve()), "retrain.workers": options.workers,
        "gan.parent": str(options.gan.resolve()), "gan.steps": options.steps, "generate.n": options.n,
        "classifier.model": card["architecture"], "classifier.epochs": options.epochs, "classifier.batch_size": 32,
    }  # fmt: skip
    project = Project(options.workspace, load_config(overrides=overrides))
    if project.workspace.active_data is None:
        project.add(options.images)
    report = project.retrain()
    print(report)
    assert report.path is not None
    results, parts = report.figures, ("name", "train_counts", "synthetic_counts", "steps", "metrics", "per_class")
    save("ck48_transfer", {
        **{name: results[name] for name in ("verdict", "recommendation", "selection")},
        "comparisons": [row for row in results["comparisons"] if row["metric"] in OVERALL],
        "arms": [{name: arm[name] for name in parts if name in arm} for arm in results["arms"]],
        "folds": options.folds, "seeds": options.seeds, "epochs": options.epochs, "faces drawn": options.n,
        "gan": {"parent": Run(options.gan).record["figures"].get("images"), "steps": options.steps},
        "classifier": {"architecture": card["architecture"], "validation accuracy": card["validation"]["accuracy"]},
        "minutes": round(Run(report.path).record["seconds"] / 60, 1), **environment(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
