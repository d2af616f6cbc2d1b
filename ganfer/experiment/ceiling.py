"""What more real images would bring, and so what faces are worth: by the real images that thinning took away (the arm
`oracle`), else by a learning curve (`half`, `quarter`).

Every model's class biases are fitted on validation first: faces that only move a threshold, which costs nothing, would
else pass for thousands of images. Balanced accuracy is taken to rise by the same step with every doubling of the rare
classes' images, which learning curves do over a factor of four and stop doing over a hundred: figures beyond twice the
images are extrapolations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from statistics import NormalDist
from typing import Any

import numpy as np

from ganfer.data.imageset import ImageSet, read_set
from ganfer.experiment.arms import CURVE, Outcome
from ganfer.experiment.comparisons import LEVEL, PRIMARY, trained_apart
from ganfer.experiment.fitted import cross_fitted
from ganfer.experiment.material import Material
from ganfer.experiment.portions import rare_classes
from ganfer.experiment.trainings import Trainings
from ganfer.runtime.console import say
from ganfer.runtime.seeding import stream
from ganfer.statistics import verdict
from ganfer.statistics.significance import detectable
from ganfer.statistics.verdict import Estimate, Measured, points
from ganfer.workspace import Run

_DRAWS = 20_000
_MORE = 200  # real images of the rarest class that the report speaks of


def is_thinned(data: Run) -> bool:
    """Whether the set, or one that it was made from, had training images taken away."""
    return _whole(data) is not None


def _whole(data: Run) -> Run | None:
    """The set before it was thinned, None where it was not or is no longer there."""
    found = None
    while parent := data.figures.get("parent"):
        variant = data.record.get("key", {}).get("options", {}).get("variant")
        data_before = Run(data.path.parent / str(parent))
        if variant == "thin" and data_before.complete:
            found = data_before
        if not data_before.complete:
            break
        data = data_before
    return found


def held_back(data: Run, images: ImageSet) -> ImageSet:
    """The real, labelled training images that thinning took away."""
    whole = _whole(data)
    assert whole is not None, "asked only where there are some"
    every = read_set(whole.path)
    mine = set(images.ids.tolist())
    gone = [
        i
        for i in np.flatnonzero((every.split == "train") & (every.labels >= 0) & (every.source == "real")).tolist()
        if str(every.ids[i]) not in mine
    ]
    return every.select(gone)


@dataclass(frozen=True)
class Rise:
    """What a doubling of the rare classes' real images brings. change: of a figure, over `doublings`. room: how far the
    figure is from 100%."""

    change: Estimate
    doublings: float
    room: float = 1.0

    def over(self, doublings: float) -> Estimate:
        """The change over so many doublings, with its interval; no more than there is room for."""
        factor = doublings / self.doublings
        mean, low, high = (min(self.room, part * factor) for part in self.change.bounds().values())
        return Estimate(mean, low, high)


def say_ceiling(trainings: Trainings, folders: Mapping[str, str], material: Material, resamples: int) -> None:
    """As soon as the arms are there that tell: whether perfect faces could be shown to help, by validation."""
    names = [name for name in ("original", "oracle", *CURVE) if name in folders]
    if len(names) < 2:
        return
    found = trainings.validated([folders[name] for name in names])
    val = trainings.val
    measured = {
        name: verdict.measure(
            val.labels,
            np.stack([cross_fitted(each, val.labels) for each in found[folders[name]]]),
            val.class_names,
            resamples=resamples,
        )
        for name in names
    }
    rise = _rise(measured, material)
    if rise is None:
        return
    perfect = rise.over(_doublings(material, _rare_faces(material)))
    spread = (len(val) / max(1, len(trainings.test))) ** 0.5
    least = detectable(rise.change, level=LEVEL).least * spread
    words = f"On validation, as many real images of the rare classes as faces would bring {points(perfect)} points"
    if perfect.mean < least:
        say(
            f"{words}; with these test images and seeds nothing under about {100 * least:.1f} can be told from none. "
            "Even perfect faces could hardly be shown to help here: add test images or seeds."
        )
    else:
        say(f"{words} of balanced accuracy.")


def exchange(outcomes: Sequence[Outcome], measured: Sequence[Measured], material: Material) -> dict[str, Any] | None:
    """For `results.json`: how many real images the faces were worth, what more would bring, and the most that perfect
    faces would. None where no arm tells. measured: of the outcomes, with every model's class biases fitted.

    Faces and real images are those of the rare classes: all that were kept, and of the arm `synthetic` those that it
    trained on, which may be fewer.
    """
    apart = [outcome.arm.name for outcome in outcomes if outcome.arm.after != "free"]
    by_name = dict(zip(apart, trained_apart(outcomes, measured), strict=True))
    rise = _rise(by_name, material)
    if rise is None:
        return None
    rare, faces = _rare_real(material), _rare_faces(material)
    found: dict[str, Any] = {
        "by": "oracle" if "oracle" in by_name else "learning curve",
        "faces": faces,
        "real": rare,
        "doubling": rise.over(1.0).bounds(),
    }
    sentences = []
    trained = _trained_faces(outcomes, material)
    if trained:
        every = list(by_name.values())
        gain = verdict.changes(by_name["synthetic"], by_name["original"], LEVEL, among=every)[PRIMARY]
        found["worth"] = _worth(gain, rise, rare, shared=-0.5 if "oracle" not in by_name else 0.5)
        sentences.append(_worth_words(trained, found["worth"], gain, rise))
    if faces:
        perfect = rise.over(_doublings(material, faces))
        found["ceiling"] = perfect.bounds()
        sentences.append(
            f"Even perfect faces would bring at most {_signed(max(0.0, perfect.high))} points here: that is what "
            f"{faces:,} more real images of the rare classes would ({points(perfect)})."
        )
    more = _more_of_the_rarest(by_name, material)
    if more:
        found["more"] = more
        change = Estimate(*(more["change"][part] for part in ("mean", "low", "high")))
        sentences.append(
            f"{_MORE} more real images of {more['class']} (beside {more['real']:,}) would bring about "
            f"{points(change)} points of its recall."
        )
    return {**found, "sentences": sentences}


def _rise(by_name: Mapping[str, Measured], material: Material) -> Rise | None:
    if "original" not in by_name:
        return None
    every = list(by_name.values())
    original = by_name["original"]
    if "oracle" in by_name and material.held_back is not None:
        table = verdict.changes(by_name["oracle"], original, LEVEL, among=every)
        doublings = _doublings(material, _given(material))
        return Rise(table[PRIMARY], doublings, _room(original, PRIMARY)) if doublings > 0 else None
    for name, doublings in (("quarter", 2.0), ("half", 1.0)):
        if name in by_name:
            table = verdict.changes(original, by_name[name], LEVEL, among=every)
            return Rise(table[PRIMARY], doublings, _room(original, PRIMARY))
    return None


def _room(measured: Measured, metric: str) -> float:
    return 1.0 - float(measured.plain[metric].mean())


def _worth(gain: Estimate, rise: Rise, rare: int, *, shared: float) -> dict[str, float | None]:
    """How many real images of the rare classes bring what the faces brought: rare * (2^(gain / doubling) - 1).

    Both figures rest on the original's models, so half of the gain's variance is in the other, too (`shared` says with
    which sign); the interval is from draws of the two, each as wide as its own interval. None for an end that has no
    limit, or that is not known.
    """
    step = rise.change.mean / rise.doublings
    if rise.change.low <= 0 or not gain.error > 0:
        return {"mean": None, "low": None, "high": None}
    gain_error, step_error = _spread(gain), _spread(rise.change) / rise.doublings
    covariance = shared * gain_error**2 / rise.doublings
    limit = 0.95 * gain_error * step_error
    table = [[gain_error**2, np.clip(covariance, -limit, limit)], [np.clip(covariance, -limit, limit), step_error**2]]
    drawn = stream(0, "exchange rate").multivariate_normal([gain.mean, step], table, size=_DRAWS)
    ratio = np.where(drawn[:, 1] > 0, drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9), np.inf)
    # nearest: nothing lies between a number and no limit
    low, high = np.quantile(ratio, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")

    def images(doublings: float) -> float | None:
        return None if doublings > 5 else max(-1.0, 2.0**doublings - 1) * rare

    return {"mean": images(gain.mean / step), "low": images(float(low)), "high": images(float(high))}


def _spread(change: Estimate) -> float:
    """The deviation of the normal distribution whose interval is as wide as the change's."""
    return detectable(change, level=LEVEL).least / NormalDist().inv_cdf((1 + LEVEL) / 2)


def _worth_words(faces: int, worth: Mapping[str, float | None], gain: Estimate, rise: Rise) -> str:
    mean, low, high = (worth[part] for part in ("mean", "low", "high"))
    if gain.mean <= 0:
        return (
            f"Your {faces:,} faces were worth no real ones: with class biases fitted on validation in every arm, they "
            f"change balanced accuracy by {points(gain)} points."
        )
    if rise.change.low <= 0 or not gain.error > 0:
        return (
            f"What your {faces:,} faces were worth in real images is not known: more real images themselves did not "
            "bring a clear gain."
        )
    ends = [_count(low), _count(high) if high is not None else "no limit"]
    return (
        f"Your {faces:,} faces were worth {_count(mean)} [{ends[0]}, {ends[1]}] real ones (with class biases fitted on "
        "validation in every arm)."
    )


def _count(value: float | None) -> str:
    return "very many" if value is None else f"{round(value):,}".replace("-", "−")


def _more_of_the_rarest(by_name: Mapping[str, Measured], material: Material) -> dict[str, Any] | None:
    counts = {name: n for name, n in material.real.counts().items() if n}
    name = min(counts, key=lambda each: counts[each])
    metric = f"recall:{name}"
    original = by_name["original"]
    if metric not in original.plain or name not in rare_classes(counts):
        return None
    every = list(by_name.values())
    if "oracle" in by_name and material.held_back is not None:
        given = min(material.kept.counts()[name], material.held_back.counts()[name])
        change, doublings = verdict.changes(by_name["oracle"], original, LEVEL, among=every)[metric], 0.0
        doublings = log2((counts[name] + given) / counts[name])
    else:
        lower = "quarter" if "quarter" in by_name else "half"
        change = verdict.changes(original, by_name[lower], LEVEL, among=every)[metric]
        doublings = 2.0 if lower == "quarter" else 1.0
    if doublings <= 0:
        return None
    rise = Rise(change, doublings, _room(original, metric)).over(log2((counts[name] + _MORE) / counts[name]))
    return {"class": name, "images": _MORE, "real": counts[name], "change": rise.bounds()}


def _rare_real(material: Material) -> int:
    counts = material.real.counts()
    return sum(counts[name] for name in rare_classes(counts))


def _rare_faces(material: Material) -> int:
    kept = material.kept.counts()
    return sum(kept[name] for name in rare_classes(material.real.counts()))


def _trained_faces(outcomes: Sequence[Outcome], material: Material) -> int:
    """Faces of the rare classes that the arm `synthetic` trained on; 0 without the arm."""
    rare = rare_classes(material.real.counts())
    for outcome in outcomes:
        if outcome.arm.name == "synthetic":
            images = outcome.data.images
            counts = images.select(np.flatnonzero(images.source == "synthetic")).counts()
            return sum(counts[name] for name in rare)
    return 0


def _given(material: Material) -> int:
    """Held-back real images of the rare classes that the oracle trained on."""
    assert material.held_back is not None
    kept, there = material.kept.counts(), material.held_back.counts()
    return sum(min(kept[name], there[name]) for name in rare_classes(material.real.counts()))


def _doublings(material: Material, images: int) -> float:
    """How often the rare classes are doubled by so many more images of them."""
    rare = max(1, _rare_real(material))
    return log2((rare + images) / rare)


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")
