"""Settings: frozen dataclasses, strict TOML, overrides from the command line.

Every default is written once, here (or in `classifiers.config` for the classifier). The command line takes its
defaults and help texts from these fields. Nothing here loads torch.
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classifiers.config import TrainConfig
from ganfer.errors import ConfigError, did_you_mean


def setting(
    default: Any, help: str, *, low: float | None = None, high: float | None = None, choices: tuple[Any, ...] = ()
) -> Any:
    """A config field with its meaning and allowed range, which the loader checks and the command line shows."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True)
class DataConfig:
    """How images enter the workspace."""

    size: int = setting(48, "side of the square images, in pixels", low=16, high=1024)
    channels: int = setting(1, "1 = grey, 3 = colour", choices=(1, 3))
    val_fraction: float = setting(0.1, "share of the training images held out for validation", low=0.01, high=0.5)
    test_fraction: float = setting(0.2, "share held out for the test, where the source has none", low=0.01, high=0.6)
    split_seed: int = setting(0, "seed of the split", low=0)
    min_side: int = setting(16, "images with a side shorter than this many pixels are skipped", low=1)
    face_confidence: float = setting(0.0, "smallest face confidence taken from sources that give one (ExpW)", low=0)
    workers: int = setting(0, "processes that decode images; 0 = one per core", low=0, high=256)


@dataclass(frozen=True)
class DrawnConfig:
    """The embedded drawn faces, used when the workspace holds no data."""

    total: int = setting(5700, "training faces, long-tailed over the classes like FER2013", low=100)
    val: int = setting(1200, "faces for validation, of other people", low=21)
    test: int = setting(2400, "faces for the test, of other people again", low=21)
    seed: int = setting(0, "seed of the drawn set", low=0)


@dataclass(frozen=True)
class GanConfig:
    """The generator's network and its training."""

    network: str = setting("dcgan", "network of the generator", choices=("dcgan", "resgan", "stylegan2"))
    conditional: bool = setting(True, "condition on the class")
    latent_dim: int = setting(100, "dimensions of the latent z", low=2, high=1024)
    base_channels: int = setting(32, "channels of the highest-resolution layer", low=4, high=512)
    loss: str = setting("non-saturating", "adversarial loss", choices=("non-saturating", "hinge", "relativistic"))
    guidance: float = setting(
        0.25, "weight of the guide: a small classifier that shows the generator what a class looks like; 0 = none",
        low=0, high=100,
    )  # fmt: skip
    guide_epochs: int = setting(10, "passes over the training images when training the guide", low=1)
    regulariser: str = setting(
        "r1",
        "what keeps the discriminator smooth; 'none' is the classic batch norm",
        choices=("spectral", "r1", "r1r2", "none"),
    )
    r1_gamma: float = setting(0.05, "weight of the gradient penalties (R1 at real images, R2 at generated)", low=0)
    r1_interval: int = setting(16, "steps between gradient penalties (lazy regularisation)", low=1)
    augment: str = setting("color,translation,cutout", "DiffAugment policies, comma-separated; empty = none")
    ada_target: float = setting(
        0.0, "augment only as often as keeps the discriminator's lead at this (ADA's 0.6); 0 = always", low=0, high=0.95
    )
    batch_size: int = setting(64, "images per step", low=2, high=65_536)
    steps: int = setting(4000, "optimiser steps of the generator", low=1)
    minutes: float = setting(0.0, "stop after this much training time; 0 = no limit", low=0)
    lr_generator: float = setting(4e-4, "Adam's learning rate, generator", low=0, high=1)
    lr_discriminator: float = setting(4e-4, "Adam's learning rate, discriminator", low=0, high=1)
    lr_final: float = setting(1.0, "share of the learning rates left at the end (cosine)", low=0, high=1)
    beta1: float = setting(0.5, "Adam's beta1", low=0, high=0.999)
    beta2: float = setting(0.999, "Adam's beta2", low=0, high=0.99999)
    ema_half_life: float = setting(10_000.0, "half-life of the generator's weight average, in images; 0 = none", low=0)
    transition: float = setting(
        0.15, "share of the training over which conditioning is switched on gradually; 0 = at once", low=0, high=1
    )
    balance: float = setting(
        0.5, "class sampling power: 0 = as the data is, 1 = all classes equally often", low=0, high=1
    )
    flip: bool = setting(True, "mirror training images at random")
    snapshot_every: int = setting(500, "steps between snapshots, grids and the held-back metric", low=1)
    checkpoint_seconds: float = setting(60.0, "seconds between resume points besides those at snapshots", low=0)
    holdout: float = setting(0.1, "share of the training images held back to choose the best snapshot", low=0, high=0.5)
    precision: str = setting(
        "auto", "bf16 on CUDA where it has it, else fp32", choices=("auto", "fp32", "bf16", "fp16")
    )

    def classic(self) -> "GanConfig":
        """The unconditional DCGAN of Radford et al. 2016; a setting that was changed from its default stays."""
        plain: dict[str, Any] = {
            "conditional": False,
            "base_channels": 64,
            "regulariser": "none",
            "lr_generator": 2e-4,
            "lr_discriminator": 2e-4,
            "augment": "",
            "batch_size": 128,
            "ema_half_life": 0.0,
            "transition": 0.0,
            "balance": 0.0,
            "flip": False,
        }
        return self._with_defaults(plain)

    def for_network(self) -> "GanConfig":
        """With the defaults that belong to `network`; a setting that was changed from its default stays."""
        return self._with_defaults(_OF_NETWORK.get(self.network, {}))

    def _with_defaults(self, defaults: Mapping[str, Any]) -> "GanConfig":
        kept = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}
        return dataclasses.replace(self, **{**defaults, **kept})


_OF_NETWORK: dict[str, dict[str, Any]] = {
    # Huang et al. 2024: the relativistic loss with both penalties, no momentum, falling learning rates
    "resgan": {
        "loss": "relativistic",
        "regulariser": "r1r2",
        "r1_gamma": 0.2,
        "r1_interval": 4,
        "lr_generator": 2e-4,
        "lr_discriminator": 2e-4,
        "lr_final": 0.25,
        "beta1": 0.0,
        "beta2": 0.99,
        "ada_target": 0.6,
    },
    # Karras et al. 2020b, with run-time weight scaling, hence the high learning rates
    "stylegan2": {
        "regulariser": "r1",
        "r1_gamma": 0.1,
        "lr_generator": 2e-3,
        "lr_discriminator": 2e-3,
        "beta1": 0.0,
        "beta2": 0.99,
        "ada_target": 0.6,
    },
}


@dataclass(frozen=True)
class GenerateConfig:
    """Which faces to draw."""

    n: int = setting(500, "how many images", low=1, high=2**31)
    truncation: float = setting(0.0, "draw latents within this many standard deviations only; 0 = all", low=0)
    format: str = setting(
        "png", "a file per image, or tar shards for batches of millions", choices=("png", "webdataset")
    )
    shard_size: int = setting(10_000, "images per tar shard", low=1, high=1_000_000)


@dataclass(frozen=True)
class StyleganConfig:
    """A StyleGAN2 network that draws the faces (`--source stylegan2`)."""

    network: str = setting("", "StyleGAN2 network: a file, a URL or a known name such as ffhq-256")
    truncation_psi: float = setting(
        1.0, "how far latents may lie from the average face; 1 = no truncation", low=-2, high=2
    )
    noise: str = setting(
        "const", "fine detail: the saved noise, drawn per seed, or none", choices=("const", "random", "none")
    )
    face_crop: str = setting(
        "auto",
        "cut to the face: as FFHQ aligns it, by a face detector, or not; auto = aligned for photographs of 128 px up",
        choices=("auto", "none", "aligned", "detect"),
    )
    detector_model: str = setting("", "the face detector's file (YuNet, ONNX); empty = downloaded once")
    classes: str = setting("", "a conditional network's classes in its own order, comma-separated")
    class_index: int = setting(-1, "draw this class of a conditional network; -1 = none chosen", low=-1)
    mix_seeds: str = setting("", "style mixing: the seeds that give the mixed layers, like 5-10,42; empty = none")
    mix_layers: str = setting("8-", "style mixing: the layers taken from those seeds, 0 the coarsest, like 8-17")
    precision: str = setting(
        "auto", "auto = float16 on CUDA in the layers that the network names", choices=("auto", "float32")
    )


@dataclass(frozen=True)
class SteeringConfig:
    """How a generator that rarely draws a class is steered to it."""

    judge: str = setting("auto", "architecture of the independent judge; auto = another one than the classifier's")
    judge_epochs: int = setting(0, "passes over the judge's half of the training images; 0 = the classifier's", low=0)
    confidence: float = setting(0.5, "the judge's smallest probability of the class", low=0, high=0.999)
    evaluations: float = setting(20.0, "most generator evaluations per face asked for", low=2)
    pool: int = setting(256, "plain images scored first, to learn the directions from", low=8, high=65_536)
    diversity: float = setting(0.8, "smallest mean distance within a class, relative to plain images", low=0, high=1)
    reach: float = setting(
        1.25, "how far from the average latent, relative to the furthest plain one", low=0.1, high=10
    )
    layers: str = setting("", "layers of W+ that may move, 0 the coarsest, like 4-9; empty = all")


@dataclass(frozen=True)
class LabelConfig:
    """How generated faces are labelled and screened."""

    min_confidence: str = setting(
        "auto", "confidence a label needs: 'auto' (per class, from validation) or a number in 0..1"
    )
    beta: float = setting(
        0.5, "'auto' maximises F-beta per class on validation; below 1 values precision", low=0.01, high=10
    )
    prior: str = setting(
        "balanced",
        "class shares assumed in the batch: equal ones, or those of the training data",
        choices=("balanced", "training"),
    )
    require_match: bool = setting(True, "reject an image whose predicted class is not the class asked for")
    manifold: float = setting(
        0.05, "share of held-back real images that count as off the manifold; 0 = no such criterion", low=0, high=0.5
    )
    copies: bool = setting(True, "reject copies of training images")
    diverse: bool = setting(True, "reject faces that nearly repeat another one of the batch")
    draws: float = setting(10.0, "--fill draws at most so many faces per face asked for", low=1, high=10_000)

    def __post_init__(self) -> None:
        if self.min_confidence != "auto" and not 0 <= _number(self.min_confidence) <= 1:
            raise ConfigError(
                f"label.min_confidence = {self.min_confidence!r}.", "It must be 'auto' or a number from 0 to 1."
            )


@dataclass(frozen=True)
class QualityConfig:
    """How a batch's quality is measured."""

    faces: str = setting("all", "faces to measure: all of the batch, or those the screen kept", choices=("all", "kept"))
    halvings: int = setting(10, "random halvings of the held-back real images behind every interval", low=2, high=1000)
    most: int = setting(2000, "images on each side of a comparison, at most", low=10)
    pairs: int = setting(4, "rounds of random pairs behind the diversity of a class", low=1, high=1000)
    cas: bool = setting(True, "train on the synthetic faces and test on real ones, and the reverse")
    cas_steps: int = setting(600, "optimiser steps of each of those two trainings", low=1)
    inception: str = setting("", "file with Inception's weights for the published FID; empty = torch's cache")
    lpips: str = setting("", "file with a backbone's weights for LPIPS; empty = torch's cache")


@dataclass(frozen=True)
class RetrainConfig:
    """The comparison of training with and without synthetic images."""

    arms: str = setting("original,synthetic", "arms of the experiment, comma-separated; quick = four, all = all ten")
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
    drop_leaks: bool = setting(False, "leave out training images found in validation or test, validation ones in test")
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
    ratios: str = setting(
        "", "synthetic faces per real training image to try, like 0.25,0.5,1,2; validation decides; empty = all kept"
    )
    weights: str = setting("", "loss weights of a synthetic image to try, like 0.25,0.5,1; validation decides")
    soft_labels: bool = setting(False, "train on the labeller's probabilities of a synthetic image, not on one class")
    drop_leaks: bool = setting(False, "leave out training images found in validation or test, validation ones in test")
    workers: int = setting(0, "trainings side by side; 0 = as many as the machine takes", low=0, high=256)


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


@dataclass(frozen=True)
class ServeConfig:
    """The server: `ganfer serve`."""

    host: str = setting("127.0.0.1", "address to listen on; any other than this machine's own needs a token")
    port: int = setting(8501, "port to listen on; 0 = any free one", low=0, high=65_535)
    backend: str = setting("torch", "what computes: torch or ONNX Runtime", choices=("torch", "onnx"))
    batch: int = setting(64, "images computed together at most", low=1, high=4096)
    batch_wait_ms: float = setting(5.0, "longest wait of an image for others to be computed with it", low=0, high=1000)
    queue: int = setting(1024, "images that may wait; beyond it clients are told to come back later (429)", low=1)
    max_upload_mb: float = setting(20.0, "largest request body, in MB", low=0.01, high=1024)
    timeout: float = setting(30.0, "seconds until a request is given up", low=0.1, high=3600)
    reload_seconds: float = setting(2.0, "how often to look for a newer finished model; 0 = never", low=0)


@dataclass(frozen=True)
class LiveConfig:
    """Faces in the wild: `ganfer predict`."""

    detector: str = setting(
        "yunet", "what finds the faces; none: every picture is a ready crop", choices=("yunet", "none")
    )
    min_score: float = setting(0.7, "how sure the detector must be of a face", low=0.01, high=0.99)
    max_side: int = setting(
        0, "pictures are searched at this many pixels on the longer side; 0 = 1280, of videos 640", low=0, high=8192
    )
    min_face: float = setting(0.0, "faces narrower than this many pixels are left out", low=0)
    smooth: float = setting(0.5, "time constant in seconds of the average over a person's scores; 0 = none", low=0)
    forget: float = setting(2.0, "seconds out of sight after which a person gets a new number", low=0)
    calibrate: float = setting(
        5.0, "seconds of each person's beginning that show where the screen is; 0 = at the camera", low=0
    )
    away_yaw: float = setting(18.0, "degrees to the side from which a person looks away", low=1, high=90)
    away_pitch: float = setting(15.0, "degrees up or down from which a person looks away", low=1, high=90)


@dataclass(frozen=True)
class Config:
    """All settings of one workspace run; `classifier` is the `classifiers` package's own `TrainConfig`."""

    seed: int = setting(0, "seed of everything that is random", low=0)
    device: str = setting("auto", "where to compute", choices=("auto", "cpu", "cuda"))
    data: DataConfig = field(default_factory=DataConfig)
    drawn: DrawnConfig = field(default_factory=DrawnConfig)
    gan: GanConfig = field(default_factory=GanConfig)
    classifier: TrainConfig = field(default_factory=TrainConfig)
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    stylegan: StyleganConfig = field(default_factory=StyleganConfig)
    steering: SteeringConfig = field(default_factory=SteeringConfig)
    label: LabelConfig = field(default_factory=LabelConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    crossval: CrossvalConfig = field(default_factory=CrossvalConfig)
    live: LiveConfig = field(default_factory=LiveConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)

    def __post_init__(self) -> None:
        _check_ranges(self, "")

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dict, as it is written into records."""
        return dataclasses.asdict(self)


def configs_folder() -> Path:
    """Where the shipped configs lie: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def shipped_configs() -> list[str]:
    """Names that `--config` takes besides paths."""
    return sorted(path.stem for path in configs_folder().glob("*.toml"))


def load_config(source: str | Path | None = None, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Config:
    """Config from defaults, then a TOML file (a path or the name of a shipped one), then `section.key=value` overrides.

    Raises ConfigError for an unknown key (naming the nearest one), a wrong type or a value out of range.
    """
    tree: dict[str, Any] = _read_toml(_find(source)) if source is not None else {}
    pairs = overrides.items() if isinstance(overrides, Mapping) else (_split_override(text) for text in overrides)
    for path, value in pairs:
        _insert(tree, path, value)
    config: Config = _build(Config, tree, "")
    return config


def field_of(path: str) -> dataclasses.Field[Any]:
    """The dataclass field behind `section.key`; the command line reads default and help from it."""
    cls: Any = Config
    *sections, name = path.split(".")
    for section in sections:
        cls = typing.get_type_hints(cls)[section]
    return next(f for f in dataclasses.fields(cls) if f.name == name)


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    shipped = configs_folder() / f"{source}.toml"
    if shipped.is_file():
        return shipped
    raise ConfigError(f"No config {str(source)!r}.", did_you_mean(str(source), shipped_configs()))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Mend that line.") from error


def _split_override(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set {text!r} is not KEY=VALUE.", "Write it like --set gan.steps=8000.")
    try:
        return path.strip(), tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        return path.strip(), value.strip()  # an unquoted word is a string


def _insert(tree: dict[str, Any], path: str, value: Any) -> None:
    *sections, name = path.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{path!r}: {section!r} is a value, not a section.")
    tree[name] = value


def _build(cls: Any, tree: Mapping[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if name not in known:
            raise ConfigError(f"Unknown setting {path!r}.", did_you_mean(path, [f"{prefix}{n}" for n in known]))
        if dataclasses.is_dataclass(hints[name]):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{path!r} is a section, not a value.", f"Write [{path}] or {path}.KEY=VALUE.")
            values[name] = _build(hints[name], value, f"{path}.")
        else:
            values[name] = _convert(value, hints[name], path)
    _check_values(known, values, prefix)
    return cls(**values)


def _convert(value: Any, hint: Any, path: str) -> Any:
    """`value` as the field's type: an int is taken where a float is wanted, nothing else is guessed."""
    allowed = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    kinds = tuple(typing.get_origin(kind) or kind for kind in allowed)
    if value in ("none", "None") and type(None) in kinds:
        return None
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if tuple in kinds and isinstance(value, list):
        return tuple(value)
    if str in kinds and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
        wanted = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
        raise ConfigError(f"{path} = {value!r} is a {type(value).__name__}.", f"It must be {wanted}.")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _check_values(known: Mapping[str, dataclasses.Field[Any]], values: Mapping[str, Any], prefix: str) -> None:
    for name, value in values.items():
        if value is None:  # only where the type allows it
            continue
        meta = known[name].metadata
        choices = meta.get("choices") or ()
        if choices and value not in choices:
            raise ConfigError(f"{prefix}{name} = {value!r}.", did_you_mean(str(value), map(str, choices)))
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        low, high = meta.get("low"), meta.get("high")
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            limits = " and ".join(f"{word} {x}" for word, x in (("at least", low), ("at most", high)) if x is not None)
            raise ConfigError(f"{prefix}{name} = {value}.", f"It must be {limits}.")


def _check_ranges(config: Any, prefix: str) -> None:
    known = {f.name: f for f in dataclasses.fields(config)}
    values = {name: getattr(config, name) for name in known}
    _check_values(known, {n: v for n, v in values.items() if not dataclasses.is_dataclass(v)}, prefix)
    for name, value in values.items():
        if dataclasses.is_dataclass(value):
            _check_ranges(value, f"{prefix}{name}.")
