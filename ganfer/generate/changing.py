"""Faces changed: inverted, moved to a class by the classifier, judged, and compared with whom they came from."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ganfer.config import Config
from ganfer.data.duplicates import NEAR, similarity
from ganfer.errors import GanferError
from ganfer.gan.encoder import Encoder
from ganfer.gan.generator import Generator
from ganfer.gan.sampling import GanGenerator
from ganfer.generate.project import settings_of
from ganfer.generate.spaces import GanSpace, latent_space
from ganfer.metrics.copies import picture
from ganfer.metrics.identity import IdentityDistance
from ganfer.metrics.perceptual import Perceptual
from ganfer.runtime.seeding import parse_ranges, stream
from stylegan_bridge import Projector, SteerConfig
from stylegan_bridge.steering import Anchor, Judge, LatentSpace, Prior, Score, ascend, margin

KEPT, ALREADY, SCORE, JUDGE, IDENTITY, COPY = "kept", "already", "score", "judge", "identity", "copy"
WORDS = {
    ALREADY: "real face already looks so to the judge",
    SCORE: "expression not reached",
    JUDGE: "the judge sees another expression",
    IDENTITY: "another person",
    COPY: "nothing changed",
}
_STYLE = 0.35  # standard deviations that every further style of a face shifts its latent by
_GOALS = (1.0, 2.0)  # of the steering's own goal, for those that the judge refused at the first
_PRIOR_SEEDS = 2048
PASSES = len(_GOALS) * SteerConfig().ascent_steps  # at most, per face


@dataclass(frozen=True)
class Changed:
    """What became of N faces. fate: (N,) of `KEPT` and the reasons against; identity: (N,) distances to the sources by
    the witness; led: (N,) by the network that led the search."""

    images: np.ndarray
    codes: np.ndarray
    fate: np.ndarray
    identity: np.ndarray
    led: np.ndarray


@dataclass
class Changer:
    """Changes faces to a class with everything that it takes.

    labels: of the generator, by the data's class (None: it knows no classes). encoder: of ganfer's own GANs; others are
    inverted by search. alike: leads the search. witness: has no part in it, and measures what came of it; bound: the
    largest distance by it.
    """

    generator: Generator
    labels: np.ndarray | None
    encoder: Encoder | None
    score: Score
    judge: Judge
    alike: IdentityDistance
    witness: IdentityDistance
    near: Perceptual
    config: Config
    bound: float

    def __post_init__(self) -> None:
        self._spaces: dict[int, LatentSpace] = {}
        self._priors: dict[int, Prior] = {}
        self._projectors: dict[int, Projector] = {}

    def change(
        self, faces: np.ndarray, own: np.ndarray, target: int, numbers: np.ndarray, styles: np.ndarray
    ) -> Changed:
        """faces (N, C, H, W) uint8 of the data's classes own (N,), each tried in a style (N,), numbered (N,)."""
        device = next(self.alike.network.parameters()).device
        settings = SteerConfig()
        space, prior = self._space(target), self._prior(target)
        codes = self._restyled(prior, self._invert(faces, own), numbers, styles)
        real = torch.from_numpy(faces).to(device).float()
        fate = np.full(len(faces), SCORE, dtype="<U8")
        fate[self._believed(faces, target)] = ALREADY
        out = np.zeros_like(faces)
        distances, led = np.full((2, len(faces)), np.nan)
        best = codes.clone()
        layers = self._layers(codes.shape[1])
        weight = self.config.transfer.keep / max(settings.anchor_weight, 1e-6)
        anchor: Anchor = lambda images, begun: weight * self.alike.between(images, begun)  # noqa: E731
        for goal in _GOALS:
            rows = np.flatnonzero((fate == SCORE) | (fate == JUDGE))
            if not len(rows):
                break
            place = torch.from_numpy(rows).to(codes.device)
            found = ascend(
                prior, self.score, codes[place], target, layers,
                goal=torch.full((len(rows),), goal * settings.goal, device=codes.device), steps=settings.ascent_steps,
                rate=settings.ascent_rate, limit=self.config.steering.reach * prior.reach,
                prior_weight=settings.prior_weight, anchor_weight=settings.anchor_weight, anchor=anchor,
                anchored=real[place],
            )  # fmt: skip
            if found is None:
                raise GanferError(f"{self.generator.name} gives no gradient to move faces by.", "Use --steer instead.")
            best[place] = found.codes
            with torch.no_grad():
                images = space.final(found.codes)
                reached = margin(self.score(images.to(codes.device).float()), target).cpu().numpy() >= 0
                drawn = images.to(device).float()
                led[rows] = self.alike.between(drawn, real[place]).cpu().numpy()
                distances[rows] = self.witness.between(drawn, real[place]).cpu().numpy()
            out[rows] = images.numpy()
            believed = self._believed(images.numpy(), target)
            fate[rows] = np.where(~reached, SCORE, np.where(~believed, JUDGE, KEPT))
        for row in np.flatnonzero(fate == KEPT):
            if distances[row] > self.bound:
                fate[row] = IDENTITY
            elif similarity(picture(out[row]), picture(faces[row])) >= NEAR:
                fate[row] = COPY
        return Changed(out, best.detach().cpu().numpy(), fate, distances, led)

    def _believed(self, images: np.ndarray, target: int) -> np.ndarray:
        """(N,) bool: whether the judge sees the class, surely enough."""
        chances = self.judge(torch.from_numpy(images)).float().softmax(dim=1).cpu().numpy()
        believed: np.ndarray = (chances.argmax(axis=1) == target) & (
            chances[:, target] >= self.config.transfer.confidence
        )
        return believed

    def _invert(self, faces: np.ndarray, own: np.ndarray) -> Tensor:
        """Codes (N, L, D), of each face in its own class's latents."""
        parts: dict[int, Tensor] = {}
        for label in np.unique(own):
            rows = np.flatnonzero(own == label)
            starts = None
            if self.encoder is not None:
                labels = None if self.labels is None else np.full(len(rows), self.labels[label])
                found = torch.from_numpy(self.encoder.encode(faces[rows], labels))
                like = self._space(int(label)).codes([0])
                # the encoder's one latent, at every place it enters the network
                starts = found.repeat(1, like.shape[1], 1).to(like.device)
            if starts is None or self.config.transfer.refine:
                projector = self._projector(int(label))
                size = self.config.projection.batch if starts is None else len(rows)
                pieces = [
                    projector.project(
                        torch.from_numpy(faces[rows[i : i + size]]), None if starts is None else starts[i : i + size]
                    ).codes
                    for i in range(0, len(rows), size)
                ]
                starts = torch.cat(pieces)
            parts |= {int(row): code for row, code in zip(rows, starts, strict=True)}
        return torch.stack([parts[row] for row in range(len(faces))]).detach()

    def _projector(self, label: int) -> Projector:
        """The search in a class's latents; shorter where an encoder has gone before."""
        key = self._key(label)
        if key not in self._projectors:
            settings = settings_of(self.config)
            if self.encoder is not None:
                settings = replace(settings, steps=self.config.transfer.refine, rate=settings.rate / 2, starts=2)
            between = self.near.between
            weight = 0.1
            both: Callable[[Tensor, Tensor], Tensor] = lambda a, b: between(a, b) + weight * self.alike.between(a, b)  # noqa: E731
            self._projectors[key] = Projector(self._space(label), both, settings, self.config.seed)
        return self._projectors[key]

    def _restyled(self, prior: Prior, codes: Tensor, numbers: np.ndarray, styles: np.ndarray) -> Tensor:
        """The codes with what makes every further style of a face another one; the first is the face's own."""
        points = prior.whitened(codes)
        for row in np.flatnonzero(styles > 0):
            rng = stream(self.config.seed, "style", int(numbers[row]))
            shift = rng.standard_normal((1, points.shape[2])).astype(np.float32)
            points[row] += _STYLE * torch.from_numpy(shift).to(points.device)
        return torch.where(torch.from_numpy(styles > 0).to(codes.device)[:, None, None], prior.codes(points), codes)

    def _key(self, label: int) -> int:
        return -1 if self.labels is None else int(self.labels[label])

    def _space(self, label: int) -> LatentSpace:
        key = self._key(label)
        if key not in self._spaces:
            known = None if key < 0 else key
            if isinstance(self.generator, GanGenerator):
                depth = self.generator.depth if self.config.projection.layered else 1
                self._spaces[key] = GanSpace(self.generator, known, depth)
            else:
                self._spaces[key] = latent_space(self.generator, known)
        return self._spaces[key]

    def _prior(self, label: int) -> Prior:
        key = self._key(label)
        if key not in self._priors:
            space = self._space(label)
            self._priors[key] = Prior(space, space.codes(range(_PRIOR_SEEDS)))
        return self._priors[key]

    def _layers(self, count: int) -> list[int]:
        text = self.config.transfer.layers
        return parse_ranges(text, count - 1, "transfer.layers") if text else list(range(count))
