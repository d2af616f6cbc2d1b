"""Which arms are compared with which, with what word each change is called by, and the verdict on top of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganfer.config import RetrainConfig
from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import ARMS, POOL, REBALANCING, Outcome
from ganfer.statistics import rule, verdict
from ganfer.statistics.rule import PRIMARY, Claim, Evidence
from ganfer.statistics.significance import detectable, holm, holm_levels, mcnemar
from ganfer.statistics.verdict import Estimate, Measured, points

LEVEL = 0.95  # of every interval


@dataclass(frozen=True)
class Selection:
    """What validation chose: the best cheap arm, the best rebalancing one and the best arm that trained on no synthetic
    image ("" where none was trained), and each arm's mean balanced accuracy there."""

    best_cheap: str
    best_rebalancing: str
    validation: dict[str, float]
    best_without: str = ""


def selected(validation: dict[str, float]) -> Selection:
    """What the arms' balanced accuracies on validation choose. Copies of real images are no synthetic ones.

    Of equals the first in the order of the registry, whatever order was asked for: what trains with the best
    rebalancing takes it so.
    """

    def best(names: Sequence[str]) -> str:
        return max((name for name in names if name in validation), key=lambda name: validation[name], default="")

    cheap = [name for name, arm in ARMS.items() if arm.role == "cheap"]
    return Selection(best(cheap), best(REBALANCING), validation, best(arms_without_faces()))


def arms_without_faces() -> list[str]:
    """The arms that train on no synthetic image; asked each time, since arms can be added."""
    return [name for name, arm in ARMS.items() if arm.role in ("baseline", "cheap", "copies")]


AGAINST_POOL = (("synthetic+best", "pool+best"), ("synthetic", "pool"))
SPOKEN_OF = ("synthetic+best", "synthetic", "distilled+synthetic")  # by the verdict, the first that was trained


@dataclass(frozen=True)
class Compared:
    """An arm against a baseline: the change of every figure, and McNemar's test of the accuracy with one seed."""

    arm: str
    baseline: str
    changes: dict[str, Estimate]
    test: dict[str, float] | None
    every_class: bool


def compare(
    outcomes: Sequence[Outcome], measured: Sequence[Measured], truth: np.ndarray, selection: Selection
) -> list[Compared]:
    """Every arm with the first, then those with synthetic faces with the best one without, with the pool and with their
    placebos; those with the pool with the best one without, too."""
    place = {outcome.arm.name: i for i, outcome in enumerate(outcomes)}
    role = {outcome.arm.name: outcome.arm.role for outcome in outcomes}
    first = outcomes[0].arm.name
    pairs = [(name, first, True) for name in list(place)[1:]]
    synthetic = [name for name in place if role[name] == "synthetic"]
    for best in dict.fromkeys([selection.best_without, selection.best_cheap]):
        pairs += [(name, best, True) for name in synthetic if best in place]
    pairs += [(name, selection.best_without, True) for name in POOL if name in place and selection.best_without]
    pairs += [(name, pool, True) for name, pool in AGAINST_POOL if name in place and pool in place]
    pairs += [(name, ARMS[name].rival, True) for name in synthetic if ARMS[name].rival in place]
    if "synthetic" in place:
        pairs += [("synthetic", name, False) for name in place if ARMS[name].placebo_of == "synthetic"]
    if "synthetic+best" in place:
        pairs += [("synthetic+best", name, False) for name in place if ARMS[name].placebo_of == "synthetic+best"]
    known = {(name, baseline): every for name, baseline, every in reversed(pairs)}
    own = trained_apart(outcomes, measured)
    found = []
    for name, baseline in dict.fromkeys((name, baseline) for name, baseline, _ in pairs if name != baseline):
        arm, base = outcomes[place[name]], outcomes[place[baseline]]
        table = verdict.changes(measured[place[name]], measured[place[baseline]], LEVEL, among=own)
        facts = None
        if len(arm.trained) == 1:
            test = mcnemar(truth, predictions(arm), predictions(base))
            facts = {"better": test.better, "worse": test.worse, "p": test.p}
        found.append(Compared(name, baseline, table, facts, known[name, baseline]))
    return found


def trained_apart(outcomes: Sequence[Outcome], measured: Sequence[Measured]) -> list[Measured]:
    """The arms that tell what luck a training has: without those that are another's models once more."""
    return [one for outcome, one in zip(outcomes, measured, strict=True) if outcome.arm.after != "free"]


def predictions(outcome: Outcome) -> np.ndarray:
    """(S, N) int64, one row per seed."""
    return np.stack([trained.probabilities.argmax(axis=1) for trained in outcome.trained])


def mean_level(images: ImageSet, guesses: Sequence[np.ndarray]) -> float:
    """The balanced accuracy on labelled images, the mean over the seeds; a row (N,) of guessed classes for each."""
    ones = np.ones((1, len(images)), np.float32)
    return float(np.mean([verdict.scores(images.labels, g, images.class_names, ones)[PRIMARY][0] for g in guesses]))


def rows(
    compared: Sequence[Compared], settings: RetrainConfig, about: str, named: Sequence[str]
) -> list[dict[str, Any]]:
    """The comparisons as `results.json` holds them.

    Within each family of like claims (one metric over all comparisons, one measure over the classes of one comparison)
    Holm's correction says at which level each is judged: `low`, `high` and the word are of that `level`; `single` is
    the 95% interval by itself. Not corrected are the claims named beforehand, on which the verdict rests: the arm it is
    `about` against the `named` baselines.
    """
    claims = {(about, baseline) for baseline in named}
    adjusted, alphas = _families(compared, claims)
    found = []
    for i, pair in enumerate(compared):
        for metric, single in pair.changes.items():
            if ":" in metric and not pair.every_class:
                continue
            alpha = alphas[i, metric]
            change = single.at(1 - alpha)
            reach = detectable(single, level=LEVEL)
            found.append(
                {
                    "arm": pair.arm,
                    "baseline": pair.baseline,
                    "metric": metric,
                    "change": change.mean,
                    "low": change.low,
                    "high": change.high,
                    "word": verdict.word(change, settings.margin),
                    "level": 1 - alpha,
                    "single": {"low": single.low, "high": single.high},
                    "p": single.p,
                    "p_holm": adjusted[i, metric],
                    "detectable": reach.least,
                    "detectable_80": reach.likely,
                    **({"mcnemar": pair.test} if metric == "accuracy" and pair.test else {}),
                }
            )
    return found


def corrected(
    compared: Sequence[Compared], about: str, named: Sequence[str]
) -> dict[tuple[str, str], dict[str, Estimate]]:
    """The overall changes of every comparison, (arm, baseline), each with the interval of its row (see `rows`)."""
    _, alphas = _families(compared, {(about, baseline) for baseline in named})
    return {
        (pair.arm, pair.baseline): {
            metric: change.at(1 - alphas[i, metric]) for metric, change in pair.changes.items() if ":" not in metric
        }
        for i, pair in enumerate(compared)
    }


def _families(
    compared: Sequence[Compared], claims: Collection[tuple[str, str]]
) -> tuple[dict[tuple[int, str], float], dict[tuple[int, str], float]]:
    """Holm's corrected p-value of every row, and the alpha at which it was judged."""
    families: dict[object, dict[tuple[int, str], float]] = {}
    for i, pair in enumerate(compared):
        alone = (pair.arm, pair.baseline) in claims
        for metric, change in pair.changes.items():
            if ":" in metric and not pair.every_class:
                continue
            measure, colon, _ = metric.partition(":")
            family: object = (i, measure) if colon or alone else measure
            families.setdefault(family, {})[i, metric] = change.p
    adjusted = {key: p for family in families.values() for key, p in holm(family).items()}
    alphas = {key: a for family in families.values() for key, a in holm_levels(family, 1 - LEVEL).items()}
    return adjusted, alphas


def claimed(outcomes: Sequence[Outcome], selection: Selection) -> tuple[str, list[str]]:
    """The arm that the verdict is about, and the baselines it is measured against: the first decides.

    It is about `synthetic+best` where that was trained, else about `synthetic`, else `distilled+synthetic`, else about
    the first other arm; against the best arm without synthetic images (chosen on validation), against the arm that does
    the same without them where there is one, then against the original. An arm that itself trained on no synthetic
    image is measured against the original alone.
    """
    names = [outcome.arm.name for outcome in outcomes[1:]]
    about = next((name for name in SPOKEN_OF if name in names), names[0])
    first = outcomes[0].arm.name
    if not ARMS[about].synthetic:
        return about, [first]
    return about, list(dict.fromkeys([selection.best_without or first, *filter(None, [ARMS[about].rival]), first]))


def decide(
    outcomes: Sequence[Outcome],
    compared: Sequence[Compared],
    selection: Selection,
    settings: RetrainConfig,
    fitted: Estimate | None = None,
    beside: Sequence[str] = (),
    rebalancing: str = "",
) -> dict[str, Any]:
    """The verdict for `results.json`.

    fitted: the change of balanced accuracy with class biases fitted in every arm. beside: what must be read with it.
    rebalancing: that of `synthetic+best` in words, where it is not the best arm's title.
    """
    title = {outcome.arm.name: outcome.arm.title.lower() for outcome in outcomes}
    table = {(pair.arm, pair.baseline): pair.changes for pair in compared}
    first = outcomes[0].arm.name
    about, baselines = claimed(outcomes, selection)
    same = ARMS[about].rival

    def claim(baseline: str) -> Claim:
        why = "the best arm without synthetic images (on validation)"
        why = "the same training without the faces" if baseline == same != selection.best_without else why
        against = "the original training" if baseline == first else f"{title[baseline]} alone, {why}"
        return Claim(against, table[about, baseline])

    turns = max(len(outcome.data.turns) for outcome in outcomes)
    faces = f"Synthetic faces of such generators (of {turns})" if turns > 1 else "These synthetic faces"
    what = {
        "synthetic": faces,
        "synthetic+best": f"{faces}, with {rebalancing or title.get(selection.best_rebalancing, '')},",
        "distilled+synthetic": f"{faces}, labelled by the ensemble,",
    }.get(about, f"The changes of the arm {about}")

    def judged(baseline: str) -> rule.Verdict:
        evidence = Evidence(
            claim(baseline),
            claim(first) if baseline != first else None,
            fitted if ARMS[about].synthetic else None,
            missing(title) if ARMS[about].synthetic else "",
        )
        return rule.verdict(evidence, what=what, margin=settings.margin, accuracy_margin=settings.accuracy_margin)

    baseline = baselines[0]
    found = judged(baseline)
    if found.word == "helps" and same and same != baseline:  # both are needed: the other decides
        baseline = same
        found = judged(baseline)
    more = [found.beside, *beside]
    cheap = selection.best_cheap
    if cheap and cheap not in baselines and about != cheap:
        other = table[cheap, first]
        figures = f"balanced accuracy {points(other[PRIMARY])}, accuracy {points(other['accuracy'])} points"
        more.insert(0, f"Without any synthetic face, {title[cheap]} brings {figures} over the original training.")
    return {
        "word": found.word,
        "sentence": found.sentence,
        "beside": " ".join(words for words in more if words),
        "arm": about,
        "baseline": first if found.by_original else baseline,
    }


def generator_words(outcomes: Sequence[Outcome], decided: Mapping[str, Any]) -> str:
    """What a claim about the faces of one generator leaves out; "" where there is none, or there were several.

    Its interval holds the luck of images and seeds. That of the generator (benchmarks/verdict_gans.py) is in it only
    where the seeds took turns with several.
    """
    arm = next(outcome for outcome in outcomes if outcome.arm.name == decided["arm"])
    if decided["word"] not in ("helps", "hurts") or not arm.arm.synthetic or arm.data.turns:
        return ""
    return (
        "One generator drew all of these faces; those of another, trained alike, may do better or worse than the "
        "interval says. Three count that in: ganfer generate --generators 3, ganfer label, ganfer retrain --batches 3."
    )


def missing(title: Collection[str]) -> str:
    """What has to be compared before *helps* can be said; "" where a way of rebalancing was."""
    return "" if set(title) & set(REBALANCING) else "oversampling or another way without synthetic images"
