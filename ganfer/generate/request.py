"""What can be told to be wrong with a request for faces before data is drawn or a network trained."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ganfer.config import Config
from ganfer.errors import GanferError, did_you_mean
from ganfer.generate.quota import Quota
from ganfer.generate.source import OWN

_OPTIONS = {
    "network": "--network", "truncation_psi": "--truncation-psi", "face_crop": "--face-crop",
    "detector_model": "--detector-model", "classes": "--network-classes", "class_index": "--network-class",
    "mix_seeds": "--mix-seeds", "mix_layers": "--mix-layers",
}  # fmt: skip


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
