"""Synthetic faces: which are drawn, by what, how they are steered, labelled, screened and measured."""

from dataclasses import dataclass

from ganfer.config.fields import number, setting
from ganfer.errors import ConfigError


@dataclass(frozen=True)
class GenerateConfig:
    """Which faces to draw."""

    n: int = setting(500, "how many images", low=1, high=2**31)
    truncation: float = setting(0.0, "draw latents within this many standard deviations only; 0 = all", low=0)
    format: str = setting(
        "png",
        "a file per image; for batches of millions tar shards, or Parquet as Hugging Face reads it",
        choices=("png", "webdataset", "parquet"),
    )
    shard_size: int = setting(10_000, "images per tar shard or Parquet file", low=1, high=1_000_000)


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
    detector_model: str = setting("", "the face detector's file (YuNet, ONNX); empty = the one that comes with ganfer")
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
class ProjectionConfig:
    """How the latent code of an image is found (`ganfer stylegan project`, `ganfer generate --from-faces`)."""

    steps: int = setting(300, "steps of the search per image", low=1, high=100_000)
    rate: float = setting(0.1, "Adam's learning rate, ramped up and down", low=1e-6, high=10)
    batch: int = setting(8, "images inverted together", low=1, high=4096)
    pixels: float = setting(10.0, "weight of the grey levels beside the perceptual distance", low=0)
    mean: float = setting(0.005, "weight of the distance from the average face, which keeps a code editable", low=0)
    layers: float = setting(0.05, "weight of how much the layers of W+ differ, which keeps a code editable", low=0)
    noise: bool = setting(False, "find a StyleGAN2's noise images too (they carry no face, and are regularised)")
    layered: bool = setting(True, "ganfer's own GANs: a latent of its own for every place it enters the network at")
    lpips: str = setting("", "file with a backbone's weights for LPIPS; empty = torch's cache")


@dataclass(frozen=True)
class TransferConfig:
    """Real faces whose expression is changed (`ganfer generate --from-faces`)."""

    identity: float = setting(
        0.05,
        "largest share of strangers who look as alike as a face and what became of it; 1 = no bound",
        low=0,
        high=1,
    )
    keep: float = setting(4.0, "weight of the identity while the expression is moved", low=0, high=1000)
    confidence: float = setting(0.5, "the judge's smallest probability of the class", low=0, high=0.999)
    styles: int = setting(4, "most faces made of one real one", low=1, high=1000)
    refine: int = setting(100, "steps that better what the encoder of ganfer's own GANs finds; 0 = none", low=0)
    tries: float = setting(3.0, "most tries per face asked for", low=1, high=1000)
    batch: int = setting(32, "faces worked on together", low=1, high=4096)
    layers: str = setting("", "layers of W+ that may move, 0 the coarsest, like 4-9; empty = all")


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder of ganfer's own GANs: from a face to its latent (`ganfer train encoder`)."""

    steps: int = setting(3000, "optimiser steps", low=1)
    batch_size: int = setting(64, "drawn and real faces per step, half each", low=2, high=4096)
    lr: float = setting(1e-3, "Adam's learning rate, falling along a cosine", low=0, high=1)
    channels: int = setting(24, "channels of the first layer", low=4, high=256)
    reconstruction: float = setting(1.0, "weight of real faces drawn again", low=0)
    cycle: float = setting(0.5, "weight of faces sent to another class and back", low=0)
    identity: float = setting(0.5, "weight of the identity's distance on the way", low=0)
    checkpoint_every: int = setting(200, "steps between resume points", low=1)


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
        if self.min_confidence != "auto" and not 0 <= number(self.min_confidence) <= 1:
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
