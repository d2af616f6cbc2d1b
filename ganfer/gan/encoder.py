"""The encoder of one of ganfer's own GANs: from a face and its class to the latent that draws it.

Trained after the GAN, on the frozen generator. Four terms: latents of drawn faces are found again; real training faces
are drawn again (perceptual distance and grey levels); sent to another class and back they give the same latent (cycle
consistency, after StarGAN, Choi et al. 2018); and on the way they keep the look of the person (`ganfer.gan.identity`).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor, nn

from classifiers.device_set import to_device
from classifiers.prediction import arriving
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import DataError, GanferError
from ganfer.gan.identity import open_identity
from ganfer.gan.sampling import GanGenerator, open_gan
from ganfer.gan.steps import train_steps
from ganfer.metrics.identity import IdentityDistance
from ganfer.metrics.perceptual import open_perceptual
from ganfer.results import Result
from ganfer.runtime.console import say
from ganfer.runtime.device import describe, resolve_device
from ganfer.runtime.files import digest_of, write_bytes
from ganfer.runtime.seeding import stream
from ganfer.workspace import Run, Workspace

FILE = "encoder.safetensors"
_PIXELS = 10.0  # weight of the mean square of grey levels (in units of the full range) beside the perceptual distance
_WIDEST = 8
_CHECKED = 256  # images behind the figures
_BATCH = 128


class EncoderNet(nn.Module):
    """Faces (N, C, S, S) float 0..255 and classes (N,) or None to latents (N, latent_dim)."""

    def __init__(self, channels: int, size: int, num_classes: int, latent_dim: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, side, outputs = channels, size, width
        while side > 4:
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(4, outputs), nn.LeakyReLU(0.1)]
            inputs, side, outputs = outputs, -(-side // 2), min(2 * outputs, _WIDEST * width)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * side**2, 4 * latent_dim), nn.LeakyReLU(0.1))
        self.by_class = nn.Embedding(num_classes, 4 * latent_dim) if num_classes else None
        self.last = nn.Linear(4 * latent_dim, latent_dim)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, S, S), (N,) -> (N, latent_dim)."""
        h = self.body(images / 127.5 - 1)
        if self.by_class is not None:
            h = h + self.by_class(labels)
        latents: Tensor = self.last(h)
        return latents


class Encoder:
    """A trained encoder beside its generator."""

    def __init__(self, network: EncoderNet, device: torch.device | str) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.device = torch.device(device)

    @torch.no_grad()
    def encode(self, images: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Codes (N, 1, latent_dim) float32 of faces (N, C, S, S) uint8 of the GAN's classes (N,)."""
        parts = (slice(i, i + _BATCH) for i in range(0, len(images), _BATCH))
        found = arriving(self._batch(images[part], None if labels is None else labels[part]) for part in parts)
        return np.concatenate([codes.numpy() for codes in found])[:, None]

    def _batch(self, images: np.ndarray, labels: np.ndarray | None) -> Tensor:
        x = to_device(torch.from_numpy(np.ascontiguousarray(images)), self.device).float()
        y = None if labels is None else to_device(torch.from_numpy(labels), self.device)
        found: Tensor = self.network(x, y)
        return found


def encoder_run(workspace: Workspace, config: Config, data: Run, gan: Run, identity: Run) -> Run:
    """Where the encoder of a GAN lives, trained or not."""
    settings = dataclasses.asdict(config.encoder)
    del settings["checkpoint_every"]
    inputs = {"data": data.digest, "gan": gan.digest, "identity": identity.digest}
    return workspace.run("encoders", "encoder", {"config": settings, "inputs": inputs, "seed": config.seed})


def train_encoder(workspace: Workspace, config: Config, data: Run, gan: Run, identity: Run) -> Result:
    """Train the encoder on drawn faces and the training split's real ones; writes encoders/<run>/. Resumes."""
    run = encoder_run(workspace, config, data, gan, identity)
    with run.work("train encoder") as record:
        if record.get("status") == "complete":
            return _result(run, "was already trained")
        images = read_set(data.path)
        device = resolve_device(config.device)
        generator = open_gan(gan.path, str(device))
        real, labels = usable(images, generator, "train")
        say(
            f"Training an encoder for {gan.name} on {len(real):,} real training images, {config.encoder.steps:,} steps."
        )
        network = fresh_encoder(generator, config).to(device)
        alike = open_identity(identity, images.channels, device)
        loss = encoder_loss(network, generator, alike, real, labels, config)
        optimizer = torch.optim.Adam(network.parameters(), lr=config.encoder.lr, betas=(0.9, 0.99))
        train_steps(
            run.path / "checkpoint.pt", {"network": network}, optimizer, config.encoder.steps, config.encoder.lr, loss,
            every=config.encoder.checkpoint_every, what="train the encoder",
        )  # fmt: skip
        figures = _measure(Encoder(network, device), generator, images, alike, config)
        write_bytes(run.path / FILE, save({name: value.cpu() for name, value in network.state_dict().items()}))
        figures |= {"gan": gan.name, "images": len(real), "steps": config.encoder.steps}
        run.finish(digest=digest_of(run.path / FILE), figures=figures, device=describe(device))
        (run.path / "checkpoint.pt").unlink(missing_ok=True)
    return _result(run, "trained")


def fresh_encoder(generator: GanGenerator, config: Config) -> EncoderNet:
    """An untrained encoder of the generator's size, by the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        classes = len(generator.class_names or ())
        return EncoderNet(
            generator.channels, generator.size, classes, generator.spec.latent_dim, config.encoder.channels
        )


def open_encoder(run: Run, generator: GanGenerator, config: Config) -> Encoder:
    """A finished run's encoder. GanferError when its file is damaged."""
    width = run.record.get("key", {}).get("config", {}).get("channels", config.encoder.channels)
    network = fresh_encoder(
        generator, dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, channels=int(width)))
    )
    try:
        network.load_state_dict(load_file(run.path / FILE))
    except (OSError, RuntimeError, ValueError) as error:
        raise GanferError(f"{run.path} is damaged ({str(error).splitlines()[0]}).", f"Remove {run.path}.") from error
    return Encoder(network, generator.device)


def usable(images: ImageSet, generator: GanGenerator, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Real images of a split in classes that the generator knows, and those classes. DataError when there are none."""
    if (images.size, images.channels) != (generator.size, generator.channels):
        raise GanferError(
            f"{generator.name} draws {generator.channels} × {generator.size} × {generator.size}; the data is "
            f"{images.channels} × {images.size} × {images.size}.",
            "Take a GAN that was trained on this data.",
        )
    part = images.of(split)
    chosen = part.source == "real"
    labels = np.zeros(len(part), np.int64)
    if generator.class_names is not None:
        place = {name: i for i, name in enumerate(generator.class_names)}
        known = np.array([place.get(name, -1) for name in part.class_names], np.int64)
        labels = np.where(part.labels >= 0, known[part.labels], -1)
        chosen &= labels >= 0
    if not chosen.any() and split == "train":
        raise DataError("No real training image is of a class that the GAN knows.", "Train a GAN on this data.")
    return part.images[chosen], labels[chosen]


def encoder_loss(
    network: EncoderNet, generator: GanGenerator, alike: IdentityDistance, real: np.ndarray, labels: np.ndarray,
    config: Config,
) -> Callable[[int], Tensor]:  # fmt: skip
    """The loss of step i, whose random numbers follow from (seed, i) alone."""
    own, device = config.encoder, generator.device
    near = open_perceptual(channels=generator.channels, device=device).between
    classes, half = len(generator.class_names or ()), max(1, own.batch_size // 2)

    def classed(values: np.ndarray) -> Tensor | None:
        return to_device(torch.from_numpy(values), device) if classes else None

    def loss(i: int) -> Tensor:
        rng = stream(config.seed, "encoder-step", i)
        z = rng.standard_normal((half, generator.spec.latent_dim)).astype(np.float32)
        latent = to_device(torch.from_numpy(z), device)
        asked = classed(rng.integers(max(1, classes), size=half))
        with torch.no_grad():
            drawn = generator.render(latent, asked).clamp(0, 255)
        total = F.mse_loss(network(drawn, asked), latent)
        rows = rng.integers(len(real), size=half)
        faces, there = to_device(torch.from_numpy(real[rows]), device).float(), classed(labels[rows])
        found = network(faces, there)
        again = generator.render(found, there)
        grey = ((again - faces) / 255).square().mean()
        total = total + own.reconstruction * (near(again, faces).mean() + _PIXELS * grey)
        total = total + 0.1 * (found.square().mean(dim=1) - 1).square().mean()  # where the generator's own latents lie
        if own.cycle or own.identity:
            elsewhere = classed((labels[rows] + 1 + rng.integers(max(1, classes - 1), size=half)) % max(1, classes))
            moved = generator.render(found, elsewhere) if classes > 1 else again
            total = total + own.cycle * F.mse_loss(network(moved, elsewhere), found)
            total = total + own.identity * alike.between(moved, faces).mean()
        return total

    return loss


@torch.no_grad()
def _measure(
    encoder: Encoder, generator: GanGenerator, images: ImageSet, alike: IdentityDistance, config: Config
) -> dict[str, Any]:
    """On validation's real images and on drawn ones: is the latent found again, is the face?"""
    rng = stream(config.seed, "encoder-check")
    classes = len(generator.class_names or ())
    seeds = rng.integers(2**31, size=_CHECKED)
    asked = rng.integers(max(1, classes), size=_CHECKED) if classes else None
    drawn, z = generator.sample(seeds, asked), generator.latents(seeds)
    found = encoder.encode(drawn, asked)[:, 0]
    figures: dict[str, Any] = {"latent_r2": round(1 - float(((found - z) ** 2).mean() / (z**2).mean()), 4)}
    held, labels = usable(images, generator, "val")
    held, labels = held[:_CHECKED], labels[:_CHECKED]
    if len(held) > 1:
        near = open_perceptual(channels=generator.channels)
        chosen = labels if classes else None
        again = generator.sample_latents(encoder.encode(held, chosen)[:, 0], chosen)
        one, two = alike.embed(held), alike.embed(again)
        figures |= {
            "distance": near.name,
            "reconstruction": round(float(near(held, again).mean()), 4),
            "unrelated": round(float(near(held, np.roll(again, 1, axis=0)).mean()), 4),
            "identity": round(float((1 - (one * two).sum(axis=1)).mean()), 4),
            "identity_unrelated": round(float((1 - (one * np.roll(two, 1, axis=0)).sum(axis=1)).mean()), 4),
        }
    return figures


def _result(run: Run, what: str) -> Result:
    figures = run.figures
    lines = [f"{run.name} {what} for {figures['gan']}: it finds {figures['latent_r2']:.0%} of a drawn face's latent."]
    if "reconstruction" in figures:
        lines.append(
            f"  validation's faces drawn again: {figures['distance']} {figures['reconstruction']:.3f} (unrelated ones "
            f"{figures['unrelated']:.3f}), identity {figures['identity']:.2f} ({figures['identity_unrelated']:.2f})"
        )
    return Result("ganfer train encoder", run.path, figures, lines)
