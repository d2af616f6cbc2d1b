"""What thinning takes away, once more as a pool without labels: for `fer2013.py --pool removed`.

The arm `oracle` trains on these very images with their labels, the arm `pool` on those of them that the labeller
recognised: that they are the same is the point, for the two differ in the labels alone. None of them is a test image,
and what is nearly a validation or test image is left out when the pool is added and looked for again when it is
labelled.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from classifiers.prior_shift import shares_of, under_shares
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.unlabelled import pools_of
from ganfer.experiment.ceiling import held_back
from ganfer.generate.batch import read_batch
from ganfer.label.labels import newest_labels, read_labels
from ganfer.label.screener import Screener
from ganfer.metrics.extractors import chunks
from ganfer.pipeline import Project
from ganfer.workspace import Run

FOLDER = "removed"
OF_POOL = "+pool"  # a generator's name ends so where it learned from the pool as well
_SEED = 0


def name_of(place: int) -> str:
    """The file of the image at this place of `removed`: a number, which tells no class."""
    return f"{place:06d}.png"


def removed(project: Project) -> ImageSet:
    """The training images that thinning took away, in an order that tells no class."""
    data = project.needs.data()
    gone = held_back(data, read_set(data.path))
    return gone.select(np.random.default_rng(_SEED).permutation(len(gone)))


def add_removed(project: Project) -> None:
    """Write them as files into the workspace, once, and add these as a pool."""
    folder = project.workspace.root / FOLDER
    if not folder.is_dir():
        parts = folder.with_name(f"{FOLDER}.parts")
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        for place, picture in enumerate(np.asarray(removed(project).images)):
            Image.fromarray(picture.squeeze()).save(parts / name_of(place))
        parts.rename(folder)
    project.add(folder, pool=True)


def told_of_pool(project: Project, labeller: str) -> dict[str, Any]:
    """The pool, labelled and screened: what was left out, and how often the labels that were kept are right."""
    labelled = project.label(pool=True, classifier=labeller)
    gone, data = removed(project), project.needs.data()
    (pool,) = pools_of(project.workspace, data)
    run = newest_labels(pool, data)
    assert run is not None
    labels, true = read_labels(run, gone.class_names), true_labels(pool, gone)
    return {
        "images": len(true),
        "removed": gone.counts(),
        "left_out": dict(pool.figures["skipped"]),
        "reasons": labelled.figures["screen"]["reasons"],
        "shares": labelled.figures["labelling"].get("shares"),
        "labels": {
            name: {
                "images": int((true == k).sum()),
                "kept": int((mine := labels.kept & (labels.predicted == k)).sum()),
                "right": int((mine & (true == k)).sum()),
            }
            for k, name in enumerate(gone.class_names)
        },
    }


def true_labels(pool: Run, gone: ImageSet) -> np.ndarray:
    """(N,) the class of each of the pool's images, which its files do not tell."""
    truth = dict(zip(map(name_of, range(len(gone))), gone.labels.tolist(), strict=True))
    return np.array([truth[Path(name).name] for name in read_batch(pool).file_names])


def under_other_shares(project: Project, labeller: str) -> dict[str, Any]:
    """How many of the pool's images are labelled as each class, unscreened, and how many of them rightly, where the
    labeller assumes equal class shares, those that it estimates, and the true ones, which nobody has."""
    gone, data = removed(project), project.needs.data()
    (pool,), plain = pools_of(project.workspace, data), replace(project.config.label, manifold=0.0, copies=False)
    config = replace(project.config, label=plain)
    screener = Screener(config, project.needs.classifier(labeller), data, read_set(data.path))
    true, images = true_labels(pool, gone), read_batch(pool).images
    places = [range(part.start, part.stop) for part in chunks(len(true))]
    equal = np.concatenate([screener.look(images(part)).probabilities for part in places])
    classes = len(gone.class_names)
    known = np.bincount(true, minlength=classes) / len(true)
    assumed = {"equal": np.full(classes, 1 / classes), "estimated": shares_of(equal), "true": known}
    return {name: _called(under_shares(equal, shares).argmax(axis=1), true, gone) for name, shares in assumed.items()}


def _called(said: np.ndarray, true: np.ndarray, gone: ImageSet) -> dict[str, dict[str, int]]:
    return {
        name: {"called": int((said == k).sum()), "right": int(((said == k) & (true == k)).sum())}
        for k, name in enumerate(gone.class_names)
    }


def print_pool(found: dict[str, Any]) -> None:
    """What `told_of_pool` found, as Markdown."""
    rows = found["labels"]
    print(f"\nPool of {found['images']:,} images; of each class, in it, kept as it, and of those rightly\n")
    print(f"| | {' | '.join(rows)} |\n|{'---|' * (len(rows) + 1)}")
    for what in ("images", "kept", "right"):
        print(f"| {what} | {' | '.join(format(row[what], ',') for row in rows.values())} |")
