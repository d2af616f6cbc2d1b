"""What a generator is to the rest of ganfer: seeds and labels in, images out. Other packages can register theirs."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np

from ganfer.errors import GanferError, did_you_mean

ENTRY_POINTS = "ganfer.generators"


@runtime_checkable
class Generator(Protocol):
    """Anything that draws faces. Image i depends on seeds[i], labels[i] and the network alone.

    class_names: None for a generator that knows no classes. digest: names the weights; equal digests, equal images on
    the same kind of device.
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


def open_generator(source: str, path: Path, device: str = "auto", **options: float) -> Generator:
    """A generator by its registered name (entry-point group `ganfer.generators`) and the file or folder it lives in.

    Each entry point is a function `(path, device, **options) -> Generator`. GanferError for a name nobody registered.
    """
    from ganfer.gan.sampling import open_gan

    known = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if source == "dcgan":  # ganfer's own works from a checkout too, where no entry point is installed
        return open_gan(path, device, **options)
    if source not in known:
        raise GanferError(f"No generator {source!r}.", did_you_mean(source, ["dcgan", *sorted(known)]))
    return cast(Generator, known[source].load()(path, device, **options))
