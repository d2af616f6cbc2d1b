"""StyleGAN2 as a generator of ganfer's: `stylegan_bridge` draws, the face is cut out at the workspace's size."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganfer.config import StyleganConfig
from ganfer.errors import GanferError
from ganfer.gan.generator import Generator as FaceGenerator
from ganfer.runtime.console import Advance, progress, say
from ganfer.runtime.seeding import parse_ranges

if TYPE_CHECKING:
    import torch

    from ganfer.live.detect import Detector
    from stylegan_bridge import Generator, Info
    from stylegan_bridge.steering import LatentSpace

MAX_SEED = 2**32 - 1
PHOTOGRAPH = 128  # colour networks of this many pixels up are trained on FFHQ-aligned photographs as a rule
_CHUNK = {"cpu": 8, "cuda": 64}  # images between two looks at what is written: 1024 px take seconds each on a CPU


@dataclass(frozen=True)
class Network:
    """A network's file that is here, what it holds, and whether it is known to be aligned as FFHQ is (None: no)."""

    name: str
    path: Path
    info: "Info"
    is_ffhq_aligned: bool | None


def find_network(config: StyleganConfig) -> Network:
    """The network of `stylegan.network`, downloaded if need be. GanferError when none is named."""
    from stylegan_bridge import KNOWN_NETWORKS, fetch, inspect

    text = _named(config)
    with ExitStack() as stack:
        bars: list[tuple[Advance, list[int]]] = []

        def downloading(have: int, total: int | None) -> None:
            if not bars:
                bars.append((stack.enter_context(progress("download", total)), [0]))
            advance, done = bars[0]
            advance(have - done[0])
            done[0] = have

        path = fetch(text, progress=downloading, announce=say)
    known = KNOWN_NETWORKS.get(text)
    name = text if known else Path(path).stem
    return Network(name, path, inspect(path), known.is_ffhq_aligned if known else None)


def is_here(config: StyleganConfig) -> bool:
    """Whether the network can be looked at without a download; a name that is none counts, so that it is refused."""
    from stylegan_bridge import KNOWN_NETWORKS
    from stylegan_bridge.fetching import is_cached

    text = _named(config)
    return Path(text).exists() or not ("://" in text or text in KNOWN_NETWORKS) or is_cached(text)


def named_ahead(config: StyleganConfig) -> tuple[tuple[str, ...] | None, str]:
    """Of a network that is not here yet: its class names as far as they are known, and the step that brings it."""
    from stylegan_bridge.known import look_up

    text = _named(config)
    names = tuple(name.strip().lower() for name in config.classes.split(",") if name.strip())
    if "://" in text:
        return names or None, f"download {text}"
    known = look_up(text)
    return names or None, f"download {text}: {known.description} ({known.licence})"


def _named(config: StyleganConfig) -> str:
    from stylegan_bridge import KNOWN_NETWORKS

    if not config.network:
        raise GanferError(
            "--source stylegan2 needs a network.",
            f"Give --network FILE, URL or a known name: {', '.join(KNOWN_NETWORKS)}.",
        )
    return config.network


def class_names(config: StyleganConfig, info: "Info") -> tuple[str, ...] | None:
    """The names of a conditional network's classes; None where its images come without one.

    GanferError when a conditional network's classes are neither named nor chosen from, or named wrongly.
    """
    count = info.config.c_dim
    names = tuple(name.strip().lower() for name in config.classes.split(",") if name.strip())
    if not count:
        if names or config.class_index >= 0:
            raise GanferError(
                f"{info.path} is unconditional: it has no classes to name or to choose from.",
                "Leave --network-classes and --network-class out; --balance steers it to the classes.",
            )
        return None
    if names and config.class_index >= 0:
        raise GanferError("--network-classes and --network-class contradict each other.", "Give one of them.")
    if names and len(names) != count:
        raise GanferError(
            f"--network-classes names {len(names)} classes, {info.path} has {count}.",
            "Name all of them, in the network's own order.",
        )
    if len(set(names)) < len(names):
        raise GanferError("--network-classes names a class twice.", "Each index of the network has its own name.")
    if config.class_index >= count:
        raise GanferError(f"--network-class {config.class_index}.", f"{info.path} has the classes 0..{count - 1}.")
    if not names and config.class_index < 0:
        raise GanferError(
            f"{info.path} is conditional, with {count} classes that its file does not name.",
            "Name them with --network-classes a,b,..., or draw one with --network-class N.",
        )
    return names or None


def options_of(config: StyleganConfig, network: Network) -> dict[str, Any]:
    """What `open_stylegan2` takes for these settings, checked; all of it changes the images."""
    parts = network.info.config
    names = class_names(config, network.info)
    crop = config.face_crop
    if crop == "auto":
        aligned = network.is_ffhq_aligned
        if aligned is None:
            aligned = parts.img_channels == 3 and parts.resolution >= PHOTOGRAPH
        crop = "aligned" if aligned else "none"
    options: dict[str, Any] = {
        "truncation_psi": config.truncation_psi,
        "noise": config.noise,
        "face_crop": crop,
        "precision": config.precision,
    }
    if names:
        options["classes"] = ",".join(names)
    if config.class_index >= 0:
        options["class_index"] = config.class_index
    if config.mix_seeds:
        options["mix_seeds"] = _in_full(parse_ranges(config.mix_seeds, MAX_SEED, "--mix-seeds"))
        options["mix_layers"] = _in_full(parse_ranges(config.mix_layers, parts.num_ws - 1, "--mix-layers"))
    if crop == "detect" and config.detector_model:
        options["detector_model"] = config.detector_model
    return options


def _in_full(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def open_stylegan2(path: str | Path, device: str = "auto", **options: Any) -> "StyleganGenerator":
    """The generator in a StyleGAN2 checkpoint of any format that `stylegan_bridge` reads.

    Options, besides those of `options_of`: size and channels of the images (the network's own where not given).
    """
    from ganfer.runtime.device import resolve_device
    from stylegan_bridge import inspect, load_generator

    place = resolve_device(device)
    info = inspect(path)
    network = load_generator(path, place, precision=options.get("precision", "auto"))
    return StyleganGenerator(network, info.sha256, **options)


class StyleganGenerator(FaceGenerator):
    """A StyleGAN2 network as the rest of ganfer uses one (`ganfer.gan.generator.Generator`).

    Seeds are NVIDIA's: seed s draws from `RandomState(s)`, so 0..2**32 - 1. facts: what besides seed and weights makes
    an image.
    """

    name = "stylegan2"
    max_seed = MAX_SEED

    def __init__(
        self,
        network: "Generator",
        digest: str,
        *,
        size: int = 0,
        channels: int = 0,
        truncation_psi: float = 1.0,
        noise: str = "const",
        face_crop: str = "none",
        classes: str = "",
        class_index: int | None = None,
        mix_seeds: str = "",
        mix_layers: str = "",
        precision: str = "auto",
        detector_model: str = "",
    ) -> None:
        self.network, self.digest = network, digest
        self.size, self.channels = size or network.resolution, channels or network.img_channels
        self.class_names = tuple(classes.split(",")) if classes else None
        self.class_index, self.truncation_psi, self.noise = class_index, truncation_psi, noise
        self.framing = Framing(self.size, self.channels, face_crop, detector_model)
        self.mix_seeds = parse_ranges(mix_seeds, MAX_SEED, "--mix-seeds") if mix_seeds else []
        self.mix_layers = parse_ranges(mix_layers, network.config.num_ws - 1, "--mix-layers") if mix_seeds else []
        self.chunk = _CHUNK[network.device.type]
        self.facts: dict[str, str | int | float] = {
            "truncation_psi": truncation_psi,
            "noise": noise,
            "face_crop": face_crop,
        }
        if class_index is not None:
            self.facts["class_index"] = class_index
        if mix_seeds:
            self.facts |= {"mix_seeds": mix_seeds, "mix_layers": mix_layers}
        if precision != "auto":
            self.facts["precision"] = precision

    def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images (N, C, H, W) uint8 of the wanted size; the network's own are cut to it a few at a time."""
        from stylegan_bridge import mix_styles

        if self.class_names is not None and (labels is None or len(labels) != len(seeds)):
            raise GanferError(f"{len(seeds)} seeds need as many labels.", "A conditional generator takes one per seed.")
        out = np.empty((len(seeds), self.channels, self.size, self.size), dtype=np.uint8)
        for start in range(0, len(seeds), self.chunk):
            part = slice(start, start + self.chunk)
            own = [int(seed) for seed in seeds[part]]
            classes = self._classes(None if labels is None else labels[part], len(own))
            look: Any = {"truncation_psi": self.truncation_psi, "noise_mode": self.noise}
            if self.mix_seeds:
                styles = [self.mix_seeds[seed % len(self.mix_seeds)] for seed in own]
                images = mix_styles(self.network, own, styles, self.mix_layers, classes, **look)
            else:
                images = self.network.sample(own, classes, **look)
            out[part] = self.framing.hard(images).numpy()
        return out

    def _classes(self, labels: np.ndarray | None, count: int) -> list[int] | None:
        if self.class_names is not None and labels is not None:
            return [int(label) for label in labels]
        return None if self.class_index is None else [self.class_index] * count

    def latent_space(self, label: int | None = None) -> "LatentSpace":
        """W+ with the images cut as `sample` cuts them; label: the class that codes are drawn for."""
        from stylegan_bridge import StyleSpace

        chosen = label if label is not None else self.class_index
        return _FramedSpace(StyleSpace(self.network, chosen, truncation_psi=self.truncation_psi), self.framing)

    def notes(self) -> list[str]:
        """What the user should know of the images drawn so far."""
        missed, seen = self.framing.missed, self.framing.seen
        if not missed:
            return []
        return [f"In {missed:,} of {seen:,} images the detector found no face; they were cut as FFHQ aligns faces."]


class Framing:
    """How an image of the network becomes one of the workspace: all of it, FFHQ's face, or the face that is found."""

    def __init__(self, size: int, channels: int, crop: str, detector_model: str = "") -> None:
        from stylegan_bridge.sampling import FFHQ_FACE

        self.size, self.channels = size, channels
        self.box = None if crop == "none" else FFHQ_FACE
        self.missed = self.seen = 0
        self._detector: Detector | None = None
        if crop == "detect":
            from ganfer.live.detect import open_detector

            self._detector = open_detector("yunet", detector_model or None)

    def hard(self, images: "torch.Tensor") -> "torch.Tensor":
        """(N, 1 or 3, H, W) uint8 to (N, channels, size, size) uint8, antialiased."""
        from stylegan_bridge import face_crop

        cut = face_crop(images, self.size, self.channels, box=self.box)
        if self._detector is not None:
            for i, image in enumerate(images):
                self._replace(cut[i], image)
        return cut

    def _replace(self, cut: "torch.Tensor", image: "torch.Tensor") -> None:
        """The largest face of an image in place of the cut at FFHQ's; without one, that stays."""
        import torch

        from ganfer.live.crop import crop_face

        assert self._detector is not None
        picture = np.ascontiguousarray(image.expand(3, -1, -1).permute(1, 2, 0).numpy())
        faces = self._detector.detect(picture)
        self.seen += 1
        if not faces:
            self.missed += 1
            return
        largest = max(faces, key=lambda face: face.box[2] * face.box[3])
        cut.copy_(torch.from_numpy(crop_face(picture, largest, self.size, self.channels)))

    def soft(self, images: "torch.Tensor") -> "torch.Tensor":
        """float32 0..255, differentiable; where a detector cuts, FFHQ's face stands in for the one it would find."""
        from stylegan_bridge.sampling import soft_crop

        return soft_crop(images, self.size, self.channels, box=self.box).clamp(0, 255)


class _FramedSpace:
    """A latent space whose images are cut to the workspace's size, so that nothing larger is kept."""

    def __init__(self, inner: "LatentSpace", framing: Framing) -> None:
        self._inner, self._framing = inner, framing
        self.codes, self.gaussian, self.from_gaussian = inner.codes, inner.gaussian, inner.from_gaussian
        self.gradient_batch: int | None = getattr(inner, "gradient_batch", None)

    def images(self, codes: "torch.Tensor") -> "torch.Tensor":
        return self._framing.soft(self._inner.images(codes))

    def final(self, codes: "torch.Tensor") -> "torch.Tensor":
        return self._framing.hard(self._inner.final(codes))
