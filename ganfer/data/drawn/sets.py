"""Many drawn faces: on all cores, with FER2013's long tail, and with people who stay within one split."""

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from classifiers.scheduler import Local, Place, Task, cores, results
from ganfer.data.drawn.draws import SPLIT, Draws, check_seed
from ganfer.data.drawn.expressions import EXPRESSIONS
from ganfer.data.drawn.face import Face, check_difficulty, label_index
from ganfer.data.drawn.render import check_size, render

SPLITS: tuple[str, ...] = ("train", "val", "test")
FER2013_TRAIN_COUNTS: tuple[int, ...] = (3995, 436, 4097, 7215, 4830, 3171, 4965)
"""Training images per expression in FER2013 (Goodfellow et al. 2013), in the order of EXPRESSIONS."""

_CHUNK = 128  # faces per task of a worker
_POOL_FROM = 1024  # below that, starting processes costs more than drawing
_FACES_PER_PERSON = 6.0
_SEEDS_PER_SPLIT = 1 << 40  # so that no two splits of any two set seeds can share a face or a person
_MOST_PER_SPLIT = 1 << 28


class DrawnSet(NamedTuple):
    """A whole data set of drawn faces."""

    images: NDArray[np.uint8]  # (N, C, H, W)
    labels: NDArray[np.int64]  # (N,), into EXPRESSIONS
    split: NDArray[np.str_]  # (N,), of SPLITS
    groups: NDArray[np.int64]  # (N,), the person


def draw_faces(
    seeds: Sequence[int] | NDArray[np.int64],
    labels: Sequence[int] | NDArray[np.int64],
    *,
    size: int = 48,
    channels: int = 1,
    identities: Sequence[int] | NDArray[np.int64] | None = None,
    difficulty: float = 1.0,
    workers: int | None = None,
) -> NDArray[np.uint8]:
    """Faces (N, channels, size, size) uint8; face i depends on seeds[i], labels[i] and identities[i] alone.

    `workers` processes draw them; None takes all cores for a large number and this process for a small one. ValueError
    for lengths that differ and for any value out of range.
    """
    check_size(size, channels)
    check_difficulty(difficulty)
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers!r}")
    for name, values in (("labels", labels), ("identities", identities)):
        if values is not None and len(values) != len(seeds):
            raise ValueError(f"{name} must be as many as seeds: got {len(values)} for {len(seeds)} seeds")
    people = [None] * len(seeds) if identities is None else [check_seed("identity", value) for value in identities]
    orders = [
        (check_seed("seed", seed), label_index(label), person)
        for seed, label, person in zip(seeds, labels, people, strict=True)
    ]
    images = np.empty((len(orders), channels, size, size), np.uint8)
    chunks = [orders[start : start + _CHUNK] for start in range(0, len(orders), _CHUNK)]
    if workers is None:
        workers = cores() if len(orders) >= _POOL_FROM else 1
    workers = min(workers, len(chunks))
    if workers <= 1:
        for place, order in enumerate(orders):
            images[place] = _draw(order, size, channels, difficulty)
        return images
    tasks = (Task("faces", _drawn, (chunk, size, channels, difficulty)) for chunk in chunks)
    with closing(Local(workers, ahead=1)) as engine:
        for number, (_, drawn) in enumerate(results(tasks, engine, in_order=True)):
            images[number * _CHUNK : number * _CHUNK + len(drawn)] = drawn
    return images


_Order = tuple[int, int, int | None]


def _draw(order: _Order, size: int, channels: int, difficulty: float) -> NDArray[np.uint8]:
    seed, label, person = order
    return render(Face.sample(seed, label, person, difficulty), size, channels)


def _drawn(place: Place, orders: list[_Order], size: int, channels: int, difficulty: float) -> NDArray[np.uint8]:
    cv2.setNumThreads(1)  # of a worker among many
    return np.stack([_draw(order, size, channels, difficulty) for order in orders])


def long_tailed_counts(total: int, rarest: int = 1) -> dict[str, int]:
    """`total` faces shared out as in FER2013's training split, by largest remainder; each class gets `rarest` or more.

    What the rare classes need beyond their share is taken from the others in proportion. ValueError when `total` is too
    small for that.
    """
    if not isinstance(total, (int, np.integer)) or total < rarest * len(EXPRESSIONS) or rarest < 0:
        raise ValueError(
            f"total must be at least {len(EXPRESSIONS)} classes x {rarest} (rarest), got {total!r}; ask for more faces"
        )
    counts = np.zeros(len(EXPRESSIONS), np.int64)
    free = np.ones(len(EXPRESSIONS), bool)
    weights = np.array(FER2013_TRAIN_COUNTS, np.float64)
    while True:
        share = np.where(free, weights, 0.0)
        exact = share / share.sum() * (total - rarest * int((~free).sum()))
        short = free & (exact < rarest)
        if not short.any():
            break
        free &= ~short
    counts[~free] = rarest
    floor = np.floor(exact).astype(np.int64)
    counts[free] = floor[free]
    remainder = np.where(free, exact - floor, -1.0)
    for index in np.argsort(-remainder, kind="stable")[: total - int(counts.sum())]:
        counts[index] += 1
    return dict(zip(EXPRESSIONS, counts.tolist(), strict=True))


def drawn_set(
    total: int = 5700,
    seed: int = 0,
    size: int = 48,
    channels: int = 1,
    *,
    val: int = 1200,
    test: int = 2400,
    val_rarest: int = 60,
    test_rarest: int = 150,
    difficulty: float = 1.0,
    workers: int | None = None,
) -> DrawnSet:
    """A long-tailed data set of drawn faces: `total` to train on, `val` and `test` to judge by.

    The default training split has 5,700 faces, 87 of them of the rarest class. Validation and test have the same long
    tail, but at least 60 and 150 faces of each class (or a seventh of the split, where that is less), so that a recall
    can be measured at all: 150 faces give it an interval of about +-8 points. Each person has six faces on average, all
    of them in one split. The same arguments give the same bytes.
    """
    seed = check_seed("seed", seed)
    if seed >= 1 << 20:
        raise ValueError(f"seed of a set must be below {1 << 20}, got {seed}")
    seeds: list[int] = []
    labels: list[int] = []
    people: list[int] = []
    split: list[str] = []
    plan = zip(SPLITS, (total, val, test), (1, val_rarest, test_rarest), strict=True)
    for number, (name, count, rarest) in enumerate(plan):
        if not len(EXPRESSIONS) <= count <= _MOST_PER_SPLIT:
            raise ValueError(f"{name} must be {len(EXPRESSIONS)}..{_MOST_PER_SPLIT} faces, got {count!r}")
        counts = long_tailed_counts(count, min(rarest, count // len(EXPRESSIONS)))
        first = (seed * len(SPLITS) + number) * _SEEDS_PER_SPLIT
        here = [label for label, wanted in enumerate(counts.values()) for _ in range(wanted)]
        draws = Draws(SPLIT, first)
        crowd = max(1, round(count / _FACES_PER_PERSON))
        seeds += range(first, first + count)
        labels += here
        people += [first + min(crowd - 1, int(draws.unit() * crowd)) for _ in here]
        split += [name] * count
    images = draw_faces(
        seeds, labels, size=size, channels=channels, identities=people, difficulty=difficulty, workers=workers
    )
    return DrawnSet(
        images=images,
        labels=np.array(labels, np.int64),
        split=np.array(split),
        groups=np.array(people, np.int64),
    )
