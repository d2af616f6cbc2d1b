"""Fill every class's quota from a generator that rarely draws some: score, move, let an independent judge decide.

Each start goes through a cascade and leaves it as soon as the score is satisfied: as it is, moved along the class's
fitted direction, then up the gradient, or by evolution where there is no gradient or the judge refuses its finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.generator import MAX_SEED, Generator
from stylegan_bridge.steering.moves import Anchor, Direction, Found, Score, along, ascend, evolve, fit_direction, margin
from stylegan_bridge.steering.result import ClassReport, SteerConfig, SteerResult
from stylegan_bridge.steering.spaces import LatentSpace, Prior, StyleSpace

#: Images (N, C, H, W) uint8 -> logits (N, K).
Judge = Callable[[Tensor], Tensor]
#: Images (N, C, H, W) uint8 -> features (N, F), whose distances measure diversity.
Features = Callable[[Tensor], Tensor]
#: Below this share of the judge's yes among what an ascent found, over so many, evolution takes over.
MISLED_SHARE, MISLED_AFTER = 0.25, 16
#: Codes drawn without images, to know how the generator's own lie.
PRIOR_CODES = 2048


def thumbnails(images: Tensor) -> Tensor:
    """The default features: 16 x 16 averages of each channel, (N, C * 256)."""
    return F.adaptive_avg_pool2d(images.float(), 16).flatten(1)


@dataclass
class _Class:
    """A class being filled."""

    target: int
    wanted: int
    direction: Direction | None
    goal: float
    codes: list[Tensor] = field(default_factory=list)
    images: list[Tensor] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    ascents: list[bool] = field(default_factory=list)  # the judge's answers to what ascents found
    has_gradient: bool = True
    evaluations: int = 0
    stopped: str = ""

    @property
    def missing(self) -> int:
        return self.wanted - len(self.seeds)

    @property
    def is_misled(self) -> bool:
        recent = self.ascents[-4 * MISLED_AFTER :]
        return len(recent) >= MISLED_AFTER and sum(recent) < MISLED_SHARE * len(recent)


class _Campaign:
    """One call of `steer`."""

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
        self.features, self.anchor, self.next_seed = features, anchor, seed
        self.random = torch.Generator().manual_seed(seed)
        self.evaluations = 0

    @torch.no_grad()
    def draw_pool(self) -> None:
        """Score and judge plain images."""
        size = self.config.pool_size
        self.pool_seeds = self._new_seeds(size)
        self.pool_codes = self.space.codes(self.pool_seeds)
        logits, answers, features = [], [], []
        for codes in self.pool_codes.split(self.config.batch_size):
            images = self.space.final(codes)
            logits.append(self.score(images.to(codes.device, torch.float32)))
            answers.append(self.judge(images).argmax(dim=1).cpu())
            features.append(self.features(images).float().cpu())
        self.evaluations += size
        self.pool_logits = torch.cat(logits)
        if self.pool_logits.ndim != 2 or not bool(torch.isfinite(self.pool_logits).all()):
            raise BridgeError(f"the score gave {tuple(self.pool_logits.shape)}, not finite logits (N, K)")
        self.plain_counts = dict(Counter(torch.cat(answers).tolist()))
        points = torch.cat(features)
        self.plain_distance = float(torch.pdist(points).mean()) if len(points) > 1 else 0.0
        first = self.next_seed
        more = [(first + i) % (MAX_SEED + 1) for i in range(PRIOR_CODES)]
        self.prior = Prior(self.space, torch.cat([self.pool_codes, self.space.codes(more)]))
        self.limit = self.config.max_distance * self.prior.reach
        num_layers = self.pool_codes.shape[1]
        self.layers = list(range(num_layers)) if self.config.layers is None else list(self.config.layers)
        if bad := [layer for layer in self.layers if not 0 <= layer < num_layers]:
            raise BridgeError(f"layer {bad[0]} is outside 0..{num_layers - 1}")

    def _new_seeds(self, count: int) -> list[int]:
        seeds = [(self.next_seed + i) % (MAX_SEED + 1) for i in range(count)]
        self.next_seed += count
        return seeds

    def fill(self, target: int, wanted: int, budget: int, progress: Callable[[int, int, int], None] | None) -> _Class:
        """One class, within its share of the evaluations."""
        config = self.config
        margins = margin(self.pool_logits, target)
        direction = fit_direction(self.prior, self.pool_codes, margins) if wanted else None
        state = _Class(target, wanted, direction, config.goal)
        started, idle, tries = self.evaluations, 0, 0
        order = margins.argsort(descending=True).tolist()
        while state.missing > 0:
            spent = self.evaluations - started
            if spent >= budget:
                state.stopped = f"its {budget} generator evaluations are used up ({_main_reason(state)})"
                break
            if idle >= config.patience:
                state.stopped = f"none of the last {tries} tries was accepted ({_main_reason(state)})"
                break
            before = len(state.seeds)
            size = min(config.batch_size, 2 * state.missing + 2)  # the last few need no full batch
            rows, order = order[:size], order[size:]
            if rows:
                seeds = [self.pool_seeds[row] for row in rows]
                codes, have = self.pool_codes[rows], margins[rows]
            else:
                seeds = self._new_seeds(size)
                codes = self.space.codes(seeds)
                have = self._margins(codes, target)
            self._cascade(state, seeds, codes, have)
            fruitful = len(state.seeds) > before
            idle, tries = (0, 0) if fruitful else (idle + 1, tries + len(seeds))
            if progress is not None:
                progress(target, len(state.seeds), self.evaluations)
        state.evaluations = self.evaluations - started
        return state

    @torch.no_grad()
    def _margins(self, codes: Tensor, target: int) -> Tensor:
        self.evaluations += len(codes)
        return margin(self.score(self.space.images(codes)), target)

    def _cascade(self, state: _Class, seeds: list[int], codes: Tensor, have: Tensor) -> None:
        """Bring each start as far as it needs to go, and offer it."""
        config, target = self.config, state.target
        start_codes, codes, have = codes, codes.clone(), have.clone()
        goals = have.new_full((len(codes),), state.goal)
        done = torch.zeros(len(codes), dtype=torch.bool, device=codes.device)
        done |= self._offer(state, "plain", seeds, codes, have, goals, ~done)
        rows = torch.nonzero(~done).flatten()
        if not len(rows) or state.missing <= 0 or state.direction is None:
            return
        moved = along(
            self.prior, codes[rows], have[rows], state.direction, self.layers, goal=goals[rows], limit=self.limit
        )
        gained = self._margins(moved, target)
        better = gained > have[rows]
        codes[rows[better]], have[rows[better]] = moved[better], gained[better]
        done |= self._offer(state, "direction", seeds, codes, have, goals, ~done)
        rows = torch.nonzero(~done).flatten()
        if not len(rows) or state.missing <= 0:
            return
        method, found = "ascent", self._ascend(state, codes[rows], goals[rows])
        if found is None:
            # Up to here a gradient may have misled; evolution starts from where the codes were plain.
            method, origin = "evolution", start_codes if state.is_misled else codes
            found = evolve(
                self.prior,
                self.score,
                origin[rows],
                self._margins(origin[rows], target) if state.is_misled else have[rows],
                target,
                self.layers,
                self.random,
                goal=goals[rows],
                generations=config.generations,
                step=config.mutation,
                limit=self.limit,
            )
        self.evaluations += found.evaluations
        codes[rows], have[rows] = found.codes, found.margins
        self._offer(state, method, seeds, codes, have, goals, ~done)
        state.refused["score"] += int((~done & (have < goals)).sum())

    def _ascend(self, state: _Class, codes: Tensor, goals: Tensor) -> Found | None:
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
        state: _Class,
        method: str,
        seeds: list[int],
        codes: Tensor,
        have: Tensor,
        goals: Tensor,
        open_mask: Tensor,
    ) -> Tensor:
        """Show the judge what satisfies the score near the prior; returns which rows are finished, kept or not.

        A row that the judge refuses stays open, and its goal rises: it is to go deeper into the class.
        """
        ready = open_mask & (have >= goals)
        near = self.prior.distance(self.prior.whitened(codes)) <= self.limit * 1.01
        state.refused["prior"] += int((ready & ~near).sum())
        finished = ready & ~near
        rows = torch.nonzero(ready & near).flatten().tolist()[: max(state.missing, 0)]
        if not rows:
            return finished
        images = self.space.final(codes[rows])
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
                finished[row] = bool(have[row] >= goals[row])
            elif not self._is_diverse(state, features[position]):
                state.refused["diversity"] += 1
            else:
                state.codes.append(codes[row].cpu())
                state.images.append(images[position].cpu())
                state.features.append(features[position])
                state.seeds.append(seeds[row])
                state.methods.append(method)
        return finished

    def _is_diverse(self, state: _Class, candidate: Tensor) -> bool:
        """Mean distance to the kept ones at least the floor: so the mean over all pairs never falls below it."""
        if not state.features:
            return True
        distance = float((torch.stack(state.features) - candidate).norm(dim=1).mean())
        return distance >= self.config.diversity_floor * self.plain_distance


def _main_reason(state: _Class) -> str:
    """What most often stood in the way."""
    reasons = {
        "score": "the score could not be satisfied near the generator's own codes",
        "judge": "the independent judge disagreed with the score",
        "prior": "what satisfied the score was too far from the generator's own codes",
        "diversity": "the faces were too alike",
    }
    return reasons[state.refused.most_common(1)[0][0]] if +state.refused else "too few were tried"


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
) -> SteerResult:
    """Faces of every class in `quotas` (class index to number), kept only where `judge` agrees.

    `score` takes images (N, C, H, W) float32 of 0..255 and gives calibrated logits (N, K), differentiable if gradients
    are to be used; `judge` takes uint8 and should be another architecture, seed and training half, else adversarial
    latents pass. `features` measure diversity. Stops short with the reason in the reports where a quota cannot be met
    (`SteerResult.check` makes that an error). `progress(target, kept, evaluations)`. The same seed, the same faces.
    """
    config = config or SteerConfig()
    if any(count < 0 or target < 0 for target, count in quotas.items()) or not sum(quotas.values()):
        raise BridgeError(f"quotas must give class indices counts of 0 or more, one above 0; not {dict(quotas)}")
    if not 0 <= seed <= MAX_SEED:
        raise BridgeError(f"seed {seed} is outside 0..{MAX_SEED}")
    space: LatentSpace = StyleSpace(generator) if isinstance(generator, Generator) else generator
    campaign = _Campaign(space, score, judge, config, features, anchor, seed)
    campaign.draw_pool()
    num_classes = campaign.pool_logits.shape[1]
    if bad := [target for target in quotas if target >= num_classes]:
        raise BridgeError(f"class {bad[0]} is outside the score's 0..{num_classes - 1}")
    total = sum(quotas.values())
    budget = int(config.max_evaluations_per_face * total)
    if budget <= config.pool_size:
        raise BridgeError(
            f"{config.max_evaluations_per_face:g} evaluations for each of {total} faces are used up by the pool of"
            f" {config.pool_size}; ask for more faces or a smaller pool_size"
        )
    filled: list[_Class] = []
    remaining = total
    for target, wanted in sorted(quotas.items(), key=lambda item: -campaign.plain_counts.get(item[0], 0)):
        share = (budget - campaign.evaluations) * wanted // remaining if wanted else 0
        filled.append(campaign.fill(target, wanted, share, progress))
        remaining -= wanted
    return _collect(campaign, sorted(filled, key=lambda state: state.target))


def _collect(campaign: _Campaign, filled: list[_Class]) -> SteerResult:
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
