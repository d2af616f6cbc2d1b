"""How a classifier learns from faces that are not quite real: ways beside mixing them in as they are, by name.

Several are joined by "+". What each does in a training is in `classifiers`: `TrainConfig` names its setting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from classifiers.config import TrainConfig
from classifiers.split_norm import has_batch_norm
from ganfer.config import RetrainConfig
from ganfer.errors import ConfigError, did_you_mean

PLAIN, EVERY = "plain", "all"
_LAST = 0.2  # share of the steps, of the last stage on real images
_WORDS: Mapping[str, str] = {
    "own-norms": "batch-norm statistics of their own for them (after AdvProp, Xie et al. 2020)",
    "own-affine": "batch-norm statistics, gains and biases of their own for them (after AdvProp, Xie et al. 2020)",
    "real-last": "a new head on real images alone in the last fifth of the steps, classes drawn equally often "
    "(Kang et al. 2020; SYNAuG 2023)",
    "real-priors": "class priors from the real images alone",
    "mixed": "every image mixed with one of the other source (mixup, Zhang et al. 2018)",
}
WAYS = (PLAIN, *_WORDS)
_APART = (("own-norms", "own-affine"), ("own-norms", "mixed"), ("own-affine", "mixed"))
_BY_PRIORS = ("logit-adjusted", "class-weighted", "ldam")  # losses that count the images of a class


def parsed(way: str, setting: str) -> str:
    """A way or several joined by "+", in the order of `WAYS`. ConfigError names the setting for anything else."""
    parts = [part.strip() for part in way.split("+") if part.strip()] or [PLAIN]
    for part in parts:
        if part not in WAYS:
            raise ConfigError(f"{setting} = {way!r}: unknown way {part!r}.", did_you_mean(part, WAYS))
    for one, other in _APART:
        if one in parts and other in parts:
            raise ConfigError(f"{setting} = {way!r}: {one} and {other} cannot be joined.", "Leave one of them out.")
    return "+".join(name for name in WAYS if name in parts and (name != PLAIN or len(parts) == 1)) or PLAIN


def ways_of(settings: RetrainConfig) -> list[str]:
    """The ways to try, the plain one first; empty for the set one alone."""
    given = [part.strip() for part in settings.ways.split(",") if part.strip()]
    if EVERY in given:
        given = [*(name for name in WAYS if name != "own-affine"), *(name for name in given if name != EVERY)]
    found = dict.fromkeys(parsed(name, "retrain.ways") for name in given)
    return sorted(found, key=lambda name: name != PLAIN)


def refuse(settings: RetrainConfig, config: TrainConfig) -> None:
    """ConfigError for ways that there are not, or that the classifier cannot take."""
    asked = {part for way in [parsed(settings.way, "retrain.way"), *ways_of(settings)] for part in way.split("+")}
    if asked & {"own-norms", "own-affine"} and not has_batch_norm(config):
        raise ConfigError(
            f"The classifier {config.model} has no batch norm, which own-norms would give the faces apart.",
            "Leave the way out of retrain.way and retrain.ways, or take another classifier.model.",
        )


def learned(config: TrainConfig, way: str) -> TrainConfig:
    """The settings of a training that learns in this way."""
    changes: dict[str, Any] = {}
    for part in way.split("+"):
        match part:
            case "own-norms":
                changes["auxiliary_norm"] = "statistics"
            case "own-affine":
                changes["auxiliary_norm"] = "affine"
            case "real-last":
                changes |= {"refit": config.refit or _LAST, "refit_on": "real"}
            case "real-priors" if config.loss in _BY_PRIORS:
                changes["prior"] = "real"
            case "mixed":
                changes["mixup_across"] = config.mixup or 0.2
    return replace(config, **changes)


def tellable(config: TrainConfig, ways: Sequence[str]) -> list[str]:
    """The ways that come to different settings here: without priors in the loss, real-priors is the plain one."""
    found: dict[TrainConfig, str] = {}
    for way in ways:
        found.setdefault(learned(config, way), way)
    return list(found.values())


def words(config: TrainConfig, way: str) -> str:
    """For an arm's description; empty for the plain one, and for what changes nothing here."""
    parts = [part for part in way.split("+") if part in _WORDS and learned(config, part) != config]
    return "; ".join(_WORDS[part] for part in parts)


def suffix(way: str) -> str:
    """What a folder's name ends in: nothing for the plain way, whose trainings were made before there were others."""
    return "" if way == PLAIN else f"-{way}"


def identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an experiment that change what comes out: not how many trainings run side by side, and what came
    later only where it is set, so that reports made before are found."""
    later = {"way": PLAIN, "ways": ""}
    incidental = ("workers", "pretrained")  # whose weights are named by their digest
    return {
        name: value
        for name, value in settings.items()
        if name not in incidental and (name not in later or value != later[name])
    }
