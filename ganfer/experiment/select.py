"""What validation chooses, and so what the planned trainings are made from. Never sees the test split.

A choice is made when it is first asked for, from trainings of the stages before, and stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from classifiers.config import TrainConfig
from ganfer.experiment.arms import REBALANCING, Arm
from ganfer.experiment.comparisons import LEVEL, PRIMARY, mean_level
from ganfer.experiment.material import Material, TrainingData
from ganfer.experiment.original import after_original
from ganfer.experiment.plan import REBALANCED, Choice, Plan, Planned
from ganfer.experiment.ratios import Portion
from ganfer.experiment.trainings import Trainings
from ganfer.experiment.ways import PLAIN, suffix
from ganfer.statistics import verdict


@dataclass(frozen=True)
class Selected:
    """The ratio (None: all the kept faces), the weights of a face and the ways to learn from it, alone and beside the
    best rebalancing; and what the report shows of the choice (empty when there was nothing to choose)."""

    ratio: float | None
    weight: float
    weight_with_best: float
    curve: Mapping[str, Any]
    way: str = PLAIN
    way_with_best: str = PLAIN


class Choices:
    """The choices of an experiment, each by the name that `Planned.waits` has for it."""

    def __init__(
        self, plan: Plan, portions: Sequence[Portion], material: Material, config: TrainConfig, trainings: Trainings,
        resamples: int,
    ) -> None:  # fmt: skip
        self._plan, self._portions, self._material, self._config = plan, portions, material, config
        self._trainings, self._resamples = trainings, resamples
        self._seen: dict[tuple[str, ...], list[Scored]] = {}

    # --- each choice ----------------------------------------------------------------------------------------------

    @cached_property
    def ratio(self) -> Portion:
        """The smallest portion that is within one standard error of the best (the one-standard-error rule, Breiman et
        al. 1984): where more faces stop bringing more is the stopping point."""
        tried = self._plan.ratios_tried()
        return self._portions[smallest_good(self._scored(tried)) if tried else 0]

    @cached_property
    def weight(self) -> float:
        """The best loss weight of a face, at the chosen ratio."""
        return self._best_weight(self._plan.weights_tried())

    @cached_property
    def weight_with_best(self) -> float:
        """The best weight of the same faces beside the best rebalancing.

        There it decides more than how much a face teaches: priors and class weights count a face as its weight, so the
        heavier the faces, the less is left to rebalance.
        """
        return self._best_weight(self._plan.weights_tried(REBALANCED))

    @cached_property
    def way(self) -> str:
        """The best way to learn from the faces, at the chosen ratio and weight; the first of equals."""
        return self._best_way(self._plan.ways_tried())

    @cached_property
    def way_with_best(self) -> str:
        """The best way to learn from the same faces beside the best rebalancing."""
        return self._best_way(self._plan.ways_tried(REBALANCED))

    @cached_property
    def best(self) -> str:
        """The folder of the best rebalancing arm, in its best setting."""
        there = {arm.name: arm for arm in self._plan.arms}
        return self._best_of([self.setting(there[name]).folder for name in REBALANCING if name in there])

    @cached_property
    def teacher(self) -> Mapping[str, Any]:
        """What arms are made of once the original is trained, as parts of the material."""
        return after_original(self._trainings, self._material, [arm.name for arm in self._plan.arms], self._plan.tries)

    def setting(self, arm: Arm) -> Planned:
        """The best setting of an arm that has several, or its only one."""
        settings = {each.folder: each for each in self._plan.settings_of(arm)}
        return settings[self._best_of(list(settings))] if len(settings) > 1 else next(iter(settings.values()))

    def final(self, arm: Arm) -> Planned:
        """The training that stands for an arm in the report."""
        return self._plan.with_faces(arm) if self._plan.takes_faces(arm) else self.setting(arm)

    # --- what they lead to ----------------------------------------------------------------------------------------

    def folder(self, planned: Planned) -> str:
        """Where a planned training lies, once everything that it waits for is chosen."""
        return planned.folder.format(**{choice: self._named(choice) for choice in planned.waits})

    def data(self, planned: Planned) -> TrainingData:
        """What a planned training trains on."""
        material = self._material
        if self._plan.takes_faces(planned.arm):
            weight = planned.weight
            if weight is None:
                weight = self.weight_with_best if "weight_with_best" in planned.waits else self.weight
            way = planned.way
            if way is None:
                way = self.way_with_best if "way_with_best" in planned.waits else self.way
            material = replace(self._portion(planned).material, weight=weight, way=way)
        if "best" in planned.waits:
            material = replace(material, best=self.best)
        if "teacher" in planned.waits:
            material = replace(material, **self.teacher)
        return planned.build(material, self._config)

    def made(self, stage: Sequence[Planned]) -> dict[str, TrainingData]:
        """A stage's trainings by folder, for `Trainings.train`."""
        return {self.folder(planned): self.data(planned) for planned in stage}

    def levels(self, folders: Sequence[str]) -> dict[str, float]:
        """The mean balanced accuracy on validation over the seeds."""
        found = self._trainings.validated(folders)
        return {name: mean_level(self._trainings.val, rows.argmax(axis=2)) for name, rows in found.items()}

    def selected(self) -> Selected:
        """Ratio, weights and ways, and the curves that they were chosen from."""
        plan = self._plan
        fixed = plan.weights[0] if plan.weights else plan.weight
        weight = self.weight if plan.chooses_weight else fixed
        with_best = any(arm.after == "best" for arm in plan.arms)
        beside = plan.chooses_weight and with_best
        weight_with_best = self.weight_with_best if beside else weight
        curve: dict[str, Any] = {}
        if plan.chooses_ratio:
            curve |= {"ratios": self._ratio_points(), "stopping_point": self.ratio.ratio}
        if plan.weights_tried():
            curve["weights"] = self._weight_points(plan.weights_tried(), weight)
        if beside:
            curve["weights_with_best"] = self._weight_points(plan.weights_tried(REBALANCED), weight_with_best)
        way = way_with_best = plan.first_way
        if plan.chooses_way:
            way = way_with_best = self.way
            curve["ways"] = self._way_points(plan.ways_tried(), weight, way)
        if plan.chooses_way and with_best:
            way_with_best = self.way_with_best
            curve["ways_with_best"] = self._way_points(plan.ways_tried(REBALANCED), weight_with_best, way_with_best)
        if curve:
            curve = {"metric": PRIMARY, "split": "validation", **curve}
        return Selected(self.ratio.ratio, weight, weight_with_best, curve, way, way_with_best)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _named(self, choice: Choice) -> str:
        """How a choice stands in a folder's name; the teacher does not."""
        if choice == "teacher":
            return ""
        found = getattr(self, choice)
        if choice in ("way", "way_with_best"):
            return suffix(found)
        return f"{found.asked:g}" if isinstance(found, Portion) else found if isinstance(found, str) else f"{found:g}"

    def _portion(self, planned: Planned) -> Portion:
        if "ratio" in planned.waits:
            return self.ratio
        return next(each for each in self._portions if each.asked == planned.ratio)

    def _best_of(self, folders: Sequence[str]) -> str:
        levels = self.levels(folders)
        return max(folders, key=lambda name: levels[name])

    def _best_weight(self, tried: Sequence[Planned]) -> float:
        scored = self._scored(tried)
        return self._plan.weights[int(np.argmax([each.levels.mean for each in scored]))]

    def _best_way(self, tried: Sequence[Planned]) -> str:
        scored = self._scored(tried)
        way = tried[int(np.argmax([each.levels.mean for each in scored]))].way
        assert way is not None, "each is tried by name"
        return way

    def _ratio_points(self) -> list[dict[str, Any]]:
        """The curve, from no synthetic face at all (the arm `original`, which is trained anyway)."""
        weight = self._plan.weight
        way = self._plan.first_way
        none = Scored(verdict.estimates(self._measured("original"), LEVEL)[PRIMARY], None)
        points = [_point(0.0, weight, way, 0, none, chosen=False)]
        for portion, scored in zip(self._portions, self._scored(self._plan.ratios_tried()), strict=True):
            points.append(_point(portion.ratio, weight, way, portion.count, scored, chosen=portion is self.ratio))
        return points

    def _weight_points(self, tried: Sequence[Planned], chosen: float) -> list[dict[str, Any]]:
        faces = self.ratio
        return [
            _point(faces.ratio, weight, self._plan.first_way, faces.count, scored, chosen=weight == chosen)
            for weight, scored in zip(self._plan.weights, self._scored(tried), strict=True)
        ]

    def _way_points(self, tried: Sequence[Planned], weight: float, chosen: str) -> list[dict[str, Any]]:
        faces = self.ratio
        return [
            _point(faces.ratio, weight, str(each.way), faces.count, scored, chosen=each.way == chosen)
            for each, scored in zip(tried, self._scored(tried), strict=True)
        ]

    def _scored(self, tried: Sequence[Planned]) -> "list[Scored]":
        folders = tuple(self.folder(planned) for planned in tried)
        if folders not in self._seen:
            measured = [self._measured(folder) for folder in folders]
            best = int(np.argmax([m.plain[PRIMARY].mean() for m in measured]))
            self._seen[folders] = [
                Scored(
                    verdict.estimates(m, LEVEL)[PRIMARY],
                    None if i == best else verdict.changes(measured[best], m, LEVEL, among=measured)[PRIMARY],
                )
                for i, m in enumerate(measured)
            ]
        return self._seen[folders]

    def _measured(self, folder: str) -> verdict.Measured:
        val, rows = self._trainings.val, self._trainings.validated([folder])[folder].argmax(axis=2)
        return verdict.measure(val.labels, rows, val.class_names, resamples=self._resamples)


@dataclass(frozen=True)
class Scored:
    """A candidate on validation: its level, and how far it stays behind the best one (paired; None for the best)."""

    levels: verdict.Estimate
    behind: verdict.Estimate | None


def smallest_good(scored: Sequence[Scored]) -> int:
    """The first candidate (they come in ascending order) that is the best or at most one standard error behind it."""
    return next(i for i, s in enumerate(scored) if s.behind is None or s.behind.mean <= s.behind.error)


def _point(ratio: float | None, weight: float, way: str, count: int, scored: Scored, *, chosen: bool) -> dict[str, Any]:
    level = scored.levels
    return {
        "ratio": ratio, "weight": weight, "way": way, "count": count, "mean": level.mean, "low": level.low,
        "high": level.high, "chosen": chosen,
    }  # fmt: skip
