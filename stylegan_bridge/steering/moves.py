"""Three ways to move a code towards a class: along a fitted direction, up the gradient, and by evolution.

All work on codes (N, L, D) and stay near the generator's own by the prior. The objective is the margin: the target's
logit less the largest other one, above 0 where the score's answer is the target; `goal` (N,) is the margin to reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_bridge.exact import in_double
from stylegan_bridge.steering.spaces import Prior

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
    """A unit vector in whitened coordinates, and how much margin one step along it is expected to gain."""

    vector: Tensor  # (D,)
    gain: float


@torch.no_grad()
def fit_direction(prior: Prior, codes: Tensor, margins: Tensor) -> Direction:
    """The direction in which the margin grows, by ridge regression on scored codes.

    The normal of a linear boundary, as InterFaceGAN's (Shen et al. 2020), but fitted to the margin itself rather than
    to two labels: it needs no example on the far side, which a rare class may not have.
    """
    x = in_double(prior.whitened(codes).mean(dim=1))
    x = x - x.mean(dim=0)
    y = in_double(margins - margins.mean())
    ridge = x.shape[1] * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    slope = torch.linalg.solve(x.t() @ x + ridge, x.t() @ y)
    norm = slope.norm().clamp_min(1e-12)
    return Direction((slope / norm).float().to(codes.device), float(norm))


@torch.no_grad()
def along(
    prior: Prior, codes: Tensor, margins: Tensor, direction: Direction, layers: list[int], *, goal: Tensor, limit: float
) -> Tensor:
    """Each code moved in `layers` as far as the fit says that the goal takes, but no further out than `limit`.

    A step that would leave the prior's `limit` (see `Prior.distance`) is shortened to end there.
    """
    start = prior.whitened(codes)[:, layers]
    steps = ((goal - margins) / max(direction.gain, 1e-6)).clamp_min(0)[:, None]
    # |start + step * vector|^2 = limit * D per layer, solved for the step
    inward = start @ direction.vector
    room = (inward.square() - start.square().sum(dim=2) + limit * start.shape[2]).clamp_min(0).sqrt() - inward
    steps = torch.minimum(steps, room.clamp_min(0).amin(dim=1, keepdim=True))
    moved = codes.clone()
    moved[:, layers] = prior.codes(start + steps[:, :, None] * direction.vector)
    return moved


@dataclass(frozen=True)
class Found:
    """Where a search ended: the best code of each row with its margin, and how many images were drawn."""

    codes: Tensor
    margins: Tensor
    evaluations: int


def ascend(
    prior: Prior,
    score: Score,
    codes: Tensor,
    target: int,
    layers: list[int],
    *,
    goal: Tensor,
    steps: int,
    rate: float,
    limit: float,
    prior_weight: float,
    anchor_weight: float,
    anchor: Anchor | None = None,
    anchored: Tensor | None = None,
) -> Found | None:
    """Adam on the margin in `layers`, less what lies outside the prior's `limit` and the distance from the start.

    anchored: images (N, C, H, W) that the anchor compares with; the start's own where none are given.
    Rows that have reached the goal inside the limit stop and cost nothing more. None if the images or the score give no
    gradient.
    """
    start = prior.whitened(codes.detach())[:, layers]
    shift = torch.zeros_like(start).requires_grad_()
    optimizer = torch.optim.Adam([shift], lr=rate, betas=(0.8, 0.99))
    best, best_margins = codes.detach().clone(), start.new_full((len(start),), -torch.inf)
    allowed = prior.distance(start).clamp_min(limit)
    active = torch.arange(len(start), device=start.device)
    first_images: dict[int, Tensor] = {}
    evaluations = 0
    piece = getattr(prior.space, "gradient_batch", None) or len(start)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        for rows in active.split(piece):  # rows are independent: their gradients need not be in memory together
            points = start[rows] + shift[rows]
            moved = codes.detach()[rows].clone()
            moved[:, layers] = prior.codes(points)
            with torch.enable_grad():
                images = prior.space.images(moved)
                gained = margin(score(images), target)
            evaluations += len(rows)
            if not gained.requires_grad:
                return None
            if anchor is not None:
                for place, row in enumerate(rows.tolist()):
                    first_images.setdefault(row, images[place].detach())  # at first the shift is 0
            inside = prior.distance(points.detach()) <= allowed[rows] * 1.001
            better = inside & (gained.detach() > best_margins[rows])
            best[rows[better]], best_margins[rows[better]] = moved.detach()[better], gained.detach()[better]
            excess = (prior.distance(points) - 0.9 * allowed[rows]).clamp_min(0)
            loss = -torch.minimum(gained, goal[rows] + 0.5) + prior_weight * excess * start.shape[2]
            loss = loss + anchor_weight * shift[rows].square().sum(dim=2).mean(dim=1)
            if anchor is not None:
                begun = (
                    torch.stack([first_images[row] for row in rows.tolist()]) if anchored is None else anchored[rows]
                )
                loss = loss + anchor_weight * anchor(images, begun)
            loss.sum().backward()
        optimizer.step()
        active = torch.nonzero(best_margins < goal).flatten()
        if len(active) == 0:
            break
    return Found(best, best_margins, evaluations)


@torch.no_grad()
def evolve(
    prior: Prior,
    score: Score,
    codes: Tensor,
    margins: Tensor,
    target: int,
    layers: list[int],
    random: torch.Generator,
    *,
    goal: Tensor,
    generations: int,
    step: float,
    limit: float,
) -> Found:
    """A (1 + 1) evolution strategy per row with the one-fifth rule (Rechenberg 1973), for scores without gradients.

    A child further from the prior than `limit` (and than its parent) is not drawn.
    """
    best, best_margins = codes.clone(), margins.clone()
    points = prior.whitened(codes)[:, layers]
    sizes = codes.new_full((len(codes),), step)
    evaluations = 0
    for _ in range(generations):
        active = torch.nonzero(best_margins < goal).flatten()
        if len(active) == 0:
            break
        noise = torch.randn((len(active), 1, codes.shape[2]), generator=random).to(codes.device)
        children = points[active] + sizes[active, None, None] * noise
        near = prior.distance(children) <= prior.distance(points[active]).clamp_min(limit)
        sizes[active[~near]] *= 0.8
        if not bool(near.any()):
            continue
        rows, children = active[near], children[near]
        drawn = best[rows].clone()
        drawn[:, layers] = prior.codes(children)
        gained = margin(score(prior.space.images(drawn)), target)
        evaluations += len(rows)
        better = gained > best_margins[rows]
        winners = rows[better]
        best[winners], best_margins[winners] = drawn[better], gained[better]
        points[winners] = children[better]
        sizes[rows] *= torch.where(better, 1.5, 1.5**-0.25)
    return Found(best, best_margins, evaluations)
