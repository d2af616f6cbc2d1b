"""Three ways to move a code towards a class: along a fitted direction, up the gradient, and by evolution.

All work on codes (N, L, D) and stay near the generator's own by the prior. The objective is the margin: the target's
logit less the largest other one, above 0 where the score's answer is the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_bridge.steering.spaces import LatentSpace, Prior

#: Images (N, C, H, W) float32 0..255 -> logits (N, K).
Score = Callable[[Tensor], Tensor]
#: Images and the start's images -> distance (N,), differentiable: how much of the person is lost (LPIPS, say).
Anchor = Callable[[Tensor, Tensor], Tensor]


def margin(logits: Tensor, target: int) -> Tensor:
    """(N, K) -> (N,)."""
    others = logits.clone()
    others[:, target] = -torch.inf
    return logits[:, target] - others.amax(dim=1)


@dataclass(frozen=True)
class Direction:
    """A unit step in units of the codes' spread, and how much margin one step is expected to gain."""

    vector: Tensor  # (D,)
    gain: float


@torch.no_grad()
def fit_direction(codes: Tensor, margins: Tensor, prior: Prior, *, ridge: float = 1.0) -> Direction:
    """The direction in which the margin grows, by ridge regression on scored codes.

    The normal of a linear boundary, as InterFaceGAN's (Shen et al. 2020), but fitted to the margin itself rather than
    to two labels: it needs no example on the far side, which a rare class may not have.
    """
    x = ((codes.mean(dim=1) - codes.mean(dim=(0, 1))) / prior.scale).double()
    y = (margins - margins.mean()).double()
    gram = x.t() @ x + ridge * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device) / max(x.shape[1], 1)
    slope = torch.linalg.solve(gram, x.t() @ y)
    norm = slope.norm().clamp_min(1e-12)
    return Direction((slope / norm).float() * prior.scale, float(norm))


@torch.no_grad()
def along(
    codes: Tensor, margins: Tensor, direction: Direction, layers: list[int], *, goal: float, max_steps: float
) -> Tensor:
    """Each code moved in `layers` as far as the fit says that the goal takes, by at most `max_steps`."""
    steps = ((goal - margins) / max(direction.gain, 1e-6)).clamp(0, max_steps)
    moved = codes.clone()
    moved[:, layers] += steps[:, None, None] * direction.vector
    return moved


@dataclass(frozen=True)
class Ascent:
    """Where an ascent ended: the best code of each row with its margin, and how many images were drawn."""

    codes: Tensor
    margins: Tensor
    evaluations: int


def ascend(
    space: LatentSpace,
    score: Score,
    codes: Tensor,
    target: int,
    prior: Prior,
    layers: list[int],
    *,
    goal: float,
    steps: int,
    rate: float,
    prior_weight: float,
    anchor_weight: float,
    anchor: Anchor | None = None,
) -> Ascent | None:
    """Adam on the margin in `layers`, less the prior's excess over a plain code's and the distance from the start.

    Rows that have reached the goal stop and cost nothing more. None if the images or the score give no gradient.
    """
    start = codes.detach()
    shift = torch.zeros_like(start[:, layers]).requires_grad_()
    optimizer = torch.optim.Adam([shift], lr=rate, betas=(0.8, 0.99))
    best, best_margins = start.clone(), start.new_full((len(start),), -torch.inf)
    allowed = prior.distance(space.gaussian(start)).clamp_min(1.0)
    active = torch.arange(len(start), device=start.device)
    first_images: Tensor | None = None
    evaluations = 0
    for _ in range(steps):
        moved = start[active].clone()
        moved[:, layers] = moved[:, layers] + shift[active] * prior.scale
        with torch.enable_grad():
            images = space.images(moved)
            gained = margin(score(images), target)
        evaluations += len(active)
        if not gained.requires_grad:
            return None
        if anchor is not None and first_images is None:
            first_images = images.detach()  # the shift is still 0
        better = gained.detach() > best_margins[active]
        rows = active[better]
        best[rows], best_margins[rows] = moved.detach()[better], gained.detach()[better]
        excess = (prior.distance(space.gaussian(moved)) - allowed[active]).clamp_min(0).mean(dim=1)
        loss = -gained.clamp_max(goal) + prior_weight * excess
        loss = loss + anchor_weight * shift[active].square().mean(dim=(1, 2))
        if anchor is not None and first_images is not None:
            loss = loss + anchor_weight * anchor(images, first_images[active])
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimizer.step()
        active = torch.nonzero(best_margins < goal).flatten()
        if len(active) == 0:
            break
    return Ascent(best, best_margins, evaluations)


@torch.no_grad()
def evolve(
    space: LatentSpace,
    score: Score,
    codes: Tensor,
    margins: Tensor,
    target: int,
    prior: Prior,
    layers: list[int],
    random: torch.Generator,
    *,
    goal: float,
    generations: int,
    step: float,
    max_distance: float,
) -> Ascent:
    """A (1 + 1) evolution strategy per row with the one-fifth rule (Rechenberg 1973), for scores without gradients.

    A child further from the prior than `max_distance` (and than its parent) is not drawn.
    """
    best, best_margins = codes.clone(), margins.clone()
    sizes = codes.new_full((len(codes),), step)
    evaluations = 0
    for _ in range(generations):
        active = torch.nonzero(best_margins < goal).flatten()
        if len(active) == 0:
            break
        noise = torch.randn((len(active), 1, codes.shape[2]), generator=random).to(codes.device)
        children = best[active].clone()
        children[:, layers] += sizes[active, None, None] * noise * prior.scale
        far = prior.distance(space.gaussian(children)).amax(dim=1)
        allowed = prior.distance(space.gaussian(best[active])).amax(dim=1).clamp_min(max_distance)
        near = far <= allowed
        sizes[active[~near]] *= 0.8
        if not bool(near.any()):
            continue
        rows, children = active[near], children[near]
        gained = margin(score(space.images(children)), target)
        evaluations += len(rows)
        better = gained > best_margins[rows]
        best[rows[better]], best_margins[rows[better]] = children[better], gained[better]
        sizes[rows] *= torch.where(better, 1.5, 1.5**-0.25)
    return Ascent(best, best_margins, evaluations)
