"""Where a batch's faces come from: a GAN of the workspace, a StyleGAN2 network, a generator of another package."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganfer.config import Config
from ganfer.errors import GanferError
from ganfer.gan.generator import Generator, check_source, open_generator
from ganfer.runtime.files import digest_of, read_object
from ganfer.workspace import Run

OWN = "dcgan"  # the registered name of ganfer's own GANs, whatever their network; commands say "gan"


@dataclass(frozen=True)
class GeneratorChoice:
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
        return dict(self.options) if self.kind == OWN else {"source": self.kind, **self.options}

    def open(self, device: str, size: int, channels: int) -> Generator:
        """The generator; one from outside the workspace draws images of this size and channels, or is refused."""
        if self.kind == OWN:
            return open_generator(self.kind, self.path, device, **self.options)
        generator = open_generator(self.kind, self.path, device, size=size, channels=channels, **self.options)
        if (generator.size, generator.channels) != (size, channels):
            raise GanferError(
                f"{self.kind} draws {generator.channels} x {generator.size} x {generator.size}; the data is "
                f"{channels} x {size} x {size}.",
                "Add the data again at the generator's size and channels (--size, --color).",
            )
        return generator


def gan_source(run: Run, config: Config) -> GeneratorChoice:
    """A GAN of the workspace."""
    card = run.path / "card.json"
    try:
        names = read_object(card, "Train the GAN again.")["class_names"]
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ValueError("its class names are no list")
    except (OSError, ValueError, KeyError) as error:
        raise GanferError(f"{card} is missing or damaged ({error}).", "Train the GAN again.") from error
    options = {"truncation": config.generate.truncation}
    return GeneratorChoice(OWN, run.name, run.path, run.digest, None if names is None else tuple(names), options, "gan")


def network_source(kind: str, config: Config) -> GeneratorChoice:
    """A StyleGAN2 network (downloaded if need be), or what another package registered as `kind`."""
    if kind == "stylegan2":
        from ganfer.generate.stylegan2 import class_names, find_network, options_of

        network = find_network(config.stylegan)
        names = class_names(config.stylegan, network.info)
        options = options_of(config.stylegan, network)
        return GeneratorChoice(kind, network.name, network.path, network.info.sha256, names, options)
    path = Path(config.stylegan.network)
    if not config.stylegan.network or not path.exists():
        raise GanferError(f"--source {kind} needs its file.", "Give it with --network FILE.")
    generator = open_generator(kind, path, config.device)
    digest = generator.digest or (digest_of(path) if path.is_file() else "")
    return GeneratorChoice(kind, generator.name, path, digest, generator.class_names, {})


@dataclass(frozen=True)
class Preview:
    """What is known of a generator before it is trained or fetched. class_names: None if it knows none.

    steps: what has to be done to have it, in words.
    """

    source: GeneratorChoice | None
    class_names: tuple[str, ...] | None
    steps: tuple[str, ...] = ()


def preview(kind: str, gan: Run | None, config: Config, *, fetch: bool) -> Preview:
    """The source that is there, or what is known of it. fetch: download what is not here.

    GanferError for a kind nobody registered and for what is wrong with a network or its settings.
    """
    check_source(kind)
    if kind == OWN:
        if gan is None:
            return Preview(None, ("",) if config.gan.conditional else None)
        source = gan_source(gan, config)
        return Preview(source, source.class_names)
    if kind == "stylegan2" and not fetch:
        from ganfer.generate.stylegan2 import is_here, named_ahead

        if not is_here(config.stylegan):
            names, step = named_ahead(config.stylegan)
            return Preview(None, names, (step,))
    source = network_source(kind, config)
    return Preview(source, source.class_names)


def registered(source: str) -> str:
    """The name a kind of generator is registered by: "gan" means the workspace's own, once called "dcgan"."""
    return OWN if source == "gan" else source
