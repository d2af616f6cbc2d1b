"""How many faces of which class: arithmetic on counts, looked at before anything is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ganfer.config import Config
from ganfer.data.drawn import long_tailed_counts
from ganfer.data.imageset import read_set
from ganfer.errors import DataError, GanferError, did_you_mean
from ganfer.results import table
from ganfer.workspace import Run


@dataclass(frozen=True)
class Quota:
    """How many images to draw per class name, beside how many real training images there are."""

    counts: Mapping[str, int]
    existing: Mapping[str, int]

    @property
    def total(self) -> int:
        """Images to draw in all."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """The plan as a table."""
        rows = [
            (name, f"{self.existing.get(name, 0):,}", f"{count:,}", f"{self.existing.get(name, 0) + count:,}")
            for name, count in self.counts.items()
        ]
        before = sum(self.existing.get(name, 0) for name in self.counts)
        rows.append(("all", f"{before:,}", f"{self.total:,}", f"{before + self.total:,}"))
        return [f"generate {self.total:,} faces:", *table(["class", "real", "to draw", "together"], rows)]


def train_counts(data: Run | None, config: Config) -> dict[str, int]:
    """Real training images per class; without data those of the faces that would be drawn."""
    if data is None:
        return long_tailed_counts(config.drawn.total)
    images = read_set(data.path)
    train = (images.split == "train") & (images.source == "real") & (images.labels >= 0)
    tally = np.bincount(images.labels[train], minlength=len(images.class_names))
    return {name: int(count) for name, count in zip(images.class_names, tally, strict=True)}


def plan_counts(
    data: Run | None,
    config: Config,
    *,
    n: int | None = None,
    balance: bool = False,
    to: int | None = None,
    classes: Mapping[str, int] | None = None,
) -> Quota:
    """The quota for a data set's training split; see `plan_quota`. `config.generate.n` when nothing is asked for.

    data: None for the faces that would be drawn.
    """
    if n is None and not balance and to is None and not classes:
        n = config.generate.n
    return plan_quota(train_counts(data, config), n=n, balance=balance, to=to, classes=classes or {})


def check_request(*, n: int | None, balance: bool, to: int | None, classes: Mapping[str, int]) -> None:
    """GanferError for a combination without a meaning, whatever the data."""
    if not classes:
        return
    if n is not None or balance or to is not None:
        raise GanferError(
            "--class gives exact counts and goes with none of --n, --balance and --to.", "Use one or the other."
        )
    if not any(count > 0 for count in classes.values()):
        raise GanferError("Every count given is 0.", "Give a count above 0.")


def plan_seeds(
    seeds: Sequence[int],
    steered: bool,
    *,
    n: int | None = None,
    balance: bool = False,
    to: int | None = None,
    classes: Mapping[str, int] | None = None,
) -> Quota:
    """The quota of exactly these seeds. GanferError when anything else says how many, or when they are steered."""
    if n is not None or balance or to is not None or classes or steered:
        raise GanferError(
            "--seeds names every face and goes with none of --n, --balance, --to, --class and --steer.",
            "Use one or the other.",
        )
    return Quota({"": len(seeds)}, {})


def plan_quota(
    counts: Mapping[str, int],
    *,
    n: int | None = None,
    balance: bool = False,
    to: int | None = None,
    classes: Mapping[str, int] | None = None,
) -> Quota:
    """How many to draw per class, from real counts per class. Classes without a real image get nothing on their own.

    n alone: spread evenly, the remainder to the rarest. balance: every class filled up to the largest, or to `to`
    (which implies balance); with n at most n, each next image to the class that is rarest by then. classes: just these.
    GanferError for a class that does not exist, a combination without a meaning, or nothing to draw.
    """
    check_request(n=n, balance=balance, to=to, classes=classes or {})
    if classes:
        for name in classes:
            if name not in counts:
                raise GanferError(f"The data has no class {name!r}.", did_you_mean(name, counts))
        return Quota({name: classes[name] for name in counts if classes.get(name, 0) > 0}, counts)
    present = {name: count for name, count in counts.items() if count > 0}
    if not present:
        raise DataError("The training split holds no labelled real image.", "Add images: ganfer data add PATH.")
    if balance or to is not None:
        target = to if to is not None else max(present.values())
        levels = _fill(present, target, n)
        quota = {name: levels[name] - count for name, count in present.items() if levels[name] > count}
        others = ", or none at all" if len(present) < len(counts) else ""
        return _non_empty(
            Quota(quota, counts),
            f"Nothing to draw: every class has {target:,} real images or more{others}.",
            f"Ask for more with --to N (above {min(present.values()):,}), or use --n.",
        )
    assert n is not None
    share, rest = divmod(n, len(present))
    rarest = sorted(present, key=lambda name: present[name])[:rest]
    quota = {name: share + (name in rarest) for name in present if share or name in rarest}
    return _non_empty(Quota(quota, counts), f"--n {n}.", "Ask for at least 1 image.")


def _fill(counts: Mapping[str, int], target: int, limit: int | None) -> dict[str, int]:
    """Counts raised to `target`; with a limit, the rarest are raised together until it is used up."""
    levels = {name: max(count, target) for name, count in counts.items()}
    if limit is None or sum(levels.values()) - sum(counts.values()) <= limit:
        return levels
    low, high = min(counts.values()), target  # the highest common level that the limit pays for
    while low < high:
        middle = (low + high + 1) // 2
        if sum(max(0, middle - count) for count in counts.values()) <= limit:
            low = middle
        else:
            high = middle - 1
    left = limit - sum(max(0, low - count) for count in counts.values())
    levels = {name: max(count, low) for name, count in counts.items()}
    for name in [name for name in counts if levels[name] == low][:left]:
        levels[name] += 1
    return levels


def _non_empty(quota: Quota, problem: str, remedy: str) -> Quota:
    if quota.total <= 0:
        raise GanferError(problem, remedy)
    return quota
