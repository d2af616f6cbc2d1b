"""Real faces from the pool in place of the synthetic ones: the retrieval baseline.

What a generator draws has to be compared with what was there to be found: Geng et al. 2024 ("The Unmet Promise of
Synthetic Training Images") find that retrieved real images match or beat generated ones. The pool's images are labelled
and screened as the synthetic faces are, and as many of each class are taken, as far as they reach.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.data.unlabelled import pools_of
from ganfer.experiment.arms import Arm, Outcome
from ganfer.experiment.comparisons import AGAINST_POOL, PRIMARY, Compared
from ganfer.experiment.faces import kept_faces
from ganfer.experiment.material import Material
from ganfer.experiment.portions import joined
from ganfer.label.labels import newest_labels
from ganfer.statistics.verdict import points
from ganfer.workspace import Run, Workspace


def labelled_pools(workspace: Workspace, data: Run) -> list[tuple[Run, Run]]:
    """The pools of a data set with their newest labelling, of which the screen kept something."""
    pairs = [(pool, newest_labels(pool, data)) for pool in pools_of(workspace, data)]
    return [(pool, labels) for pool, labels in pairs if labels and any(labels.figures["screen"]["kept"].values())]


def has_pool(config: Config, workspace: Workspace | None, data: Run | None) -> bool | None:
    """Whether an experiment can train on a pool; None before there is data. Every fold has data of its own, no pool."""
    if workspace is None or data is None:
        return None
    return not config.retrain.folds and bool(labelled_pools(workspace, data))


def pool_input(arms: Sequence[Arm], workspace: Workspace, data: Run) -> dict[str, list[str]]:
    """What an experiment's key says of its pools: nothing where no arm trains on them."""
    if not any(arm.role == "pool" for arm in arms):
        return {}
    return {"pools": [labels.digest for _, labels in labelled_pools(workspace, data)]}


def pool_faces(
    arms: Sequence[Arm], workspace: Workspace, data: Run, images: ImageSet, *, soft_labels: bool = False
) -> ImageSet | None:
    """The real faces of all labelled pools that the screen kept, as training images; None where no arm wants them."""
    if not any(arm.role == "pool" for arm in arms):
        return None
    pairs = labelled_pools(workspace, data)
    return functools.reduce(joined, [kept_faces(*pair, images, soft_labels=soft_labels) for pair in pairs])


def pool_words(outcomes: Sequence[Outcome], compared: Sequence[Compared]) -> list[str]:
    """What the pool brings, in a sentence that stands beside the verdict; empty without such an arm."""
    names = {outcome.arm.name for outcome in outcomes}
    first = outcomes[0].arm.name
    table: Mapping[tuple[str, str], Compared] = {(pair.arm, pair.baseline): pair for pair in compared}
    for synthetic, pool in AGAINST_POOL:
        if pool not in names:
            continue
        gain = points(table[pool, first].changes[PRIMARY])
        words = f"Real faces from the pool in their place bring {gain} points of balanced accuracy over plain training"
        if synthetic not in names:
            return [f"{words}."]
        against = points(table[synthetic, pool].changes[PRIMARY])
        return [f"{words}; against them the synthetic faces change it by {against}."]
    return []


def pool_notes(material: Material, workspace: Workspace, data: Run) -> list[str]:
    """Classes of which the pool holds fewer faces than the batch, what else the arm `oracle` has of the pool's images,
    and pools that nobody labelled."""
    if material.pool is None:
        return []
    wanted, there = material.kept.counts(), material.pool.counts()
    short = [f"{name} {there[name]:,} of {n:,}" for name, n in wanted.items() if there[name] < n]
    notes = [f"The pool holds fewer faces than there are synthetic ones of: {', '.join(short)}."] if short else []
    notes += _same_as_held_back(material)
    unlabelled = [run.name for run in pools_of(workspace, data) if newest_labels(run, data) is None]
    if unlabelled:
        notes.append(f"Not labelled, and so not used: {', '.join(unlabelled)} (ganfer label --pool).")
    return notes


def _same_as_held_back(material: Material) -> list[str]:
    """That pool and `oracle` share images, which is no leak: the two arms differ in what they know of them."""
    assert material.pool is not None
    if material.held_back is None:
        return []
    taken = {image.tobytes() for image in np.asarray(material.held_back.images)}
    both = sum(image.tobytes() in taken for image in np.asarray(material.pool.images))
    if not both:
        return []
    return [
        f"{both:,} of the pool's {len(material.pool):,} kept images are among those that thinning took away: the arm "
        "oracle has them with their true labels, the pool with the labeller's. No image of either is tested on."
    ]
