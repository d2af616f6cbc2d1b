"""How many synthetic faces to add, what each should weigh and how to learn from them, found on validation. Never sees
the test split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from classifiers.config import TrainConfig
from ganfer.config import RetrainConfig
from ganfer.errors import ConfigError
from ganfer.experiment.arms import ARMS, Arm, Material, TrainingData, build_of, chosen_arms, with_faces
from ganfer.experiment.portions import portion, rare_first
from ganfer.experiment.trainings import Trainings
from ganfer.experiment.ways import suffix, tellable, ways_of
from ganfer.statistics import verdict

METRIC = "balanced_accuracy"
_WEIGHTS = (0.5, 1.0)  # of a face, where each arm is to try two settings and none are named
REBALANCED = "synthetic+best"  # the arm that has its own weight of a face


@dataclass(frozen=True)
class Candidate:
    """A way of adding faces: `count` in all, `ratio` per real image (None: all that were kept), their loss weight; how
    they are learned from is the material's."""

    name: str
    ratio: float | None
    count: int
    weight: float
    material: Material


@dataclass(frozen=True)
class Selected:
    """The chosen candidate, and what the report shows of the choice (empty when there was nothing to choose).

    rebalanced: the same faces with the weight and way that are best beside the best rebalancing; None where that was
    not asked.
    """

    chosen: Candidate
    curve: dict[str, Any]
    rebalanced: Candidate | None = None

    def candidate(self, arm: Arm) -> Candidate:
        """What an arm takes."""
        return self.rebalanced or self.chosen if arm.after == "best" else self.chosen


def parse_list(text: str, setting: str, *, low: float, high: float) -> list[float]:
    """Ascending different numbers of a comma-separated list. ConfigError names the setting for anything else."""
    try:
        found = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError:
        raise ConfigError(f"{setting} = {text!r}.", "Give numbers, like 0.25,0.5,1.") from None
    for value in found:
        if not low < value <= high:
            raise ConfigError(f"{setting} = {text!r}: {value:g} is out of range.", f"Above {low:g}, up to {high:g}.")
    return found


def ratios_of(settings: RetrainConfig) -> list[float]:
    """The ratios to try; none means all the kept faces."""
    return parse_list(settings.ratios, "retrain.ratios", low=0, high=1000)


def weights_of(settings: RetrainConfig) -> list[float]:
    """The loss weights to try, at the chosen ratio."""
    given = parse_list(settings.weights, "retrain.weights", low=0, high=10)
    return given or (list(_WEIGHTS) if settings.tries == 2 and not ratios_of(settings) else [])


def tries_of(settings: RetrainConfig) -> int:
    """Settings that validation tries in each arm without faces: as many as with them, two at most."""
    if settings.tries:
        return settings.tries
    several = (ratios_of(settings), weights_of(settings), ways_of(settings))
    return 2 if any(len(each) > 1 for each in several) else 1


def trainings_of(settings: RetrainConfig) -> int:
    """How many trainings per seed the search takes beyond the arms' own, at most."""
    ratios, weights, ways = len(ratios_of(settings)), len(weights_of(settings)), len(ways_of(settings))
    arms = chosen_arms(settings.arms)
    searches = 2 if any(arm.name == REBALANCED for arm in arms) else 1
    others = sum(arm.other is not None and arm.name != "features" for arm in arms) if tries_of(settings) > 1 else 0
    return max(0, ratios - 1) + searches * (max(0, weights - 1) + max(0, ways - 1)) + others


def select(
    trainings: Trainings,
    material: Material,
    config: TrainConfig,
    settings: RetrainConfig,
    level: float,
    *,
    along: Mapping[str, TrainingData] | None = None,
) -> Selected:
    """The ratio first, at the set weight, then the weight at that ratio, then the way to learn from the faces; every
    one trained with every seed.

    Of the ratios the smallest is taken that is within one standard error of the best (the one-standard-error rule,
    Breiman et al. 1984): where more faces stop bringing more is the stopping point. Of the weights and the
    ways the best is taken.
    along: trainings that are wanted anyway, to go with the first.
    """
    ratios = _by_ratio(material, ratios_of(settings), settings.weight)
    weights, ways = weights_of(settings), ways_of(settings)
    if len(ways) == 1:
        ratios = [in_way(candidate, ways[0]) for candidate in ratios]
    if len(ratios) == 1 and len(weights) < 2 and len(ways) < 2:
        only = ratios[0] if not weights else weighted(ratios[0], weights[0])
        return Selected(only, {})
    curve: dict[str, Any] = {"metric": METRIC, "split": "validation"}
    chosen = ratios[0]
    if len(ratios) > 1:
        start = {"original": TrainingData(material.real, np.ones(len(material.real), np.float32), config)}
        named = [(candidate.name, data_of(candidate, config)) for candidate in ratios]
        trainings.train({**start, **(along or {}), **dict(named)})
        scored = _scored(trainings, named, level, settings.resamples)
        place = smallest_good(scored)
        chosen = ratios[place]
        curve["ratios"] = _points(trainings, material, config, ratios, scored, place, level, settings.resamples)
        curve["stopping_point"] = chosen.ratio

    def prepare(candidate: Candidate) -> tuple[str, TrainingData]:
        return candidate.name, data_of(candidate, config)

    def best(candidates: Sequence[Candidate]) -> tuple[Candidate, list[dict[str, Any]]]:
        if len(ratios) == 1 and along:  # they wait for no choice, so they go with the first that are tried
            trainings.train({**along, **dict(prepare(candidate) for candidate in candidates)})
        return _best(trainings, candidates, prepare, level, settings.resamples)

    if weights:
        chosen, curve["weights"] = best([weighted(chosen, weight) for weight in weights])
    if len(ways) > 1:
        chosen, curve["ways"] = best([in_way(chosen, way) for way in tellable(config, ways)])
    return Selected(chosen, curve)


def select_rebalanced(
    trainings: Trainings, selected: Selected, best: str, config: TrainConfig, settings: RetrainConfig, level: float
) -> Selected:
    """The weight and the way once more, for the same faces beside the rebalancing arm `best`.

    There the weight decides more than how much a face teaches: priors and class weights count a face as its weight, so
    the heavier the faces, the less is left to rebalance.
    """
    weights, ways = weights_of(settings), ways_of(settings)
    if len(weights) < 2 and len(ways) < 2:
        return selected
    arm, curve = ARMS[REBALANCED], dict(selected.curve)
    chosen = in_way(selected.chosen, ways[0]) if len(ways) > 1 else selected.chosen

    def prepare(candidate: Candidate) -> tuple[str, TrainingData]:
        return folder_of(arm, candidate, best), arm.build(replace(candidate.material, best=best), config)

    if len(weights) > 1:
        tried = [weighted(chosen, weight) for weight in weights]
        chosen, curve["weights_with_best"] = _best(trainings, tried, prepare, level, settings.resamples)
    if len(ways) > 1:
        recipe = build_of(best)(selected.chosen.material, config).config
        tried = [in_way(chosen, way) for way in tellable(recipe, ways)]
        chosen, curve["ways_with_best"] = _best(trainings, tried, prepare, level, settings.resamples)
    return replace(selected, rebalanced=chosen, curve=curve)


def folder_of(arm: Arm, candidate: Candidate, best: str) -> str:
    """The folder of an arm that trains on (something in place of) the faces: with the chosen ratio and weight."""
    name = f"{arm.name}-{candidate.name.removeprefix('synthetic-')}"
    return f"{name}-{best}" if arm.after == "best" else name


def _best(
    trainings: Trainings,
    candidates: Sequence[Candidate],
    prepare: Callable[[Candidate], tuple[str, TrainingData]],
    level: float,
    resamples: int,
) -> tuple[Candidate, list[dict[str, Any]]]:
    """The candidate that is best, the first of equals, and the curve. prepare: its folder and training data."""
    scored = _scored(trainings, [prepare(candidate) for candidate in candidates], level, resamples)
    place = int(np.argmax([s.levels.mean for s in scored]))
    points = [_point(c, s, i == place) for i, (c, s) in enumerate(zip(candidates, scored, strict=True))]
    return candidates[place], points


def weighted(candidate: Candidate, weight: float) -> Candidate:
    """The same faces with another loss weight."""
    return _renamed(replace(candidate, weight=weight, material=replace(candidate.material, weight=weight)))


def in_way(candidate: Candidate, way: str) -> Candidate:
    """The same faces, learned from in another way."""
    return _renamed(replace(candidate, material=replace(candidate.material, way=way)))


def _renamed(candidate: Candidate) -> Candidate:
    base = candidate.name.partition("-w")[0]
    return replace(candidate, name=f"{base}-w{candidate.weight:g}{suffix(candidate.material.way)}")


@dataclass(frozen=True)
class Scored:
    """A candidate on validation: its level, and how far it stays behind the best one (paired; None for the best)."""

    levels: verdict.Estimate
    behind: verdict.Estimate | None


def smallest_good(scored: Sequence[Scored]) -> int:
    """The first candidate (they come in ascending order) that is the best or at most one standard error behind it."""
    return next(i for i, s in enumerate(scored) if s.behind is None or s.behind.mean <= s.behind.error)


def _by_ratio(material: Material, ratios: Sequence[float], weight: float) -> list[Candidate]:
    """A candidate per ratio; those that the kept faces are too few for become one, with all of them."""
    kept, real = material.kept, material.real
    available = list(kept.counts().values())
    plain = replace(material, weight=weight)
    if not ratios:
        return [_renamed(Candidate("synthetic", None, len(kept), weight, plain))]
    found: dict[int, Candidate] = {}
    for ratio in ratios:
        counts = rare_first(list(real.counts().values()), available, max(1, round(ratio * len(real))))
        faces = portion(kept, counts, material.seed)
        unscreened = portion(material.unscreened, counts, material.seed)
        if len(faces) in found:
            continue
        reached = ratio if len(faces) < len(kept) else len(kept) / len(real)
        turns = tuple(portion(one, counts, material.seed) for one in material.turns)
        taken = replace(plain, kept=faces, unscreened=unscreened, turns=turns)
        found[len(faces)] = _renamed(Candidate(f"synthetic-r{ratio:g}", round(reached, 4), len(faces), weight, taken))
    return list(found.values())


def data_of(candidate: Candidate, config: TrainConfig) -> TrainingData:
    """What the arm `synthetic` trains on if this candidate is chosen."""
    return with_faces(candidate.material, config)


def _scored(
    trainings: Trainings, candidates: Sequence[tuple[str, TrainingData]], level: float, resamples: int
) -> list[Scored]:
    found = trainings.train(dict(candidates))
    measured = [_measured(trainings, found[name], resamples) for name, _ in candidates]
    best = int(np.argmax([m.plain[METRIC].mean() for m in measured]))
    return [
        Scored(
            verdict.estimates(m, level)[METRIC],
            None if i == best else verdict.changes(measured[best], m, level, among=measured)[METRIC],
        )
        for i, m in enumerate(measured)
    ]


def _measured(trainings: Trainings, probabilities: np.ndarray, resamples: int) -> verdict.Measured:
    val = trainings.val
    return verdict.measure(val.labels, probabilities.argmax(axis=2), val.class_names, resamples=resamples)


def _points(
    trainings: Trainings,
    material: Material,
    config: TrainConfig,
    candidates: Sequence[Candidate],
    scored: Sequence[Scored],
    place: int,
    level: float,
    resamples: int,
) -> list[dict[str, Any]]:
    """The curve, from no synthetic face at all (the arm `original`, which is trained anyway)."""
    real = TrainingData(material.real, np.ones(len(material.real), np.float32), config)
    none = _measured(trainings, trainings.train({"original": real})["original"], resamples)
    start = Candidate("original", 0.0, 0, candidates[0].weight, material)
    first = _point(start, Scored(verdict.estimates(none, level)[METRIC], None), False)
    return [first, *(_point(c, s, i == place) for i, (c, s) in enumerate(zip(candidates, scored, strict=True)))]


def _point(candidate: Candidate, scored: Scored, chosen: bool) -> dict[str, Any]:
    level = scored.levels
    return {
        "ratio": candidate.ratio,
        "weight": candidate.weight,
        "way": candidate.material.way,
        "count": candidate.count,
        "mean": level.mean,
        "low": level.low,
        "high": level.high,
        "chosen": chosen,
    }
