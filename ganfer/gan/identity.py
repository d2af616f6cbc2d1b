"""The networks that tell people apart, trained for a data set: drawn people, and its real training images.

Two of them: the guide, by whose gradient faces are changed and the encoder is trained, and the witness, which bounds
how far a changed face may be from its real one. They share neither architecture nor random numbers nor drawn people.

Drawn faces bring what no labelled set of expressions has: several faces of one person with known identity. Real
training images take part each as a person of its own (or, where the data names its subjects, with the subject's other
images), shifted, scaled and lit anew, so that the network knows their look too. The record has the AUC on drawn people
it never saw and, where subjects are known, on validation's.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor

from classifiers.device_set import to_device
from ganfer.config import Config
from ganfer.data.drawn import DRAWN_VERSION, draw_faces
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import GanferError
from ganfer.gan.steps import train_steps
from ganfer.metrics.identity import SIDE, IdentityDistance, IdentityNet, Network, WitnessNet, contrast, separation
from ganfer.results import Result
from ganfer.runtime.console import say
from ganfer.runtime.device import describe, resolve_device
from ganfer.runtime.files import digest_of, write_bytes, write_npy
from ganfer.runtime.seeding import stream
from ganfer.workspace import Run, Workspace

FILE, STRANGERS = "identity.safetensors", "strangers.npy"
_FIRST = 11 << 40  # seeds of drawn people, which no drawn data set reaches
_PAIRS = 4000  # pairs of strangers
_RATE = 2e-3
_MOST_REAL = 20_000  # training images that take part


@dataclass(frozen=True)
class IdentitySettings:
    """How it is trained. people: drawn ones, with `faces` each; a step takes two faces of `batch` people, half real."""

    people: int = 400
    faces: int = 6
    unseen: int = 60
    steps: int = 400
    batch: int = 64
    every: int = 100


DEFAULT = IdentitySettings()


@dataclass(frozen=True)
class Part:
    """One of the two networks. name: of its runs; streams of random numbers begin so. first: seed of its people."""

    name: str
    network: Callable[[int], Network]
    first: int
    words: str


GUIDE = Part("identity", IdentityNet, _FIRST, "the network that tells people apart")
WITNESS = Part("witness", WitnessNet, 12 << 40, "a second one, which no search is led by and which bounds the distance")


def identity_run(
    workspace: Workspace, config: Config, data: Run, settings: IdentitySettings | None = None, part: Part = GUIDE
) -> Run:
    """Where a network for this data lives, trained or not."""
    values: dict[str, Any] = {**asdict(settings or DEFAULT), "drawn": DRAWN_VERSION}
    del values["every"]
    if part is not GUIDE:
        values["part"] = part.name
    return workspace.run(
        "identities", part.name, {"config": values, "inputs": {"data": data.digest}, "seed": config.seed}
    )


def train_identity(
    workspace: Workspace, config: Config, data: Run, settings: IdentitySettings | None = None, part: Part = GUIDE
) -> Result:
    """Train it on drawn people and the training split's real images; writes identities/<run>/. Resumes."""
    settings = settings or DEFAULT
    run = identity_run(workspace, config, data, settings, part)
    with run.work("train identity") as record:
        if record.get("status") == "complete":
            return _result(run, "was already trained")
        images = read_set(data.path)
        device = resolve_device(config.device)
        say(f"Training {part.words}, on {settings.people:,} drawn people and the training images.")
        drawn = _drawn(run, images.channels, settings.people, settings.faces, part.first)
        real = images.of("train")
        rows = stream(config.seed, f"{part.name}-real").permutation(np.flatnonzero(real.source == "real"))
        real = real.select(np.sort(rows[:_MOST_REAL]))
        network = _train(run, config, settings, drawn, real, device, part)
        measured = _measure(network, images, real, settings, config.seed)
        write_npy(run.path / STRANGERS, measured.pop("strangers"))
        write_bytes(run.path / FILE, save(network.state_dict()))
        run.finish(digest=digest_of(run.path / FILE), figures=measured, device=describe(device))
        for name in ("checkpoint.pt", "drawn.npy"):
            (run.path / name).unlink(missing_ok=True)
    return _result(run, "trained")


def open_identity(run: Run, channels: int, device: torch.device | str = "cpu", part: Part = GUIDE) -> IdentityDistance:
    """The distance of a finished run. GanferError when its files are damaged."""
    network = part.network(channels)
    try:
        network.load_state_dict(load_file(run.path / FILE))
        strangers = np.load(run.path / STRANGERS)
    except (OSError, RuntimeError, ValueError) as error:
        raise GanferError(f"{run.path} is damaged ({str(error).splitlines()[0]}).", f"Remove {run.path}.") from error
    return IdentityDistance(network.to(device), strangers)


def _drawn(run: Run, channels: int, people: int, faces: int, first: int) -> np.ndarray:
    """(people * faces, C, 48, 48) uint8, a person's faces side by side, each with an expression of its own."""
    file = run.path / "drawn.npy"
    if file.is_file():
        return np.asarray(np.load(file))
    pixels = drawn_people(channels, people, faces, first)
    write_npy(file, pixels)
    return pixels


def drawn_people(channels: int, people: int, faces: int, first: int = _FIRST) -> np.ndarray:
    """The same, drawn now."""
    count = people * faces
    labels = np.arange(count) % 7  # a person's faces differ in expression, pose, light and background
    persons = np.repeat(first + np.arange(people), faces)
    return draw_faces(first + np.arange(count), labels, size=SIDE, channels=channels, identities=persons)


def _train(
    run: Run, config: Config, settings: IdentitySettings, drawn: np.ndarray, real: ImageSet, device: torch.device,
    part: Part,
) -> Network:  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = part.network(real.channels).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-2)
    groups = _subjects(real)
    half = settings.batch // 2

    def step(i: int) -> Tensor:
        rng = stream(config.seed, f"{part.name}-step", i)
        persons = rng.permutation(settings.people)[:half]
        one = persons[:, None] * settings.faces + np.argsort(rng.random((len(persons), settings.faces)), axis=1)[:, :2]
        pixels = [drawn[one.ravel()]]
        who = [np.repeat(np.arange(len(persons)), 2)]
        if groups:
            chosen = rng.integers(len(groups), size=min(half, len(groups)))
            chosen = np.unique(chosen)
            two = np.stack([rng.choice(groups[k], 2) for k in chosen])
            pixels.append(_at_side(real.images[two.ravel()]))
            who.append(len(persons) + np.repeat(np.arange(len(chosen)), 2))
        faces = to_device(torch.from_numpy(np.concatenate(pixels)), device).float()
        return contrast(network(varied(faces, rng)), to_device(torch.from_numpy(np.concatenate(who)), device))

    train_steps(
        run.path / "checkpoint.pt", {"network": network}, optimizer, settings.steps, _RATE, step,
        every=settings.every, what="tell people apart",
    )  # fmt: skip
    return network.cpu().eval()


def _subjects(real: ImageSet) -> list[np.ndarray]:
    """Rows by subject; an image without one is a person of its own."""
    names = [str(group) or f"#{i}" for i, group in enumerate(real.group)]
    found: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        found.setdefault(name, []).append(row)
    return [np.array(rows) for rows in found.values()]


def _at_side(images: np.ndarray) -> np.ndarray:
    if images.shape[-1] == SIDE:
        return images
    pixels = torch.from_numpy(images).float()
    resized = F.interpolate(pixels, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return resized.round().clamp(0, 255).to(torch.uint8).numpy()


def varied(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Faces (N, C, H, W) mirrored, shifted, scaled and lit at random: what does not change a person."""
    n = len(faces)
    draws = to_device(torch.from_numpy(rng.random((6, n)).astype(np.float32)), faces.device)
    theta = torch.zeros(n, 2, 3, device=faces.device)
    scale = 1 + (draws[0] - 0.5) * 0.2
    theta[:, 0, 0] = torch.where(draws[1] < 0.5, -scale, scale)
    theta[:, 1, 1] = scale
    theta[:, 0, 2], theta[:, 1, 2] = (draws[2] - 0.5) * 0.16, (draws[3] - 0.5) * 0.16
    grid = F.affine_grid(theta, list(faces.shape), align_corners=False)
    moved = F.grid_sample(faces, grid, padding_mode="border", align_corners=False)
    return moved * (0.7 + 0.6 * draws[4])[:, None, None, None] + ((draws[5] - 0.5) * 50)[:, None, None, None]


def _measure(
    network: Network, images: ImageSet, real: ImageSet, settings: IdentitySettings, seed: int
) -> dict[str, Any]:
    """What it separates, and how far strangers are apart: pairs of real training images of different subjects."""
    distance = IdentityDistance(network, np.zeros(1))
    unseen = drawn_people(images.channels, settings.unseen, 3, _FIRST + (1 << 30))
    figures: dict[str, Any] = {
        "auc_drawn": round(separation(distance.embed(unseen), np.repeat(np.arange(settings.unseen), 3)), 4),
        "auc_subjects": None,
    }
    val = images.of("val")
    known = np.flatnonzero(val.group != "")
    if len(np.unique(val.group[known])) < len(known) > 2:
        _, persons = np.unique(val.group[known], return_inverse=True)
        if persons.max() > 0:
            figures["auc_subjects"] = round(separation(distance.embed(val.images[known]), persons), 4)
    rng = stream(seed, "strangers")
    pairs = rng.integers(len(real), size=(2, _PAIRS))
    apart = (pairs[0] != pairs[1]) & ((real.group[pairs[0]] != real.group[pairs[1]]) | (real.group[pairs[0]] == ""))
    pairs = pairs[:, apart]
    rows, places = np.unique(pairs, return_inverse=True)
    vectors = distance.embed(real.images[rows])
    first, second = vectors[places.reshape(pairs.shape)]
    figures["strangers"] = np.sort(1 - (first * second).sum(axis=1)) if len(first) else np.array([1.0])
    figures["strangers_median"] = round(float(np.median(figures["strangers"])), 4)
    return figures


def _result(run: Run, what: str) -> Result:
    figures = run.figures
    subjects = figures["auc_subjects"]
    known = "" if subjects is None else f", {subjects:.3f} on validation's subjects"
    return Result(
        "train identity", run.path, figures,
        [f"{run.name} {what}: AUC {figures['auc_drawn']:.3f} in telling apart drawn people it never saw{known}."],
    )  # fmt: skip
