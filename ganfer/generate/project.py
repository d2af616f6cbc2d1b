"""`ganfer stylegan project`: images as latent codes of a StyleGAN2 or of one of ganfer's own GANs.

Images are inverted in batches of a fixed make-up, and each finished batch is kept, so the same command again goes on
to the same codes.
"""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganfer.config import Config
from ganfer.data.decode import Target
from ganfer.data.decode_many import decode_items
from ganfer.data.provenance import png_base64, write_png
from ganfer.data.sources.items import Item
from ganfer.data.text import folded, printable
from ganfer.errors import DataError, GanferError
from ganfer.gan.sampling import open_gan
from ganfer.generate.foreign import image_files
from ganfer.generate.request import stylegan_settings
from ganfer.generate.spaces import GanSpace
from ganfer.generate.stylegan2 import find_network
from ganfer.metrics.perceptual import Perceptual, open_perceptual
from ganfer.page.blocks import Face, FaceClass, Faces, Section
from ganfer.page.sheet import Sheet, render_sheet
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.runtime.device import describe, resolve_device
from ganfer.runtime.files import digest_json, digest_of, write_bytes, write_csv, write_text
from ganfer.workspace import Run, Workspace
from stylegan_bridge import BridgeError, ProjectConfig, Projector, StyleSpace, load_generator
from stylegan_bridge.steering import LatentSpace

LATENTS = "latents.npz"
_PARTS = "parts"
_SHOWN = 200  # pairs on the page
_REFERENCE = 64  # plain images behind what a distance is compared with


@dataclasses.dataclass(frozen=True)
class Opened:
    """A network ready to be searched: its latent space, the images' size, and what names it. kind: of the codes."""

    space: LatentSpace
    size: int
    channels: int
    name: str
    digest: str
    kind: str


def settings_of(config: Config) -> ProjectConfig:
    """The bridge's settings."""
    own = config.projection
    return ProjectConfig(
        steps=own.steps, rate=own.rate, pixels=own.pixels, mean_weight=own.mean, layer_weight=own.layers,
        noise=own.noise,
    )  # fmt: skip


def open_network(workspace: Workspace, config: Config, gan: str | None, of_class: str | None) -> Opened:
    """The network of --network, or the GAN that is named. GanferError for a class that it has not, or lacks."""
    device = resolve_device(config.device)
    if gan is not None:
        if config.projection.noise:
            raise GanferError("projection.noise: only StyleGAN2 files have noise images to find.", "Leave it out.")
        if said := stylegan_settings(config):
            raise GanferError(
                f"{said[0]} is of a StyleGAN2 network, and --gan names one of ganfer's own.", "Leave one of them out."
            )
        of_class = None if of_class is None else folded(of_class)
        path = Path(gan) if Path(gan).exists() else workspace.find("gans", gan).path
        own = open_gan(path, str(device))
        names = own.class_names
        if (names is None) != (of_class is None) or (names and of_class not in names):
            known = f"its classes are {', '.join(names)}" if names else "it knows no classes"
            raise GanferError(
                f"{path.name} with --class {of_class or '(none)'}: {known}.",
                "Give one of them with --class." if names else "Leave --class out.",
            )
        label = None if names is None or of_class is None else names.index(of_class)
        return Opened(
            GanSpace(own, label, own.depth if config.projection.layered else 1),
            own.size,
            own.channels,
            path.name,
            own.digest,
            "z",
        )
    if of_class is not None:
        raise GanferError("--class is of ganfer's own GANs.", "A StyleGAN2 file's class is --network-class N.")
    network = find_network(config.stylegan)
    index = config.stylegan.class_index if config.stylegan.class_index >= 0 else None
    try:
        generator = load_generator(network.path, device)
        space = StyleSpace(generator, index)
    except BridgeError as error:
        raise GanferError(f"{network.path}: {error}.", "Give its class with --network-class N.") from error
    return Opened(space, generator.resolution, generator.img_channels, network.name, network.info.sha256, "w")


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The files among the paths and below the folders among them. DataError for one that is missing."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(image_files(path)[0])
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(f"{path} is not there.", "Give image files, or folders of them.")
    return list({path.resolve(): path for path in reversed(files)}.values())[::-1]  # each once, where it came first


def read_images(files: Sequence[Path], size: int, channels: int, workers: int) -> np.ndarray:
    """(N, C, H, W) uint8, each file brought to the network's size. DataError for one that cannot be read."""
    items = [Item(printable(str(path)), "", path) for path in files]
    pixels = []
    for chunk, decoded in decode_items(items, Target(size, channels), workers):
        for item, reason in zip(chunk, decoded.reasons, strict=True):
            if reason:
                raise DataError(f"{item.id}: {reason}.", "Leave it out, or give another image.")
        pixels.append(np.array(decoded.pixels))
    return np.concatenate(pixels)


def plan_lines(opened: Opened, count: int, config: Config) -> list[str]:
    """What the search will cost."""
    steps = config.projection.steps * -(-count // config.projection.batch)
    return [
        f"invert {count:,} images into {opened.name} at {opened.size} pixels: {config.projection.steps:,} steps for "
        f"each {config.projection.batch} of them, {steps:,} in all",
    ]


def project(workspace: Workspace, config: Config, opened: Opened, files: Sequence[Path]) -> Result:
    """Find the images' codes; writes projections/<run>/ and returns its figures. Resumes to the same codes."""
    images = read_images(files, opened.size, opened.channels, config.data.workers)
    settings = {name: value for name, value in dataclasses.asdict(config.projection).items() if name != "lpips"}
    distance = open_perceptual(config.projection.lpips, channels=opened.channels, device=resolve_device(config.device))
    key = {
        "config": {**settings, "distance": distance.name, "class": config.stylegan.class_index},
        "inputs": {"network": opened.digest, "images": digest_json([digest_of(file) for file in files])},
        "seed": config.seed,
    }
    run = workspace.run("projections", opened.name[:40], key)
    with run.work("stylegan project") as record:
        if record.get("status") == "complete":
            return _result(run, "was already done")
        if distance.note:
            say(distance.note)
        for line in plan_lines(opened, len(files), config):
            say(line)
        found = in_batches(run.path / _PARTS, opened.space, images, config, distance)
        plain = _plain_distance(opened.space, images, distance)
        drawn = _write(run, files, images, found, opened.kind)
        figures = {
            "count": len(files),
            "network": opened.name,
            "distance": distance.name,
            "mean_distance": round(float(found["distances"].mean()), 4),
            "plain_distance": round(plain, 4),
        }
        write_text(run.path / "index.html", _page(figures, files, images, drawn, found["distances"]))
        run.finish(
            digest=digest_of(run.path / LATENTS), figures=figures, device=describe(resolve_device(config.device))
        )
        for part in (run.path / _PARTS).glob("*.npz"):
            part.unlink()
        (run.path / _PARTS).rmdir()
    return _result(run, "done")


def in_batches(
    folder: Path, space: LatentSpace, images: np.ndarray, config: Config, distance: Perceptual,
    starts: np.ndarray | None = None, extra: Any = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Codes, images and distances of images (N, C, H, W) uint8, batch by batch; finished ones lie in `folder`.

    starts: codes (N, L, D) to begin from. extra: a further differentiable distance.
    """
    between = distance.between if extra is None else lambda a, b: distance.between(a, b) + extra(a, b)
    projector: Projector | None = None
    size, parts = config.projection.batch, []
    with progress("invert", len(images)) as advance:
        for start in range(0, len(images), size):
            file = folder / f"{start:08d}.npz"
            part = slice(start, start + size)
            if not file.is_file():
                projector = projector or Projector(space, between, settings_of(config), config.seed)
                begin = None if starts is None else torch.from_numpy(starts[part])
                result = projector.project(torch.from_numpy(images[part]), begin)
                noises = {f"noise{i}": noise for i, noise in enumerate(result.noises or [])}
                made = {"codes": result.codes, "images": result.images, "distances": result.distances, **noises}
                file.parent.mkdir(exist_ok=True)
                write_bytes(file, packed(**made))
            with np.load(file) as stored:
                parts.append({name: stored[name] for name in stored.files})
            advance(len(images[part]))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def packed(**tensors: Tensor) -> bytes:
    """Tensors as the bytes of an .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value.detach().cpu().numpy() for name, value in tensors.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


@torch.no_grad()
def _plain_distance(space: LatentSpace, images: np.ndarray, distance: Perceptual) -> float:
    """How far the images are from faces that have nothing to do with them: what a found distance compares with."""
    drawn = space.final(space.codes(range(_REFERENCE))).numpy()
    return float(distance(images[np.arange(_REFERENCE) % len(images)], drawn).mean())


def _write(run: Run, files: Sequence[Path], images: np.ndarray, found: dict[str, np.ndarray], kind: str) -> np.ndarray:
    """The codes, the drawings and the table; returns the drawings."""
    names = [f"{i:05d}-{printable(file.stem)[:60]}.png" for i, file in enumerate(files)]
    stored = {name: value for name, value in found.items() if name.startswith("noise")}
    buffer = io.BytesIO()
    np.savez(buffer, **{kind: found["codes"]}, files=np.array([printable(str(file)) for file in files]), **stored)  # type: ignore[arg-type]
    write_bytes(run.path / LATENTS, buffer.getvalue())
    (run.path / "images").mkdir(exist_ok=True)
    for name, image, file in zip(names, found["images"], files, strict=True):
        facts = {"generator": str(run.key["inputs"]["network"]) if run.key else "", "projected_from": file.name}
        write_png(run.path / "images" / name, image, facts)
    rows = [
        {"file_name": f"images/{name}", "image": printable(str(file)), "distance": round(float(distance), 5)}
        for name, file, distance in zip(names, files, found["distances"], strict=True)
    ]
    write_csv(run.path / "projections.csv", list(rows[0]), rows)
    return found["images"]


def _page(
    figures: dict[str, Any], files: Sequence[Path], images: np.ndarray, drawn: np.ndarray, distances: np.ndarray
) -> str:
    classes = [
        FaceClass(
            file.name,
            [
                ("Image", "image", [Face(png_base64(image), "")]),
                ("Drawn from its code", "drawn", [Face(png_base64(face), f"{figures['distance']} {distance:.3f}")]),
            ],
        )
        for file, image, face, distance in zip(files[:_SHOWN], images, drawn, distances, strict=False)
    ]
    sentence = (
        f"{figures['count']:,} images and what {figures['network']} draws from the codes found for them: "
        f"{figures['distance']} {figures['mean_distance']:.3f} on average, between unrelated faces "
        f"{figures['plain_distance']:.3f}."
    )
    lead = f"The first {_SHOWN} of {len(files):,}." if len(files) > _SHOWN else ""
    return render_sheet(
        Sheet("Inverted images", sentence, sections=[Section("pairs", "Pairs", lead, [Faces(classes)])],
              footer=f"The codes are in {LATENTS}, the figures in projections.csv.")
    )  # fmt: skip


def _result(run: Run, what: str) -> Result:
    figures = run.figures
    lines = [
        f"{run.name} {what}: {figures['count']:,} images, {figures['distance']} {figures['mean_distance']:.4f} on "
        f"average (between unrelated faces {figures['plain_distance']:.4f}).",
        f"  codes: {run.path / LATENTS}, page: {run.path / 'index.html'}",
    ]
    return Result("ganfer stylegan project", run.path, figures, lines)
