"""Does the identity distance tell people apart? Drawn people that no training saw, beside simpler distances.

    python benchmarks/identity.py --workspace DIR [--people 100]

Trains the network of the workspace's data if it is missing. Reported, with 95% bootstrap intervals over people: the
AUC of pairs of one person against pairs of two (all pairs, and pairs with different expressions), for the network, for
random convolutions of the whole face and of its upper half, and for the upper half's pixels; and the share of pairs of
one person that are nearer than all but 5% of pairs of two, which is what the default bound asks. Figures go to
results/identity.json.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from gan_common import environment, save
from sklearn.metrics import roc_auc_score

from ganfer.config import load_config
from ganfer.data.imageset import read_set
from ganfer.gan.identity import drawn_people, open_identity
from ganfer.metrics.features import RandomConvFeatures, Standardiser
from ganfer.needs import Needs
from ganfer.workspace import Workspace

FIRST = 13 << 40  # seeds that neither the training nor the record's check reaches
FACES = 4
ROUNDS = 200


def representations(images: np.ndarray, alike: Any) -> dict[str, np.ndarray]:
    """Vectors (N, d) whose distances are compared, by name."""
    channels = images.shape[1]
    upper = np.ascontiguousarray(images[:, :, : images.shape[2] * 7 // 12])
    flat = upper.reshape(len(upper), -1).astype(np.float64)
    flat = (flat - flat.mean(axis=1, keepdims=True)) / (flat.std(axis=1, keepdims=True) + 1e-6)
    found = {"identity network": alike.embed(images), "upper half's pixels": flat}
    for name, part in (("random convolutions", images), ("random convolutions of the upper half", upper)):
        features = RandomConvFeatures(channels)(part)
        found[name] = Standardiser.fit(features)(features)
    return found


def measured(vectors: np.ndarray, people: np.ndarray, labels: np.ndarray, times: np.ndarray) -> dict[str, float]:
    """AUC of all pairs and of pairs with different expressions, and the share of same pairs below the bound.

    times: (P,) how often each person counts.
    """
    rows, columns = np.triu_indices(len(people), 1)
    norms = np.square(vectors).sum(axis=1)
    near = -(norms[rows] + norms[columns] - 2 * (vectors @ vectors.T)[rows, columns])
    same, other = people[rows] == people[columns], labels[rows] != labels[columns]
    weight = np.where(same, times[people[rows]], times[people[rows]] * times[people[columns]])
    bound = np.quantile(near[~same], 0.95)
    return {
        "auc": float(roc_auc_score(same, near, sample_weight=weight)),
        "auc_other_expression": float(roc_auc_score(same[other], near[other], sample_weight=weight[other])),
        "accepted_at_5_percent": float(np.average(near[same] > bound, weights=weight[same])),
    }


def main() -> None:
    """Draw, embed, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--people", type=int, default=100)
    wanted = parser.parse_args()
    workspace = Workspace(wanted.workspace)
    needs = Needs(workspace, load_config(None, {"device": "cpu"}))
    channels = read_set(needs.data().path).channels
    run = needs.identity()
    images = drawn_people(channels, wanted.people, FACES, FIRST)
    people = np.repeat(np.arange(wanted.people), FACES)
    labels = np.arange(len(people)) % 7
    rng = np.random.default_rng(0)
    once = np.ones(wanted.people)
    draws = [
        np.bincount(rng.integers(wanted.people, size=wanted.people), minlength=wanted.people) for _ in range(ROUNDS)
    ]
    figures: dict[str, Any] = {}
    for name, vectors in representations(images, open_identity(run, channels)).items():
        whole = measured(vectors, people, labels, once)
        figures[name] = {key: {"value": round(value, 4)} for key, value in whole.items()}
        again = [measured(vectors, people, labels, times) for times in draws]
        for key in figures[name]:
            values = [each[key] for each in again]
            figures[name][key]["interval"] = [round(float(q), 4) for q in np.quantile(values, (0.025, 0.975))]
        print(name, figures[name])
    save(
        "identity",
        {"people": wanted.people, "faces": FACES, "trained": run.figures, "figures": figures, **environment()},
    )


if __name__ == "__main__":
    main()
