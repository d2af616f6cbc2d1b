"""Drawing from a trained GAN, and its file: weights with a card that explains them.

Convolution libraries choose their algorithm by the batch's shape and the number of threads, so every pass is padded to
one fixed size and, on a CPU, runs on one thread (several passes run side by side). Then an image depends on its seed,
its label and the network alone, whatever the batch, the order or the number of threads.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from classifiers.device_set import to_device
from classifiers.memory import is_of_the_gpu
from classifiers.prediction import to_host
from classifiers.recorder import wanted
from ganfer.errors import GanferError
from ganfer.gan.generator import Generator
from ganfer.gan.latents import latents
from ganfer.gan.networks import GENERATORS, NetworkSpec, build_generator
from ganfer.runtime.device import resolve_device
from ganfer.runtime.files import write_bytes, write_json
from stylegan_bridge.exact import exact
from stylegan_bridge.graphs import Replayed

log = logging.getLogger("ganfer")

FORMAT = "ganfer-generator-1"
FILE = "generator.safetensors"
# Images per pass; fixed, see above. On a GPU about as many as the default network's pass draws while its launches are
# made: a few faces then cost no more than their launches, and many are still drawn faster than they are written.
_INTERNAL_BATCH = {"cpu": 32, "cuda": 128, "mps": 64}
_PLAIN_PASSES = 8  # on CUDA, before a pass is recorded: a recording takes the time of some
_PIXELS = {"cpu": 32 * 64**2, "cuda": 512 * 64**2, "mps": 64 * 64**2}  # per pass of networks of any size


class GanGenerator(Generator):
    """A GAN's generator as the rest of ganfer uses it (`ganfer.gan.generator.Generator`)."""

    def __init__(
        self,
        network: nn.Module,
        spec: NetworkSpec,
        class_names: tuple[str, ...] | None,
        *,
        digest: str = "",
        device: torch.device | str = "cpu",
        truncation: float = 0.0,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.spec, self.class_names, self.digest = spec, class_names, digest
        self.truncation, self.card = truncation, dict(card or {})
        self.facts = {"truncation": truncation}
        self.name, self.size, self.channels = spec.network, spec.draws or spec.size, spec.channels
        self._network = network.to(self.device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self._batch = _INTERNAL_BATCH[self.device.type]
        if spec.layout:  # of any size: large images leave room for fewer
            self._batch = max(1, min(self._batch, _PIXELS[self.device.type] // spec.size**2))
        #: Passes still to come before one is recorded, where that is known to be right; -1: none is.
        self.plain_passes = -1
        self._replayed = Replayed()

    def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images (N, C, H, W) uint8 for seeds (N,) int64 and labels (N,) into class_names; None if unconditional."""
        seeds = np.asarray(seeds, dtype=np.int64)
        classes = self._checked_labels(seeds, labels)
        return self._in_passes(lambda part: self.latents(seeds[part]), len(seeds), classes)

    def sample_latents(self, z: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images of latents (N, latent_dim) float32: bit for bit those of `sample` where the latents are its own.

        z may be (N, depth, latent_dim), a latent of its own for every place that one enters the network at.
        """
        return self._in_passes(lambda part: z[part], len(z), self._checked_labels(z, labels))

    def latents(self, seeds: np.ndarray) -> np.ndarray:
        """The latents (N, latent_dim) float32 that `sample` draws seeds (N,) from."""
        return latents(np.asarray(seeds, dtype=np.int64), self.spec.latent_dim, self.truncation)

    @property
    def network(self) -> nn.Module:
        """The network itself, frozen: z and labels to images about -1..1."""
        return self._network

    @property
    def depth(self) -> int:
        """Places of the network that a latent enters at; 1 where they cannot be told apart."""
        return int(getattr(self._network, "depth", 1))

    def render(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (N, latent_dim), labels (N,) to images (N, C, H, W) float32, 0..255 before rounding; differentiable."""
        images: Tensor = self._network(z, labels)
        if self.spec.draws:
            images = F.interpolate(
                images.float(), size=(self.size, self.size), mode="bilinear", antialias=True, align_corners=False
            )
        return images.float().mul(127.5).add(128.0)

    def _in_passes(
        self, latents_of: Callable[[slice], np.ndarray], count: int, labels: np.ndarray | None
    ) -> np.ndarray:
        """`count` images in passes of one size, on a CPU each on one thread and several side by side."""
        out = np.empty((count, self.channels, self.size, self.size), dtype=np.uint8)

        def begin(start: int) -> Callable[[], None]:
            part = slice(start, min(start + self._batch, count))
            arrived = self._draw(latents_of(part), None if labels is None else labels[part])

            def take() -> None:
                out[part] = arrived().numpy()

            return take

        def fill(start: int) -> None:
            begin(start)()

        starts = range(0, count, self._batch)
        if self.device.type != "cpu":
            take: Callable[[], None] = lambda: None  # noqa: E731
            for start in starts:
                last, take = take, begin(start)  # the device is at the next pass while the last one's pixels are taken
                last()
            take()
            return out
        threads = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(
                min(threads, len(starts)) or 1, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                list(pool.map(fill, starts))
        finally:
            torch.set_num_threads(threads)  # the workers' call also changed what threads started later begin with
        return out

    @torch.inference_mode()
    def _draw(self, latent: np.ndarray, labels: np.ndarray | None) -> Callable[[], Tensor]:
        """Begin a pass; the returned function waits for its pixels (n, C, H, W) uint8 on the CPU."""
        padding = self._batch - len(latent)
        z = to_device(torch.from_numpy(np.pad(latent, ((0, padding), *((0, 0),) * (latent.ndim - 1)))), self.device)
        y = None if labels is None else to_device(torch.from_numpy(np.pad(labels, (0, padding))), self.device)
        # Of threads that replay, one's pixels are on their way before the next's pass.
        with self._replayed.lock if self.plain_passes >= 0 else nullcontext(), exact(self.device):
            return to_host(self._pixels(z, y)[: len(latent)])

    def _pixels(self, z: Tensor, y: Tensor | None) -> Tensor:
        """A pass to the end, recorded where many have gone before it: the network's launches take the host's time."""

        def plain(z: Tensor, y: Tensor | None = None) -> Tensor:
            return self.render(z, y).clamp_(0, 255).to(torch.uint8)

        def packed(both: Tensor) -> Tensor:
            return plain(both[:, :-1].contiguous(), both[:, -1].long())

        if self.plain_passes or z.ndim != 2:
            self.plain_passes -= 1 if self.plain_passes > 0 else 0
            return plain(z, y)
        try:
            if y is None:
                return self._replayed(self._network, plain, z)
            return self._replayed(self._network, packed, torch.cat([z, y[:, None].to(z.dtype)], 1))
        except RuntimeError as error:  # a GPU that answers nothing more fails again below
            log.warning("the drawing cannot be recorded (%s): it runs plainly", str(error).partition("\n")[0])
        self.plain_passes = -1
        return plain(z, y)

    def _checked_labels(self, seeds: np.ndarray, labels: np.ndarray | None) -> np.ndarray | None:
        """Labels that fit the seeds (or latents); None for an unconditional network."""
        if self.class_names is None:
            return None
        if labels is None or len(labels) != len(seeds):
            given = "none" if labels is None else str(len(labels))
            raise GanferError(f"{len(seeds)} seeds but {given} labels.", "A conditional generator needs one per seed.")
        labels = np.asarray(labels, dtype=np.int64)
        if len(labels) and (labels.min() < 0 or labels.max() >= len(self.class_names)):
            limits = f"0..{len(self.class_names) - 1} ({', '.join(self.class_names)})"
            raise GanferError(f"Label {labels.min() if labels.min() < 0 else labels.max()}.", f"Labels are {limits}.")
        return labels


def weights_digest(weights: Mapping[str, Tensor], spec: NetworkSpec, class_names: tuple[str, ...] | None) -> str:
    """SHA-256 over what an image depends on: the weights, the network's shape and the classes' order."""
    digest = hashlib.sha256(json.dumps([spec.to_dict(), class_names], sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_generator(
    folder: Path, weights: Mapping[str, Tensor], spec: NetworkSpec, class_names: tuple[str, ...] | None,
    facts: Mapping[str, Any],
) -> str:  # fmt: skip
    """Write `generator.safetensors` (the card inside) and `card.json` for people; returns the weights' digest."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    digest = weights_digest(plain, spec, class_names)
    card = {"format": FORMAT, "digest": digest, "spec": spec.to_dict(), "class_names": class_names, **facts}
    write_bytes(folder / FILE, save(plain, metadata={"format": FORMAT, "card": json.dumps(card)}))
    write_json(folder / "card.json", card)
    return digest


def open_gan(path: str | Path, device: str = "auto", *, truncation: float = 0.0) -> GanGenerator:
    """The generator in a run's folder or a `generator.safetensors`. GanferError if missing, foreign or damaged."""
    file = Path(path)
    file = file / FILE if file.is_dir() else file
    try:
        with safe_open(str(file), framework="pt") as stored:
            metadata = stored.metadata() or {}
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise GanferError(f"{file}: no such generator.", "Train one: ganfer train gan.") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise GanferError(
            f"{file} is damaged or not a safetensors file ({error}).", "Train or copy it again."
        ) from error
    if metadata.get("format") != FORMAT:
        raise GanferError(
            f"{file} is not a generator of ganfer's.", f"Its format is {metadata.get('format')!r}, not {FORMAT!r}."
        )
    try:
        return _from_card(file, weights, json.loads(metadata["card"]), resolve_device(device), truncation)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, RuntimeError) as error:
        if is_of_the_gpu(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise GanferError(
            f"{file}: its card and its weights do not fit together ({reason}).", "Train or copy it again."
        ) from error


def _from_card(
    file: Path, weights: dict[str, Tensor], card: dict[str, Any], device: torch.device, truncation: float
) -> GanGenerator:
    spec = NetworkSpec(**card["spec"])
    if spec.network not in GENERATORS:
        raise GanferError(f"{file} holds a {spec.network!r}, which this ganfer does not know.", "Update ganfer.")
    names = tuple(card["class_names"]) if card["class_names"] is not None else None
    if weights_digest(weights, spec, names) != card["digest"]:
        raise GanferError(f"{file} is damaged: its weights do not match their digest.", "Train or copy it again.")
    with torch.random.fork_rng(
        devices=[]
    ):  # the fresh weights about to be replaced must not disturb the caller's stream
        network = build_generator(spec)
    network.load_state_dict(weights)
    found = GanGenerator(network, spec, names, digest=card["digest"], device=device, truncation=truncation, card=card)
    found.plain_passes = _PLAIN_PASSES if wanted(device) else -1  # ganfer's own networks: nothing in them is by chance
    return found
