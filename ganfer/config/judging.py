"""Classifiers: the experiment, evaluation, cross-validation, search."""

from dataclasses import dataclass

from ganfer.config.fields import setting


@dataclass(frozen=True)
class RetrainConfig:
    """The comparison of training with and without synthetic images."""

    arms: str = setting(
        "default",
        "arms of the experiment, comma-separated; lists: quick, default, cheap, rivals, distillation, placebos, "
        "ceiling, all",
    )
    seeds: int = setting(3, "paired trainings per arm", low=1, high=100)
    weight: float = setting(1.0, "loss weight of a synthetic image", low=0, high=10)
    margin: float = setting(0.01, "a change of balanced accuracy smaller than this makes no difference", low=0, high=1)
    accuracy_margin: float = setting(0.005, "the loss of accuracy a gain may cost", low=0, high=1)
    resamples: int = setting(2000, "bootstrap resamples behind every interval", low=100)
    ratios: str = setting(
        "", "synthetic faces per real training image to try, like 0.25,0.5,1,2; validation decides; empty = all kept"
    )
    weights: str = setting("", "loss weights of a synthetic image to try, like 0.25,0.5,1; validation decides")
    soft_labels: bool = setting(False, "train on the labeller's probabilities of a synthetic image, not on one class")
    batches: str = setting(
        "",
        "labelled batches of several GANs that the seeds take turns with: names, comma-separated, or how many of those "
        "that `generate --generators` drew; empty = the newest batch",
    )
    fresh: int = setting(
        0, "sets of synthetic faces that the passes of a training take in turn, drawn and screened as the kept ones "
        "were; 0 = the kept ones in every pass", low=0, high=1000,
    )  # fmt: skip
    way: str = setting(
        "plain", "how classifiers learn from the faces: plain, own-norms, own-affine, real-last, real-priors, mixed; "
        "several joined by +",
    )  # fmt: skip
    ways: str = setting(
        "", "such ways to try, comma-separated, like plain,own-norms,real-last+real-priors; all: plain and each by "
        "itself; validation decides",
    )  # fmt: skip
    pretrained: str = setting(
        "", "folder of a classifier trained on other images: adds the arm pretrained, which starts from its weights"
    )
    tries: int = setting(
        0, "settings tried in each arm on validation; 0 = two where the faces have several (ratios, weights, ways), "
        "else one",
        low=0, high=2,
    )  # fmt: skip
    keep: str = setting(
        "single", "what is kept as the classifier `best`: one model of the recommended arm, all its seeds as an "
        "ensemble, or one net distilled from them", choices=("single", "ensemble", "distilled"),
    )  # fmt: skip
    workers: int = setting(0, "trainings side by side; 0 = as many as the machine takes", low=0, high=256)
    folds: int = setting(
        0, "outer folds, GAN and labeller trained anew in each; by subject where known; 0 = the data's own test split",
        low=0, high=100,
    )  # fmt: skip


@dataclass(frozen=True)
class EvaluateConfig:
    """How a trained classifier is measured."""

    split: str = setting("test", "split to measure on", choices=("test", "val"))
    tta: str = setting("none", "test-time augmentation", choices=("none", "flip", "ten-crop"))
    beta: float = setting(2.0, "beta of F-beta; above 1 values recall", low=0.01, high=100)
    thresholds: str = setting(
        "", "confidence a prediction needs: 'auto' (90% right on validation), auto:0.95, or happy=0.8,sad=0.6; empty: 0"
    )
    stress: bool = setting(False, "measure under shift, zoom, rotation, blur, noise and brightness, too")
    resamples: int = setting(2000, "bootstrap resamples behind every interval", low=100)


@dataclass(frozen=True)
class CrossvalConfig:
    """k-fold cross-validation of the classifier's settings."""

    folds: int = setting(10, "how many folds", low=2, high=1000)
    by: str = setting(
        "auto",
        "folds at random, by subject (group), or both; auto is both where subjects are known",
        choices=("auto", "random", "group", "both"),
    )
    splits: str = setting("all", "images to fold: all, or train and val only", choices=("all", "train"))
    tta: str = setting("none", "test-time augmentation", choices=("none", "flip", "ten-crop"))
    workers: int = setting(0, "trainings side by side; 0 = as many as measure well here", low=0, high=1024)


@dataclass(frozen=True)
class AuditConfig:
    """Labels that are probably wrong: `ganfer data audit`."""

    folds: int = setting(4, "folds of the training and validation images, each judged by a model of the others", low=2)


@dataclass(frozen=True)
class TuneConfig:
    """The search for better classifier settings."""

    space: str = setting("default", "search space: default, eight-class, or a TOML file")
    trials: int = setting(30, "finished trials to reach, those of earlier calls included", low=1, high=1_000_000)
    minutes: float = setting(0.0, "begin no trial after this many minutes; 0 = no limit", low=0)
    sampler: str = setting("auto", "how settings are drawn; auto is the space's own, or tpe", choices=(
        "auto", "tpe", "random", "grid"
    ))  # fmt: skip
    pruning: bool = setting(True, "stop trials early that validate worse than the median of the others")
    metric: str = setting(
        "balanced_accuracy",
        "validation figure to raise (nll, in nats, to lower)",
        choices=("balanced_accuracy", "accuracy", "macro_f1", "nll"),
    )
    workers: int = setting(1, "trials side by side, each in a process of its own", low=1, high=1024)
    storage: str = setting("", "database of the study, e.g. postgresql://user@host/db; empty = SQLite in the workspace")
