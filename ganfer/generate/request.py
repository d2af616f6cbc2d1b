"""A request for faces, and what can be told to be wrong with it before data is drawn or a network trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ganfer.classifier.early import check_classes, check_device
from ganfer.config import Config
from ganfer.errors import GanferError, did_you_mean
from ganfer.generate.quota import Quota, check_request, plan_counts, plan_seeds
from ganfer.generate.real_faces import check_from_faces
from ganfer.generate.source import OWN, Preview
from ganfer.runtime import ranks
from ganfer.runtime.extras import require
from ganfer.workspace import Run, Workspace

_OPTIONS = {
    "network": "--network", "truncation_psi": "--truncation-psi", "face_crop": "--face-crop",
    "detector_model": "--detector-model", "classes": "--network-classes", "class_index": "--network-class",
    "mix_seeds": "--mix-seeds", "mix_layers": "--mix-layers",
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What `Project.generate` is asked for, in its words. source: the registered name of a kind of generator."""

    n: int | None = None
    balance: bool = False
    to: int | None = None
    classes: Mapping[str, int] = field(default_factory=dict)
    gan: str | None = None
    generators: int = 1
    source: str = OWN
    seeds: Sequence[int] | None = None
    steer: bool | None = None
    from_faces: tuple[str, ...] | None = None

    @property
    def own(self) -> bool:
        """Whether a GAN of the workspace draws the faces."""
        return self.source == OWN

    @property
    def changes_faces(self) -> bool:
        """Whether they are real faces, changed."""
        return self.from_faces is not None

    @property
    def fills(self) -> bool:
        """Whether classes are filled up to a count, rather than given counts of their own."""
        return self.balance or self.to is not None

    def check(self, workspace: Workspace, config: Config) -> None:
        """GanferError for what is wrong whatever the data and the generator."""
        check_classes(workspace, self.classes, "--class")
        check_request(n=self.n, balance=self.balance, to=self.to, classes=self.classes)
        check_device(config)
        if self.generators > 1 and (self.gan or not self.own or self.changes_faces):
            raise GanferError(
                "--generators draws from the workspace's own GANs, as many as it says.",
                "Leave out --gan, --source and --from-faces.",
            )
        check_source_settings(config, self.source, self.gan, moved=bool(self.steer) or self.changes_faces)

    def steered(self, known: Preview) -> bool:
        """Whether the generator is led to the classes: as is said, else where one that knows none is asked for some."""
        asks = self.fills or bool(self.classes)
        return self.steer if self.steer is not None else asks and known.class_names is None

    def check_known(self, known: Preview, config: Config) -> None:
        """GanferError for what does not go with this generator."""
        steered = self.steered(known)
        check_source_settings(config, self.source, self.gan, moved=steered or self.changes_faces)
        if steered and ranks.count() > 1:
            raise GanferError("Steering runs in one process.", "Give the command without torchrun.")
        if self.changes_faces:
            asks = self.fills or bool(self.classes)
            check_from_faces(asks, seeds=self.seeds, steer=self.steer, n=self.n, format=config.generate.format)
        elif config.generate.format == "parquet":
            require("--format parquet", "parquet", "pyarrow")

    def quota(self, data: Run | None, config: Config, *, steered: bool = False) -> Quota:
        """The faces of each class. data: None for the faces that would be drawn."""
        request: dict[str, Any] = {"n": self.n, "balance": self.balance, "to": self.to, "classes": self.classes}
        if self.seeds is not None:
            return plan_seeds(self.seeds, steered, **request)
        return plan_counts(data, config, **request)


def check_source_settings(config: Config, kind: str, gan: str | None, *, moved: bool) -> None:
    """GanferError for a setting that this kind of generator does not have, rather than faces drawn without it.

    moved: the faces are steered or made of real ones, so their latents are not those that seeds name.
    """
    given = _changed(config.stylegan)
    if kind == OWN:
        if said := stylegan_settings(config):
            raise GanferError(
                f"{said[0]} is of a StyleGAN2 network; the workspace's own GAN draws these faces.",
                "Add --source stylegan2, or leave it out.",
            )
        return
    if gan:
        raise GanferError(
            f"--gan names a GAN of the workspace; --source {kind} draws from a file.", "Leave one of them out."
        )
    if config.generate.truncation:
        raise GanferError(
            "--truncation is of ganfer's own GANs.", "For a StyleGAN2 it is --truncation-psi; else leave it out."
        )
    if kind != "stylegan2":
        others = [name for name in given if name != "network"]
        if others:
            raise GanferError(f"{_named(others[0])} is of a StyleGAN2 network, not of {kind}.", "Leave it out.")
        return
    if "mix_layers" in given and not config.stylegan.mix_seeds:
        raise GanferError("--mix-layers without --mix-seeds mixes nothing.", "Give both, or none.")
    if config.stylegan.detector_model and config.stylegan.face_crop != "detect":
        raise GanferError("--detector-model finds faces for --face-crop detect alone.", "Give both, or none.")
    seeded = [name for name in ("mix_seeds", "noise") if name in given]
    if moved and seeded:
        raise GanferError(
            f"{_named(seeded[0])} is of faces drawn by their seeds; steered or changed ones have latents of their own.",
            "Leave it out, or ask with --n or --no-steer.",
        )


def stylegan_settings(config: Config) -> list[str]:
    """The settings of a StyleGAN2 network that were given, by option."""
    return [_named(name) for name in _changed(config.stylegan)]


def check_names(quota: Quota, names: Sequence[str] | None, seeds: Sequence[int] | None, kind: str) -> None:
    """GanferError for classes that a generator with these names does not draw, and for seeds that it does not take.

    names: ("",) for one that will know the classes of the data; None for one that knows no classes.
    """
    if seeds is not None and names is not None:
        raise GanferError(
            "--seeds draws from a generator without classes, or from one chosen class.",
            "Choose it with --network-class, or give --class NAME=N and --seed.",
        )
    if seeds is not None and kind == "stylegan2":
        from ganfer.generate.stylegan2 import MAX_SEED

        if max(seeds) > MAX_SEED:
            raise GanferError(f"--seeds: {max(seeds)} is above {MAX_SEED}, a StyleGAN2's highest.", "Give lower ones.")
    if seeds is None and names is not None and "" not in names:
        unknown = next((name for name in quota.counts if name not in names), None)
        if unknown is not None:
            raise GanferError(
                f"The generator has no class {unknown!r}. {did_you_mean(unknown, names)}",
                "Take one that was trained on data with that class, or name classes with --class NAME=N.",
            )


def unused(config: Config, *, steered: bool, from_faces: bool) -> list[str]:
    """A line for each group of settings that was given and that these faces do not need."""
    lines = []
    if not (steered or from_faces) and (given := _changed(config.steering)):
        lines.append(f"steering.{', steering.'.join(given)}: not used, these faces are not steered.")
    if not from_faces and (given := _changed(config.transfer)):
        lines.append(f"transfer.{', transfer.'.join(given)}: not used without --from-faces.")
    return lines


def _changed(settings: Any) -> list[str]:
    return [field.name for field in fields(settings) if getattr(settings, field.name) != field.default]


def _named(name: str) -> str:
    option = _OPTIONS.get(name)
    return f"{option} (stylegan.{name})" if option else f"stylegan.{name}"
