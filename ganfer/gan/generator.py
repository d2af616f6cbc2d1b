"""What a generator is to the rest of ganfer: seeds and labels in, images out. Other packages can register theirs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from ganfer.errors import GanferError, did_you_mean

ENTRY_POINTS = "ganfer.generators"
_NEEDED = ("name", "size", "channels", "digest")
_OPTIONAL = ("class_names", "facts", "max_seed", "chunk", "mix_seeds", "notes", "latent_space")
#: Found without an installed entry point too, so that a checkout works as it is.
BUILT_IN = {"dcgan": "ganfer.gan.sampling:open_gan", "stylegan2": "ganfer.generate.stylegan2:open_stylegan2"}


class Generator(ABC):
    """Anything that draws faces. Image i depends on seeds[i], labels[i] and the network alone.

    size, channels: of the images. class_names: None for a generator that knows no classes. digest: names the weights;
    equal digests, equal images on the same kind of device. facts: what besides seed, label and weights makes an image,
    for its PNG. max_seed: the highest seed, None for any int64. chunk: images per call that leave time to write.
    mix_seeds: not empty where styles of other seeds are mixed in.
    """

    name: str
    size: int
    channels: int
    digest: str
    class_names: tuple[str, ...] | None = None
    facts: Mapping[str, str | int | float] = MappingProxyType({"truncation": 0.0})
    max_seed: int | None = None
    chunk: int = 512
    mix_seeds: Sequence[int] = ()

    @abstractmethod
    def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images (N, C, H, W) uint8 for seeds (N,) int64 and labels (N,) int64, indices into class_names, or None."""

    def notes(self) -> Sequence[str]:
        """What the user should know of the images drawn so far."""
        return ()

    def latent_space(self, label: int | None = None) -> Any:
        """Where it can be steered (`stylegan_bridge.steering.LatentSpace`). GanferError where it cannot be."""
        raise GanferError(
            f"The generator {self.name!r} has no latent space to steer in.", "Draw with --n and `ganfer label`."
        )


class _Adapted(Generator):
    """An object of another package that is no `Generator` by class but has what one needs."""

    def __init__(self, inner: Any) -> None:
        lacking = [name for name in (*_NEEDED, "sample") if not hasattr(inner, name)]
        if lacking:
            raise GanferError(
                f"{type(inner).__name__} is no generator: it has no {', '.join(lacking)}.",
                "Derive it from ganfer.gan.generator.Generator.",
            )
        self.inner = inner
        for name in (*_NEEDED, *_OPTIONAL):
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))

    def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        images: np.ndarray = self.inner.sample(seeds, labels)
        return images


def open_generator(source: str, path: Path, device: str = "auto", **options: Any) -> Generator:
    """A generator by its registered name (entry-point group `ganfer.generators`) and the file or folder it lives in.

    Each entry point is a function `(path, device, **options) -> Generator`, or gives an object with a generator's
    attributes. One that is not ganfer's own GAN is given the `size` and `channels` of the data. GanferError for a name
    nobody registered.

    Example: `open_generator("stylegan2", Path("faces.pkl"), size=48, channels=1)`.
    """
    if source in BUILT_IN:
        module, _, name = BUILT_IN[source].partition(":")
        return cast(Generator, getattr(import_module(module), name)(path, device, **options))
    known = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if source not in known:
        raise GanferError(f"No generator {source!r}.", did_you_mean(source, sorted({*BUILT_IN, *known})))
    made = known[source].load()(path, device, **options)
    return made if isinstance(made, Generator) else _Adapted(made)


def check_source(source: str) -> None:
    """GanferError for a name nobody registered."""
    known = {*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))}
    if source not in known:
        said = sorted({"gan", *known} - {"dcgan"})  # "gan" is the word for the workspace's own, whatever its network
        raise GanferError(f"No generator {source!r}.", did_you_mean(source, said))
