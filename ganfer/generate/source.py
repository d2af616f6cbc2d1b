"""Where a batch's faces come from: a GAN of the workspace, a StyleGAN2 network, a generator of another package."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganfer.config import Config
from ganfer.errors import GanferError
from ganfer.gan.generator import Generator, check_source, open_generator
from ganfer.runtime.files import digest_of
from ganfer.workspace import Run


@dataclass(frozen=True)
class Source:
    """A generator that can be opened, and what is known of it before.

    kind: the registered name. input: the name of its digest among a record's inputs. options: for `open_generator`;
    all of them change the images.
    """

    kind: str
    name: str
    path: Path
    digest: str
    class_names: tuple[str, ...] | None
    options: Mapping[str, Any]
    input: str = "network"

    @property
    def settings(self) -> dict[str, Any]:
        """What names the images besides the weights, for the key of a run."""
        return dict(self.options) if self.kind == "dcgan" else {"source": self.kind, **self.options}

    def open(self, device: str, size: int, channels: int) -> Generator:
        """The generator; one from outside the workspace draws images of this size and channels, or is refused."""
        if self.kind == "dcgan":
            return open_generator(self.kind, self.path, device, **self.options)
        generator = open_generator(self.kind, self.path, device, size=size, channels=channels, **self.options)
        if (generator.size, generator.channels) != (size, channels):
            raise GanferError(
                f"{self.kind} draws {generator.channels} x {generator.size} x {generator.size}; the data is "
                f"{channels} x {size} x {size}.",
                "Add the data again at the generator's size and channels (--size, --color).",
            )
        return generator


def gan_source(run: Run, config: Config) -> Source:
    """A GAN of the workspace."""
    card = run.path / "card.json"
    try:
        names = json.loads(card.read_text(encoding="utf-8"))["class_names"]
    except (OSError, ValueError, KeyError) as error:
        raise GanferError(f"{card} is missing or damaged ({error}).", "Train the GAN again.") from error
    options = {"truncation": config.generate.truncation}
    return Source("dcgan", run.name, run.path, run.digest, None if names is None else tuple(names), options, "gan")


def network_source(kind: str, config: Config) -> Source:
    """A StyleGAN2 network (downloaded if need be), or what another package registered as `kind`."""
    if kind == "stylegan2":
        from ganfer.generate.stylegan2 import class_names, find_network, options_of

        network = find_network(config.stylegan)
        names = class_names(config.stylegan, network.info)
        options = options_of(config.stylegan, network)
        return Source(kind, network.name, network.path, network.info.sha256, names, options)
    path = Path(config.stylegan.network)
    if not config.stylegan.network or not path.exists():
        raise GanferError(f"--source {kind} needs its file.", "Give it with --network FILE.")
    generator = open_generator(kind, path, config.device)
    digest = generator.digest or (digest_of(path) if path.is_file() else "")
    return Source(kind, generator.name, path, digest, generator.class_names, {})


@dataclass(frozen=True)
class Ahead:
    """What is known of a generator before it is trained or fetched. class_names: None if it knows none.

    steps: what has to be done to have it, in words.
    """

    source: Source | None
    class_names: tuple[str, ...] | None
    steps: tuple[str, ...] = ()


def look_ahead(kind: str, gan: Run | None, config: Config, *, fetch: bool) -> Ahead:
    """The source that is there, or what is known of it. fetch: download what is not here.

    GanferError for a kind nobody registered and for what is wrong with a network or its settings.
    """
    check_source(kind)
    if kind == "dcgan":
        if gan is None:
            return Ahead(None, ("",) if config.gan.conditional else None)
        source = gan_source(gan, config)
        return Ahead(source, source.class_names)
    if kind == "stylegan2" and not fetch:
        from ganfer.generate.stylegan2 import is_here, named_ahead

        if not is_here(config.stylegan):
            names, step = named_ahead(config.stylegan)
            return Ahead(None, names, (step,))
    source = network_source(kind, config)
    return Ahead(source, source.class_names)
