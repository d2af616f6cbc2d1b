"""Every training of an experiment before the first begins: which there are, where each lies, and what it waits for.

Stage 1 waits for no choice. A later stage waits for choices that validation makes from the stages before it. How many
trainings there are, what a dry run says and what is trained all come from here. Nothing is trained and no image read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from classifiers.config import TrainConfig
from ganfer.config import RetrainConfig
from ganfer.errors import ConfigError
from ganfer.experiment.arms import ARMS, Arm
from ganfer.experiment.material import Build
from ganfer.experiment.ways import PLAIN, parsed, suffix, tellable, ways_of

SYNTHETIC = "synthetic"  # the arm whose ratio and weight of the faces every other arm with faces takes
REBALANCED = "synthetic+best"  # the arm that has a weight of its own
_WEIGHTS = (0.5, 1.0)  # of a face, where each arm is to try two settings and none are named

Choice = Literal["ratio", "weight", "way", "best", "weight_with_best", "way_with_best", "teacher"]
_WORDS: dict[Choice, str] = {
    "ratio": "the ratio of faces",
    "weight": "their weight",
    "way": "the way to learn from them",
    "best": "the best rebalancing",
    "weight_with_best": "the weight beside it",
    "way_with_best": "the way beside it",
    "teacher": "the original's models",
}


@dataclass(frozen=True)
class Planned:
    """A training with every seed: an arm in one of its settings, or with one of the ratios, weights or ways to learn
    from faces to choose from.

    folder: below `trainings/`, without the seed; a choice that it waits for stands in braces. ratio, weight, way: of
    the faces; None where they are chosen (or, the ratio, where all the kept faces are taken).
    """

    arm: Arm
    folder: str
    build: Build
    waits: tuple[Choice, ...] = ()
    ratio: float | None = None
    weight: float | None = None
    way: str | None = None

    def shown(self) -> str:
        """The folder with a * for what is not chosen yet."""
        return self.folder.format(**dict.fromkeys(_WORDS, "*"))


@dataclass(frozen=True)
class Plan:
    """The trainings of an experiment; the fields are the settings that decide which there are.

    ratios: those to try; of one or none nothing is chosen. weights, ways: likewise; none is `weight`, `way`. tries:
    settings of each arm without faces. distilled: whether one more net learns from the recommended arm's, when all is
    known. loss: of all arms that have none of their own.
    """

    arms: tuple[Arm, ...]
    seeds: int
    ratios: tuple[float, ...]
    weights: tuple[float, ...]
    weight: float
    tries: int
    distilled: bool
    ways: tuple[str, ...] = ()
    way: str = PLAIN
    loss: str = "cross-entropy"

    @property
    def chooses_ratio(self) -> bool:
        """Whether validation chooses how many faces are added."""
        return len(self.ratios) > 1

    @property
    def chooses_weight(self) -> bool:
        """Whether validation chooses what a face weighs."""
        return len(self.weights) > 1

    @property
    def chooses_way(self) -> bool:
        """Whether validation chooses how a classifier learns from the faces."""
        return len(self.ways) > 1

    @property
    def first_way(self) -> str:
        """The one with which ratios and weights are tried."""
        return self.ways[0] if self.ways else self.way

    @cached_property
    def stages(self) -> list[list[Planned]]:
        """The trainings before the test split is looked at, each in the first stage in which it can be."""
        found = self._trainings()
        last = max(self.stage_of(each) for each in found)
        return [[each for each in found if self.stage_of(each) == number] for number in range(1, last + 1)]

    @property
    def count(self) -> int:
        """How many trainings there are, every seed counted; the last, for a distilled net, has one."""
        return sum(map(len, self.stages)) * self.seeds + self.distilled

    def stage_of(self, planned: Planned) -> int:
        """The stage after the last one from which a choice is made that it waits for."""
        weight = 2 if self.chooses_ratio else 1
        from_stage: dict[Choice, int] = {
            "ratio": 1, "best": 1, "teacher": 1, "weight": weight, "weight_with_best": 2,
            "way": 1 + (weight if self.chooses_weight else int(self.chooses_ratio)),
            "way_with_best": 3 if self.chooses_weight else 2,
        }  # fmt: skip
        return 1 + max((from_stage[choice] for choice in planned.waits), default=0)

    @staticmethod
    def takes_faces(arm: Arm) -> bool:
        """Whether an arm takes the chosen ratio and weight; one that is made of a teacher's opinion has settings."""
        return arm.faces and arm.after != "teacher"

    def settings_of(self, arm: Arm) -> list[Planned]:
        """What an arm that does not take them is trained in; validation takes the best."""
        waits: tuple[Choice, ...] = ("teacher",) if arm.after == "teacher" else ()
        settings = [("", arm.build), *([arm.other] if arm.other and self.tries > 1 else [])]
        return [Planned(arm, arm.name + ending, build, waits) for ending, build in settings]

    def with_faces(
        self, arm: Arm, ratio: float | None = None, weight: float | None = None, way: str | None = None
    ) -> Planned:
        """An arm that trains on (something in place of) the faces: with this ratio, weight and way to learn from them,
        or the chosen ones."""
        waits: list[Choice] = []
        ratio_words = weight_words = best_words = ""
        if self.ratios:
            if ratio is None and not self.chooses_ratio:
                ratio = self.ratios[0]
            ratio_words = "r{ratio}-" if ratio is None else f"r{ratio:g}-"
            waits += ["ratio"] if ratio is None else []
        if weight is None and not self.chooses_weight:
            weight = self.weights[0] if self.weights else self.weight
        if weight is None:
            waits.append("weight_with_best" if arm.after == "best" else "weight")
        weight_words = f"w{{{waits[-1]}}}" if weight is None else f"w{weight:g}"
        if way is None and not self.chooses_way:
            way = self.first_way
        if way is None:
            waits.append("way_with_best" if arm.after == "best" else "way")
        way_words = f"{{{waits[-1]}}}" if way is None else suffix(way)
        if arm.after == "best":
            waits.append("best")
            best_words = "-{best}"
        folder = f"{arm.name}-{ratio_words}{weight_words}{way_words}{best_words}"
        return Planned(arm, folder, arm.build, tuple(waits), ratio, weight, way)

    def ratios_tried(self) -> list[Planned]:
        """What the ratio is chosen from; none where there is no choice."""
        tried = self.ratios if self.chooses_ratio else ()
        return [self.with_faces(ARMS[SYNTHETIC], ratio, self.weight, self.first_way) for ratio in tried]

    def weights_tried(self, name: str = SYNTHETIC) -> list[Planned]:
        """What the weight is chosen from, at the chosen ratio, alone or beside the best rebalancing."""
        wanted = self.chooses_weight or (self.weights and self.chooses_ratio and name == SYNTHETIC)
        return [self.with_faces(ARMS[name], weight=w, way=self.first_way) for w in self.weights] if wanted else []

    def ways_tried(self, name: str = SYNTHETIC) -> list[Planned]:
        """What the way to learn from the faces is chosen from, at the chosen ratio and weight; of ways that come to the
        same in a loss that is known, one."""
        if not self.chooses_way:
            return []
        ways = tellable(TrainConfig(loss=self.loss), self.ways) if name == SYNTHETIC else self.ways
        return [self.with_faces(ARMS[name], way=way) for way in ways]

    def lines(self, model: str) -> list[str]:
        """The plan in words."""
        names = ", ".join(arm.name for arm in self.arms)
        found = [f"train {model} with {self.seeds} seed(s) in each arm: {names}"]
        if self.ratios:
            found.append(f"before that, find the ratio of synthetic faces on validation: {_listed(self.ratios)}")
        if self.weights:
            found.append(f"and their weight: {_listed(self.weights)}")
        if self.ways:
            found.append(f"and how to learn from them: {', '.join(self.ways)}")
        for number, stage in enumerate(self.stages, 1):
            choices = dict.fromkeys(choice for each in stage for choice in each.waits)
            waits = ", ".join(_WORDS[choice] for choice in choices) or "no choice"
            shown = ", ".join(each.shown() for each in stage)
            found.append(f"stage {number}, {len(stage) * self.seeds} trainings that wait for {waits}: {shown}")
        if self.distilled:
            found.append("finally, one network distilled from the recommended arm's")
        return found

    def _trainings(self) -> list[Planned]:
        search = self.ratios_tried()
        # one of the ratios is trained with `weight` already
        search += [each for each in self.weights_tried() if not (self.chooses_ratio and each.weight == self.weight)]
        known = self.chooses_ratio or self.chooses_weight  # the first way is trained already, in these
        search += [each for each in self.ways_tried() if not (known and each.way == self.first_way)]
        if any(arm.after == "best" for arm in self.arms):
            search += self.weights_tried(REBALANCED)
            known = self.chooses_weight
            search += [each for each in self.ways_tried(REBALANCED) if not (known and each.way == self.first_way)]
        searched = {each.arm.name for each in search}
        found = []
        for arm in self.arms:
            if self.takes_faces(arm):
                found += [] if arm.name in searched else [self.with_faces(arm)]
            elif arm.after != "free":
                found += self.settings_of(arm)
        return [*found, *search]


def plan_of(
    settings: RetrainConfig,
    arms: Sequence[Arm],
    ratios: Sequence[float] | None = None,
    loss: str = "cross-entropy",
) -> Plan:
    """The plan of an experiment with these arms. ratios: those for which there are faces; None before that is known.
    loss: that all arms have but those with their own."""
    weights, ways = weights_of(settings), ways_of(settings)
    tries = settings.tries or (2 if any(len(each) > 1 for each in (ratios_of(settings), weights, ways)) else 1)
    ratios = ratios_of(settings) if ratios is None else ratios
    return Plan(
        tuple(arms), settings.seeds, tuple(ratios), tuple(weights), settings.weight, tries,
        settings.keep == "distilled", tuple(ways), parsed(settings.way, "retrain.way"), loss,
    )  # fmt: skip


def ratios_of(settings: RetrainConfig) -> list[float]:
    """The ratios to try; none means all the kept faces."""
    return parse_list(settings.ratios, "retrain.ratios", low=0, high=1000)


def weights_of(settings: RetrainConfig) -> list[float]:
    """The loss weights to try, at the chosen ratio."""
    given = parse_list(settings.weights, "retrain.weights", low=0, high=10)
    return given or (list(_WEIGHTS) if settings.tries == 2 and not ratios_of(settings) else [])


def parse_list(text: str, setting: str, *, low: float, high: float) -> list[float]:
    """Ascending different numbers of a comma-separated list. ConfigError names the setting for anything else."""
    try:
        found = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError:
        raise ConfigError(f"{setting} = {text!r}.", "Give numbers, like 0.25,0.5,1.") from None
    if len({f"{value:g}" for value in found}) < len(found):  # as folders are named
        raise ConfigError(f"{setting} = {text!r}: two are the same in six digits.", "Leave one of them out.")
    for value in found:
        if not low < value <= high:
            raise ConfigError(f"{setting} = {text!r}: {value:g} is out of range.", f"Above {low:g}, up to {high:g}.")
    return found


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
