"""What a generator is to the rest of ganfer: seeds and labels in, images out. Other packages can register theirs."""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from ganfer.errors import GanferError, did_you_mean

ENTRY_POINTS = "ganfer.generators"
#: Found without an installed entry point too, so that a checkout works as it is.
BUILT_IN = {"dcgan": "ganfer.gan.sampling:open_gan", "stylegan2": "ganfer.generate.stylegan2:open_stylegan2"}


@runtime_checkable
class Generator(Protocol):
    """Anything that draws faces. Image i depends on seeds[i], labels[i] and the network alone.

    class_names: None for a generator that knows no classes. digest: names the weights; equal digests, equal images on
    the same kind of device. A generator may have more: `facts` (what besides seed and weights makes an image, for its
    PNG), `max_seed`, `chunk` (images per call that leave time to write), `notes()` for the user, and
    `latent_space(label)` to be steered in.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def class_names(self) -> tuple[str, ...] | None: ...
    @property
    def digest(self) -> str: ...

    def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images (N, C, H, W) uint8 for seeds (N,) int64 and labels (N,) int64, indices into class_names, or None."""
        ...


def open_generator(source: str, path: Path, device: str = "auto", **options: Any) -> Generator:
    """A generator by its registered name (entry-point group `ganfer.generators`) and the file or folder it lives in.

    Each entry point is a function `(path, device, **options) -> Generator`; one that is not ganfer's own GAN is given
    the `size` and `channels` of the data. GanferError for a name nobody registered.
    """
    if source in BUILT_IN:
        module, _, name = BUILT_IN[source].partition(":")
        return cast(Generator, getattr(import_module(module), name)(path, device, **options))
    known = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if source not in known:
        raise GanferError(f"No generator {source!r}.", did_you_mean(source, sorted({*BUILT_IN, *known})))
    return cast(Generator, known[source].load()(path, device, **options))


def check_source(source: str) -> None:
    """GanferError for a name nobody registered."""
    known = {*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))}
    if source not in known:
        raise GanferError(f"No generator {source!r}.", did_you_mean(source, sorted(known)))


def facts_of(generator: Generator) -> dict[str, str | int | float]:
    """What besides the seed, the label and the weights makes an image of this generator."""
    return dict(getattr(generator, "facts", {"truncation": getattr(generator, "truncation", 0.0)}))
