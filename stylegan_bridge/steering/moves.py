"""Three ways to move a code towards a class: along a fitted direction, up the gradient, and by evolution.

All work on codes (N, L, D) and stay near the generator's own by the prior. The objective is the margin: the target's
logit less the largest other one, above 0 where the score's answer is the target; `goal` (N,) is the margin to reach.
Margins and goals may be on the CPU, where a search's decisions are taken: a GPU is waited for once a step, no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_bridge.exact import in_double
from stylegan_bridge.steering.spaces import Prior
from stylegan_bridge.transfer import to_device

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
    y = in_double(to_device(margins - margins.mean(), codes.device))
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
    at = to_device(torch.tensor(layers), codes.device)
    start = prior.whitened(codes)[:, at]
    steps = to_device(((goal - margins) / max(direction.gain, 1e-6)).clamp_min(0), codes.device)[:, None]
    # |start + step * vector|^2 = limit * D per layer, solved for the step
    inward = start @ direction.vector
    room = (inward.square() - start.square().sum(dim=2) + limit * start.shape[2]).clamp_min(0).sqrt() - inward
    steps = torch.minimum(steps, room.clamp_min(0).amin(dim=1, keepdim=True))
    moved = codes.clone()
    moved[:, at] = prior.codes(start + steps[:, :, None] * direction.vector)
    return moved


@dataclass(frozen=True)
class Found:
    """Where a search ended: the best code of each row, its margin on the CPU, and how many images were drawn."""

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
    at, goal = to_device(torch.tensor(layers), codes.device), to_device(goal, codes.device)
    start = prior.whitened(codes.detach())[:, at]
    shift = torch.zeros_like(start).requires_grad_()
    optimizer = torch.optim.Adam([shift], lr=rate, betas=(0.8, 0.99))
    best, best_margins = codes.detach().clone(), start.new_full((len(start),), -torch.inf)
    allowed = prior.distance(start).clamp_min(limit)
    active = torch.arange(len(start), device=start.device)
    begun, evaluations = anchored, 0
    piece = getattr(prior.space, "gradient_batch", None) or len(start)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        first: list[Tensor] = []
        for rows in active.split(piece):  # rows are independent: their gradients need not be in memory together
            points = start[rows] + shift[rows]
            moved = codes.detach()[rows].clone()
            moved[:, at] = prior.codes(points)
            with torch.enable_grad():
                images = prior.space.images(moved)
                gained = margin(score(images), target)
            evaluations += len(rows)
            if not gained.requires_grad:
                return None
            inside = prior.distance(points.detach()) <= allowed[rows] * 1.001
            better = inside & (gained.detach() > best_margins[rows])
            best[rows] = torch.where(better[:, None, None], moved.detach(), best[rows])
            best_margins[rows] = torch.where(better, gained.detach(), best_margins[rows])
            excess = (prior.distance(points) - 0.9 * allowed[rows]).clamp_min(0)
            loss = -torch.minimum(gained, goal[rows] + 0.5) + prior_weight * excess * start.shape[2]
            loss = loss + anchor_weight * shift[rows].square().sum(dim=2).mean(dim=1)
            if anchor is not None:
                if begun is None:  # the first step, of all rows: the shift is 0
                    first.append(images.detach().contiguous())
                loss = loss + anchor_weight * anchor(images, first[-1] if begun is None else begun[rows])
            loss.sum().backward()
        if first:
            begun = torch.cat(first)
        optimizer.step()
        active = torch.nonzero(best_margins < goal).flatten()
        if len(active) == 0:
            break
    return Found(best, best_margins.cpu(), evaluations)


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
    at = to_device(torch.tensor(layers), codes.device)
    best, best_margins, goal = codes.clone(), margins.cpu().clone(), goal.cpu()
    points = prior.whitened(codes)[:, at].cpu()
    sizes = points.new_full((len(codes),), step)
    evaluations = 0
    for _ in range(generations):
        active = torch.nonzero(best_margins < goal).flatten()
        if len(active) == 0:
            break
        noise = torch.randn((len(active), 1, codes.shape[2]), generator=random)
        children = points[active] + sizes[active, None, None] * noise
        near = prior.distance(children) <= prior.distance(points[active]).clamp_min(limit)
        sizes[active[~near]] *= 0.8
        if not bool(near.any()):
            continue
        rows, children = active[near], children[near]
        there = to_device(rows, codes.device)
        drawn = best[there]
        drawn[:, at] = prior.codes(to_device(children, codes.device))
        gained = margin(score(prior.space.images(drawn)), target).cpu()
        evaluations += len(rows)
        better = gained > best_margins[rows]
        best[there] = torch.where(to_device(better, codes.device)[:, None, None], drawn, best[there])
        best_margins[rows] = torch.where(better, gained, best_margins[rows])
        points[rows[better]] = children[better]
        sizes[rows] *= torch.where(better, 1.5, 1.5**-0.25)
    return Found(best, best_margins, evaluations)
