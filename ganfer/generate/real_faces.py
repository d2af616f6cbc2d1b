"""Which real faces are changed into which class: looked at before anything is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.data.text import folded
from ganfer.errors import DataError, GanferError, did_you_mean
from ganfer.generate.quota import Quota
from ganfer.runtime import ranks
from ganfer.runtime.seeding import stream


@dataclass(frozen=True)
class Sources:
    """The real training faces to start from, in the order in which they are taken: rows (S,) of the image set."""

    names: tuple[str, ...]
    rows: np.ndarray

    def lines(self, quota: Quota, config: Config) -> list[str]:
        """What is taken, and how often."""
        count, wanted = len(self.rows), quota.total
        lines = [f"change {', '.join(self.names)}: {count:,} real training faces to start from"]
        if wanted > count:
            lines.append(
                f"{wanted:,} faces of {count:,} real ones: each serves up to {config.transfer.styles} times, each "
                "time in another style (a shifted latent)"
            )
        return lines


def check_from_faces(
    asks_classes: bool, *, seeds: Sequence[int] | None, steer: bool | None, n: int | None, format: str
) -> None:
    """GanferError for what does not go with --from-faces."""
    if not asks_classes:
        raise GanferError(
            "--from-faces needs the classes to fill.", "Give --class NAME=N, or --balance or --to N for all rarer ones."
        )
    given = {"--seeds": seeds is not None, "--steer": steer is not None, "--n": n is not None}
    wrong = [name for name, there in given.items() if there]
    if wrong:
        raise GanferError(f"--from-faces and {wrong[0]} do not go together.", "Leave one of them out.")
    if format != "png":
        raise GanferError(f"--from-faces writes PNG files, not {format}.", "Leave --format out.")
    if ranks.count() > 1:
        raise GanferError("--from-faces runs in one process.", "Give the command without torchrun.")


def source_names(given: Sequence[str]) -> tuple[str, ...]:
    """The classes to start from, as the data writes them."""
    return tuple(dict.fromkeys(folded(name) for name in given if name.strip()))


def check_sources(
    tally: Mapping[str, int],
    names: Sequence[str],
    quota: Quota,
    config: Config,
    known: Sequence[str] | None = None,
) -> None:
    """GanferError for a class that is none, that is wanted too, or that is no majority, and for too many faces.

    tally: real training images per class. known: the classes of the generator, where it draws by class and is there.
    """
    if not names:
        raise GanferError("--from-faces names no class.", f"Name classes of the data: {', '.join(tally)}.")
    for name in names:
        if name not in tally:
            raise GanferError(f"--from-faces: the data has no class {name!r}.", did_you_mean(name, tally))
        if name in quota.counts:
            raise GanferError(
                f"{name} is both a class to start from and one to fill.", "Leave it out of one of the two."
            )
    if not quota.total:
        raise GanferError("There is no class to fill besides those to start from.", "Name one with --class NAME=N.")
    lacking = [name for name in (*quota.counts, *names) if known is not None and name not in known]
    if lacking:
        raise GanferError(
            f"The generator has no class {lacking[0]!r}; it knows {', '.join(known or ())}.",
            "Leave it out, or take a generator that was trained on data with that class.",
        )
    empty = [name for name in names if not tally[name]]
    if empty:
        raise DataError(f"{empty[0]} has no real training image.", "Start from a class that has some.")
    total = sum(tally[name] for name in names)
    for name in quota.counts:
        if total <= tally[name]:
            raise GanferError(
                f"{', '.join(names)} have {total:,} training images, {name} has {tally[name]:,}: there is no majority "
                "to take new people from.",
                "Start from larger classes, or fill a rarer one.",
            )
    most = total * config.transfer.styles
    if quota.total > most:
        raise GanferError(
            f"{quota.total:,} faces of {total:,} real ones, each at most {config.transfer.styles} times, are at most "
            f"{most:,}.",
            "Ask for fewer, name more classes, or raise transfer.styles.",
        )


def plan_sources(
    images: ImageSet, given: Sequence[str], quota: Quota, config: Config, known: Sequence[str] | None = None
) -> Sources:
    """The sources for a quota; what `check_sources` says is wrong with it."""
    names = source_names(given)
    train = (images.split == "train") & (images.source == "real")
    tally = {
        name: int((train & (images.labels == images.class_names.index(name))).sum()) for name in images.class_names
    }
    check_sources(tally, names, quota, config, known)
    members = np.flatnonzero(train & np.isin(images.labels, [images.class_names.index(name) for name in names]))
    return Sources(names, stream(config.seed, "from-faces").permutation(members))
