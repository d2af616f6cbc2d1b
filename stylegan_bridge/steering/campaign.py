"""Fill every class's quota from a generator that rarely draws some: score, move, let an independent judge decide.

Each start goes through a cascade and leaves it as soon as the score is satisfied: as it is, moved along the class's
fitted direction, then up the gradient, or by evolution where there is no gradient or the judge refuses its finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.generator import MAX_SEED, Generator
from stylegan_bridge.steering.filling import ClassState
from stylegan_bridge.steering.moves import Anchor, Found, Score, along, ascend, evolve, fit_direction, margin
from stylegan_bridge.steering.result import ClassReport, SteerConfig, SteerResult
from stylegan_bridge.steering.spaces import LatentSpace, Prior, StyleSpace
from stylegan_bridge.steering.state import Saver, Snapshot
from stylegan_bridge.transfer import to_device

#: Images (N, C, H, W) uint8 -> logits (N, K).
Judge = Callable[[Tensor], Tensor]
#: Images (N, C, H, W) uint8 -> features (N, F), whose distances measure diversity.
Features = Callable[[Tensor], Tensor]
#: Codes drawn without images, to know how the generator's own lie.
PRIOR_CODES = 2048


def thumbnails(images: Tensor) -> Tensor:
    """The default features: 16 x 16 averages of each channel, (N, C * 256)."""
    return F.adaptive_avg_pool2d(images.float(), 16).flatten(1)


class _Campaign:
    """One call of `steer`. Codes are on the generator's device; margins, and what follows from them, on the CPU."""

    def __init__(
        self,
        space: LatentSpace,
        score: Score,
        judge: Judge,
        config: SteerConfig,
        features: Features,
        anchor: Anchor | None,
        seed: int,
    ) -> None:
        self.space, self.score, self.judge, self.config = space, score, judge, config
        self.features, self.anchor, self.seed, self.next_seed = features, anchor, seed, seed
        self.random = torch.Generator().manual_seed(seed)
        self.evaluations = 0
        self.pool_parts: dict[str, list[Tensor]] = {"logits": [], "answers": [], "features": []}
        self.classes: list[ClassState] = []

    @torch.no_grad()
    def draw_pool(self, after_batch: Callable[[], None]) -> None:
        """Score and judge plain images, going on from what is there."""
        size = self.config.pool_size
        self.pool_seeds = self._seeds_from(self.seed, size)
        self.pool_codes = self.space.codes(self.pool_seeds)
        while (have := sum(map(len, self.pool_parts["logits"]))) < size:
            codes = self.pool_codes[have : have + self.config.batch_size]
            images = self.space.final(codes)
            logits = self.score(to_device(images, codes.device).float()).cpu()
            if logits.ndim != 2 or not bool(torch.isfinite(logits).all()):
                raise BridgeError(f"the score gave {tuple(logits.shape)}, not finite logits (N, K)")
            self.pool_parts["logits"].append(logits)
            self.pool_parts["answers"].append(self.judge(images).argmax(dim=1).cpu())
            self.pool_parts["features"].append(self.features(images).float().cpu())
            self.evaluations += len(codes)
            self.next_seed += len(codes)
            after_batch()
        self.pool_logits = torch.cat(self.pool_parts["logits"])
        self.plain_counts = dict(Counter(torch.cat(self.pool_parts["answers"]).tolist()))
        points = torch.cat(self.pool_parts["features"])
        self.plain_distance = float(torch.pdist(points).mean()) if len(points) > 1 else 0.0
        more = self._seeds_from(self.seed + size, PRIOR_CODES)
        self.prior = Prior(self.space, torch.cat([self.pool_codes, self.space.codes(more)]))
        self.limit = self.config.max_distance * self.prior.reach
        num_layers = self.pool_codes.shape[1]
        self.layers = list(range(num_layers)) if self.config.layers is None else list(self.config.layers)
        if bad := [layer for layer in self.layers if not 0 <= layer < num_layers]:
            raise BridgeError(f"layer {bad[0]} is outside 0..{num_layers - 1}")

    @staticmethod
    def _seeds_from(first: int, count: int) -> list[int]:
        return [(first + i) % (MAX_SEED + 1) for i in range(count)]

    def _new_seeds(self, count: int) -> list[int]:
        seeds = self._seeds_from(self.next_seed, count)
        self.next_seed += count
        return seeds

    def fill(self, state: ClassState, after_batch: Callable[[], None]) -> None:
        """One class, within its share of the evaluations, going on from where it is."""
        config, target = self.config, state.target
        margins = margin(self.pool_logits, target)
        state.direction = fit_direction(self.prior, self.pool_codes, margins) if state.wanted else None
        order = margins.argsort(descending=True, stable=True).tolist()
        while state.missing > 0:
            if state.evaluations >= state.budget:
                state.stopped = f"its {state.budget} generator evaluations are used up ({state.main_reason()})"
                break
            if state.idle >= config.patience:
                state.stopped = f"none of the last {state.tries} tries was accepted ({state.main_reason()})"
                break
            before, spent = len(state.seeds), self.evaluations
            size = min(config.batch_size, 2 * state.missing + 2)  # the last few need no full batch
            rows = order[state.pool_used : state.pool_used + size]
            if rows:
                state.pool_used += len(rows)
                seeds = [self.pool_seeds[row] for row in rows]
                codes, have = self.pool_codes[to_device(torch.tensor(rows), self.pool_codes.device)], margins[rows]
            else:
                seeds = self._new_seeds(size)
                codes = self.space.codes(seeds)
                have = self._margins(codes, target)
            self._cascade(state, seeds, codes, have)
            fruitful = len(state.seeds) > before
            state.idle, state.tries = (0, 0) if fruitful else (state.idle + 1, state.tries + len(seeds))
            state.evaluations += self.evaluations - spent
            after_batch()

    @torch.no_grad()
    def _margins(self, codes: Tensor, target: int) -> Tensor:
        """(N,) on the CPU."""
        self.evaluations += len(codes)
        return margin(self.score(self.space.images(codes)), target).cpu()

    def _cascade(self, state: ClassState, seeds: list[int], codes: Tensor, have: Tensor) -> None:
        """Bring each start as far as it needs to go, and offer it."""
        config, target = self.config, state.target
        start_codes, codes, have = codes, codes.clone(), have.clone()
        goals = have.new_full((len(codes),), state.goal)
        floors = torch.full_like(goals, config.goal)  # what the judge is shown at the end, though the goal was higher
        done = torch.zeros(len(codes), dtype=torch.bool)
        done |= self._offer(state, "plain", seeds, codes, have, goals, floors, ~done)
        rows = torch.nonzero(~done).flatten()
        if not len(rows) or state.missing <= 0 or state.direction is None:
            return
        there = to_device(rows, codes.device)
        moved = along(
            self.prior, codes[there], have[rows], state.direction, self.layers, goal=goals[rows], limit=self.limit
        )
        gained = self._margins(moved, target)
        better = gained > have[rows]
        codes[there] = torch.where(to_device(better, codes.device)[:, None, None], moved, codes[there])
        have[rows] = torch.where(better, gained, have[rows])
        done |= self._offer(state, "direction", seeds, codes, have, goals, floors, ~done)
        rows = torch.nonzero(~done).flatten()
        if not len(rows) or state.missing <= 0:
            return
        there = to_device(rows, codes.device)
        method, found = "ascent", self._ascend(state, codes[there], goals[rows])
        if found is None:
            # Up to here a gradient may have misled; evolution starts from where the codes were plain.
            method, origin = "evolution", start_codes if state.is_misled else codes
            found = evolve(
                self.prior,
                self.score,
                origin[there],
                self._margins(origin[there], target) if state.is_misled else have[rows],
                target,
                self.layers,
                self.random,
                goal=goals[rows],
                generations=config.generations,
                step=config.mutation,
                limit=self.limit,
            )
        self.evaluations += found.evaluations
        codes[there], have[rows] = found.codes, found.margins
        missed = ~done & (have < goals)
        if int(missed.sum()) > len(rows) // 2:
            state.goal = max(config.goal, 0.8 * state.goal)  # it had risen beyond what the generator reaches
        state.refused["score"] += int((~done & (have < floors)).sum())
        self._offer(state, method, seeds, codes, have, torch.minimum(goals, floors), floors, ~done)

    def _ascend(self, state: ClassState, codes: Tensor, goals: Tensor) -> Found | None:
        """None where gradients are absent, or where the judge has refused most of what they found."""
        if not state.has_gradient or state.is_misled:
            return None
        config = self.config
        found = ascend(
            self.prior,
            self.score,
            codes,
            state.target,
            self.layers,
            goal=goals,
            steps=config.ascent_steps,
            rate=config.ascent_rate,
            limit=self.limit,
            prior_weight=config.prior_weight,
            anchor_weight=config.anchor_weight,
            anchor=self.anchor,
        )
        if found is None:
            self.evaluations += len(codes)  # the images of the one step that showed it
            state.has_gradient = False
        return found

    @torch.no_grad()
    def _offer(
        self,
        state: ClassState,
        method: str,
        seeds: list[int],
        codes: Tensor,
        have: Tensor,
        goals: Tensor,
        floors: Tensor,
        open_mask: Tensor,
    ) -> Tensor:
        """Show the judge what satisfies the score near the prior; returns which rows are finished, kept or not.

        A row that the judge refuses stays open, and its goal rises: it is to go deeper into the class. `floors` rise
        with it, but less: the margin from which it is worth showing again.
        """
        ready = open_mask & (have >= goals)
        if not bool(ready.any()):
            return ready
        near = self.prior.distance(self.prior.whitened(codes)).cpu() <= self.limit * 1.01
        state.refused["prior"] += int((ready & ~near).sum())
        finished = ready & ~near
        rows = torch.nonzero(ready & near).flatten().tolist()[: max(state.missing, 0)]
        if not rows:
            return finished
        shown = codes[to_device(torch.tensor(rows), codes.device)]
        images = self.space.final(shown)
        own = shown.cpu()
        self.evaluations += len(rows)
        probabilities = self.judge(images).float().softmax(dim=1).cpu()
        agreed = probabilities.argmax(dim=1) == state.target
        agreed &= probabilities[:, state.target] >= self.config.min_confidence
        if method == "ascent":
            state.ascents.extend(agreed.tolist())
        if method != "plain" and float(agreed.float().mean()) < 0.5:
            state.goal = min(state.goal * 1.25 + 0.1, self.config.max_goal)
        features = self.features(images).float().cpu()
        for position, row in enumerate(rows):
            finished[row] = bool(agreed[position])
            if not agreed[position]:
                state.refused["judge"] += 1
                goals[row] = min(float(have[row]) + 0.5 * self.config.goal, self.config.max_goal)
                floors[row] = float(have[row]) + 0.25 * self.config.goal
                finished[row] = bool(have[row] >= goals[row])
            elif not self._is_diverse(state, features[position]):
                state.refused["diversity"] += 1
            else:
                state.codes.append(own[position])
                state.images.append(images[position].cpu())
                state.features.append(features[position])
                state.seeds.append(seeds[row])
                state.methods.append(method)
        return finished

    def _is_diverse(self, state: ClassState, candidate: Tensor) -> bool:
        """Mean distance to the kept ones at least the floor: so the mean over all pairs never falls below it."""
        if not state.features:
            return True
        distance = float((torch.stack(state.features) - candidate).norm(dim=1).mean())
        return distance >= self.config.diversity_floor * self.plain_distance


def steer(
    generator: Generator | LatentSpace,
    score: Score,
    judge: Judge,
    quotas: Mapping[int, int],
    *,
    config: SteerConfig | None = None,
    features: Features = thumbnails,
    anchor: Anchor | None = None,
    seed: int = 0,
    progress: Callable[[int, int, int], None] | None = None,
    checkpoint: Path | None = None,
) -> SteerResult:
    """Faces of every class in `quotas` (class index to number), kept only where `judge` agrees.

    `score` takes images (N, C, H, W) float32 of 0..255 and gives calibrated logits (N, K), differentiable if gradients
    are to be used; `judge` takes uint8 and should be another architecture, seed and training half, else adversarial
    latents pass. `features` measure diversity. Stops short with the reason in the reports where a quota cannot be met
    (`SteerResult.check` makes that an error). `progress(target, kept, evaluations)`, target -1 while the pool is drawn.
    The same seed, the same faces. With `checkpoint`, a file, an interrupted campaign goes on from there, to the same
    faces; it belongs to this generator, score, judge, quotas, config and seed.

    Example: `steer(generator, score, judge, {0: 50, 2: 50}).as_dict()`.
    """
    config = config or SteerConfig()
    if any(count < 0 or target < 0 for target, count in quotas.items()) or not sum(quotas.values()):
        raise BridgeError(f"quotas must give class indices counts of 0 or more, one above 0; not {dict(quotas)}")
    if not 0 <= seed <= MAX_SEED:
        raise BridgeError(f"seed {seed} is outside 0..{MAX_SEED}")
    total = sum(quotas.values())
    budget = int(config.max_evaluations_per_face * total)
    if budget <= config.pool_size:
        raise BridgeError(
            f"{config.max_evaluations_per_face:g} evaluations for each of {total} faces are used up by the pool of"
            f" {config.pool_size}; ask for more faces or a smaller pool_size"
        )
    space: LatentSpace = StyleSpace(generator) if isinstance(generator, Generator) else generator
    campaign = _Campaign(space, score, judge, config, features, anchor, seed)
    saver = Saver(checkpoint, {"config": asdict(config), "quotas": sorted(quotas.items()), "seed": seed})
    if (saved := saver.load()) is not None:
        _restore(campaign, saved)

    def after_batch() -> None:
        if progress is not None:
            state = campaign.classes[-1] if campaign.classes else None
            target, kept = (state.target, len(state.seeds)) if state else (-1, 0)
            progress(target, kept, campaign.evaluations)
        saver.save(lambda: _snapshot(campaign))

    campaign.draw_pool(after_batch)
    num_classes = campaign.pool_logits.shape[1]
    if bad := [target for target in quotas if target >= num_classes]:
        raise BridgeError(f"class {bad[0]} is outside the score's 0..{num_classes - 1}")
    remaining = total
    order = sorted(quotas.items(), key=lambda item: -campaign.plain_counts.get(item[0], 0))
    for place, (target, wanted) in enumerate(order):
        if place >= len(campaign.classes):
            share = (budget - campaign.evaluations) * wanted // remaining if wanted else 0
            campaign.classes.append(ClassState(target, wanted, share, config.goal))
        if not campaign.classes[place].is_finished:
            campaign.fill(campaign.classes[place], after_batch)
        remaining -= wanted
    return _collect(campaign, sorted(campaign.classes, key=lambda state: state.target))


_SCALARS = (
    "target",
    "wanted",
    "budget",
    "goal",
    "has_gradient",
    "evaluations",
    "idle",
    "tries",
    "pool_used",
    "stopped",
)
_LISTS = ("seeds", "methods", "ascents")
_TENSORS = ("codes", "images", "features")


def _snapshot(campaign: _Campaign) -> Snapshot:
    """All that a campaign has come to between two batches."""
    classes = [
        {name: getattr(state, name) for name in (*_SCALARS, *_LISTS)} | {"refused": dict(state.refused)}
        for state in campaign.classes
    ]
    facts = {"evaluations": campaign.evaluations, "next_seed": campaign.next_seed, "classes": classes}
    tensors = {f"pool.{name}": torch.cat(parts) for name, parts in campaign.pool_parts.items() if parts}
    for place, state in enumerate(campaign.classes):
        if state.seeds:
            tensors |= {f"{place}.{name}": torch.stack(getattr(state, name)) for name in _TENSORS}
    return Snapshot(facts, tensors | {"random": campaign.random.get_state()})


def _restore(campaign: _Campaign, saved: Snapshot) -> None:
    """The way back; pool, prior and directions follow from what is there."""
    campaign.evaluations, campaign.next_seed = saved.facts["evaluations"], saved.facts["next_seed"]
    campaign.random.set_state(saved.tensors["random"])
    for name in campaign.pool_parts:
        if f"pool.{name}" in saved.tensors:
            campaign.pool_parts[name] = [saved.tensors[f"pool.{name}"]]
    for place, facts in enumerate(saved.facts["classes"]):
        state = ClassState(**{name: facts[name] for name in (*_SCALARS, *_LISTS)}, refused=Counter(facts["refused"]))
        for name in _TENSORS:
            setattr(state, name, list(saved.tensors.get(f"{place}.{name}", ())))
        campaign.classes.append(state)


def _collect(campaign: _Campaign, filled: list[ClassState]) -> SteerResult:
    reports = []
    for state in filled:
        spread = float("nan")
        if len(state.features) > 1 and campaign.plain_distance > 0:
            spread = float(torch.pdist(torch.stack(state.features)).mean()) / campaign.plain_distance
        reports.append(
            ClassReport(
                state.target,
                state.wanted,
                len(state.seeds),
                dict(Counter(state.methods)),
                dict(+state.refused),
                state.evaluations,
                spread,
                state.stopped,
            )
        )
    images = [image for state in filled for image in state.images]
    codes = [code for state in filled for code in state.codes]
    empty = campaign.space.final(campaign.pool_codes[:1])[:0]
    return SteerResult(
        images=torch.stack(images) if images else empty,
        labels=torch.tensor([s.target for s in filled for _ in s.seeds], dtype=torch.int64),
        codes=torch.stack(codes) if codes else campaign.pool_codes[:0].cpu(),
        seeds=tuple(seed for state in filled for seed in state.seeds),
        methods=tuple(method for state in filled for method in state.methods),
        reports=tuple(reports),
        plain_counts=campaign.plain_counts,
        evaluations=campaign.evaluations,
    )
