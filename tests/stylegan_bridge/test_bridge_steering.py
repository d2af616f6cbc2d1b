"""Steering finds rare classes honestly: the judge has the last word, the budget and the diversity floor hold."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from bridge_checkpoints import tiny_config, tiny_generator
from torch import Tensor

from stylegan_bridge import BridgeError, steer
from stylegan_bridge.generator import Generator
from stylegan_bridge.steering import (
    Found,
    PlainSpace,
    Prior,
    SteerConfig,
    StyleSpace,
    along,
    ascend,
    evolve,
    fit_direction,
    margin,
    thumbnails,
)

QUICK = SteerConfig(pool_size=96)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return tiny_generator(tiny_config(8))


Task = Callable[[Tensor], Tensor]


@torch.no_grad()
def drawn_at_once(generator: Generator, count: int) -> Tensor:
    """Plain images as one batch, which is faster than one by one."""
    space = StyleSpace(generator, 0 if generator.num_classes else None, batch_size=count)
    return space.images(space.codes(range(count))).clamp(0, 255)


def colour_task(generator: Generator, *, rarity: float, part: slice = slice(None), sharp: float = 4.0) -> Task:
    """Three classes by colour: 1 where red less green is `rarity` deviations above the mean, 2 as far below.

    `part` are the rows looked at: two parts make two independent judges of the same thing.
    """
    plain = drawn_at_once(generator, 400)

    def signal(images: Tensor) -> Tensor:
        rows = images.float()[:, :, part]
        return rows[:, 0].mean(dim=(1, 2)) - rows[:, 1].mean(dim=(1, 2))

    centre, spread = signal(plain).mean(), signal(plain).std()

    def logits(images: Tensor) -> Tensor:
        s = (signal(images) - centre) / spread
        return torch.stack([torch.zeros_like(s), sharp * (s - rarity), sharp * (-s - rarity)], dim=1)

    return logits


def test_a_rare_class_is_filled_within_the_budget(generator: Generator) -> None:
    score = colour_task(generator, rarity=2.4, part=slice(0, 5))
    judge = colour_task(generator, rarity=2.4, part=slice(3, 8), sharp=6.0)
    plain = judge(drawn_at_once(generator, 1000)).argmax(dim=1)
    assert (plain == 1).float().mean() < 0.02  # it is rare
    result = steer(generator, score, judge, {0: 20, 1: 20, 2: 20}, config=QUICK).check()
    assert result.labels.bincount().tolist() == [20, 20, 20]
    assert result.label_entropy == pytest.approx(1.0)
    assert judge(result.images).argmax(dim=1).tolist() == result.labels.tolist()
    assert result.evaluations_per_face <= 20
    assert sum(r.evaluations for r in result.reports) + QUICK.pool_size == result.evaluations
    assert len(set(result.seeds)) > 20  # not one face many times
    for report in result.reports:
        assert report.kept == sum(report.methods.values()) == 20
        assert report.diversity >= 0.8
        assert report.stopped == ""
    assert sum(result.plain_counts.values()) == QUICK.pool_size


def test_kept_codes_draw_their_images_again(generator: Generator) -> None:
    task = colour_task(generator, rarity=2.0)
    result = steer(generator, task, task, {1: 8}, config=QUICK)
    assert torch.equal(generator.sample_ws(result.codes), result.images)


def test_the_same_seed_finds_the_same_faces(generator: Generator) -> None:
    task = colour_task(generator, rarity=2.0)
    first, again, other = (steer(generator, task, task, {1: 8}, config=QUICK, seed=s) for s in (3, 3, 4))
    assert torch.equal(first.images, again.images)
    assert first.as_dict() == again.as_dict()
    assert not torch.equal(first.images, other.images)


def test_every_evaluation_is_counted(generator: Generator) -> None:
    drawn = 0

    class Counting(StyleSpace):
        def images(self, codes: Tensor) -> Tensor:
            nonlocal drawn
            drawn += len(codes)
            return super().images(codes)

        def final(self, codes: Tensor) -> Tensor:
            nonlocal drawn
            drawn += len(codes)
            return super().final(codes)

    score = colour_task(generator, rarity=2.0, part=slice(0, 5))
    judge = colour_task(generator, rarity=2.0, part=slice(3, 8))
    result = steer(Counting(generator), score, judge, {1: 12, 2: 8}, config=QUICK)
    assert len(result.labels) > 10
    assert {"direction", "ascent"} <= set(result.methods)
    assert result.evaluations == drawn or drawn == result.evaluations + 1  # one more to know an image's shape


def test_the_judge_has_the_last_word(generator: Generator) -> None:
    """A score that any code satisfies: only what the judge confirms is kept, and it is said why no more."""
    judge = colour_task(generator, rarity=2.5)
    result = steer(generator, lambda x: torch.tensor([[0.0, 9.0, 0.0]]).repeat(len(x), 1), judge, {1: 10}, config=QUICK)
    (report,) = result.reports
    assert report.kept < 10
    assert report.refused["judge"] > 20
    assert "the independent judge disagreed" in report.stopped
    assert judge(result.images).argmax(dim=1).tolist() == [1] * report.kept
    with pytest.raises(BridgeError, match=rf"class 1: {report.kept} of 10, .*judge disagreed") as error:
        result.check()
    assert "\n" not in str(error.value)


def test_a_target_that_cannot_be_met_stops_and_says_why(generator: Generator) -> None:
    def never(images: Tensor) -> Tensor:
        return torch.tensor([[0.0, -50.0]]).repeat(len(images), 1) + 0 * images.float().mean()

    config = SteerConfig(pool_size=32, patience=2, batch_size=4)
    result = steer(generator, never, never, {0: 5, 1: 30}, config=config)
    assert [(r.kept, r.wanted) for r in result.reports] == [(5, 5), (0, 30)]
    assert "could not be satisfied" in result.reports[1].stopped
    assert result.evaluations <= 20 * 35 + 100
    assert result.label_entropy == 0
    assert math.isnan(result.reports[1].diversity)
    assert result.as_dict()["classes"][1]["diversity"] is None


def test_an_empty_result_is_still_a_result(generator: Generator) -> None:
    never = lambda x: torch.tensor([[0.0, -50.0]]).repeat(len(x), 1)  # noqa: E731
    result = steer(generator, never, never, {1: 10}, config=SteerConfig(pool_size=16, patience=1, batch_size=4))
    assert result.images.shape == (0, 3, 8, 8)
    assert result.evaluations_per_face == math.inf
    assert result.as_dict()["evaluations_per_face"] is None


def test_the_budget_ends_a_class_that_is_too_dear(generator: Generator) -> None:
    score = colour_task(generator, rarity=30.0)
    config = SteerConfig(pool_size=20, max_evaluations_per_face=10, patience=1000)
    result = steer(generator, score, score, {1: 10}, config=config)
    assert "generator evaluations are used up" in result.reports[0].stopped
    assert result.evaluations < 100 + 16 * 11


def no_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes stay where they are in place of moving along the fitted direction."""
    from stylegan_bridge.steering import campaign

    monkeypatch.setattr(campaign, "along", lambda prior, codes, *rest, **options: codes)


def test_without_gradients_evolution_takes_over(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = colour_task(generator, rarity=2.6)
    result = steer(generator, lambda x: task(x.detach()), task, {1: 12}, config=QUICK).check()
    assert result.reports[0].methods.get("ascent", 0) == 0
    no_direction(monkeypatch)  # it alone would do
    result = steer(generator, lambda x: task(x.detach()), task, {1: 12}, config=QUICK)
    assert result.reports[0].methods.get("evolution", 0) > 0


def test_a_misleading_gradient_is_left_for_evolution(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The score sees green as well; the judge red alone, and refuses what the gradient makes of green."""
    called: list[int] = []
    from stylegan_bridge.steering import campaign, filling

    original = campaign.evolve
    monkeypatch.setattr(campaign, "evolve", lambda *a, **k: called.append(1) or original(*a, **k))
    monkeypatch.setattr(filling, "MISLED_AFTER", 4)
    score = colour_task(generator, rarity=2.0)
    refuse = lambda x: torch.tensor([[5.0, 0.0, 0.0]]).repeat(len(x), 1)  # noqa: E731
    no_direction(monkeypatch)
    config = SteerConfig(pool_size=32, ascent_steps=20, max_evaluations_per_face=100)
    steer(generator, score, refuse, {1: 10}, config=config)
    assert called


def test_alike_faces_are_refused(generator: Generator) -> None:
    """A floor above what the class can give: the mean distance never falls below it, and it is said."""
    task = colour_task(generator, rarity=1.5)
    loose = steer(generator, task, task, {1: 15}, config=SteerConfig(pool_size=96, diversity_floor=0.0))
    strict = steer(generator, task, task, {1: 15}, config=SteerConfig(pool_size=96, diversity_floor=1.0))
    assert strict.reports[0].diversity >= 1.0
    assert strict.reports[0].refused.get("diversity", 0) > 0
    assert loose.reports[0].refused.get("diversity", 0) == 0
    kept = thumbnails(strict.images)
    plain = thumbnails(generator.sample(range(96)))
    assert torch.pdist(kept).mean() >= torch.pdist(plain).mean() * 0.999


def test_a_conditional_generator_and_any_other(generator: Generator) -> None:
    conditional = tiny_generator(tiny_config(16, c_dim=3))
    with pytest.raises(BridgeError, match="conditional"):
        StyleSpace(conditional)
    task = colour_task(generator, rarity=1.5)
    matrix = torch.randn(6, 3 * 8 * 8, generator=torch.Generator().manual_seed(0)) * 20

    def draw(z: Tensor) -> Tensor:
        return (z @ matrix).view(-1, 3, 8, 8) + 128

    for space in (StyleSpace(conditional, 2), PlainSpace(draw, 6)):
        result = steer(space, task, task, {1: 6}, config=SteerConfig(pool_size=64)).check()
        assert torch.equal(space.final(result.codes), result.images)


@pytest.mark.parametrize(
    ("quotas", "config", "message"),
    [
        ({}, {}, "quotas"),
        ({1: -1}, {}, "quotas"),
        ({7: 5}, {"pool_size": 8}, "class 7 is outside the score's 0..2"),
        ({1: 2}, {}, "used up by the pool"),
        ({1: 50}, {"layers": (99,)}, "layer 99 is outside"),
    ],
)
def test_requests_that_cannot_be_meant(generator: Generator, quotas: dict, config: dict, message: str) -> None:
    task = colour_task(generator, rarity=1.0)
    with pytest.raises(BridgeError, match=message):
        steer(generator, task, task, quotas, config=SteerConfig(**config))


@pytest.mark.parametrize("name", ["pool_size", "batch_size", "ascent_steps", "max_distance", "patience"])
def test_settings_must_be_positive(name: str) -> None:
    with pytest.raises(BridgeError, match=f"{name} = 0"):
        SteerConfig(**{name: 0})


def test_a_score_that_is_not_finite(generator: Generator) -> None:
    with pytest.raises(BridgeError, match="not finite logits"):
        steer(generator, lambda x: x.mean(dim=(2, 3)) * float("nan"), thumbnails, {1: 50}, config=QUICK)


# The single moves, where the answer is known.


def linear_space(dim: int = 6) -> tuple[PlainSpace, Callable[[Tensor], Tensor], Tensor]:
    """The image is z; the margin of class 1 grows by 1 along one known direction."""
    truth = torch.nn.functional.normalize(torch.arange(1.0, dim + 1), dim=0)

    def score(images: Tensor) -> Tensor:
        value = images.flatten(1) @ truth
        return torch.stack([torch.zeros_like(value), value], dim=1)

    return PlainSpace(lambda z: z.view(-1, 1, 1, dim), dim), score, truth


def test_margin_is_the_lead_over_the_best_other() -> None:
    logits = torch.tensor([[1.0, 4.0, 2.0], [3.0, 0.0, 5.0]])
    assert margin(logits, 1).tolist() == [2.0, -5.0]


def test_the_prior_is_about_one_at_home_and_grows_outside() -> None:
    space, _, _ = linear_space()
    prior = Prior(space, space.codes(range(2000)))
    fresh = prior.whitened(space.codes(range(5000, 6000)))
    assert abs(prior.distance(fresh).mean() - 1) < 0.1
    assert abs(fresh.std() - 1) < 0.05
    assert prior.distance(3 * fresh).mean() > 8
    with pytest.raises(BridgeError, match="too few"):
        Prior(space, space.codes([1]))


def test_whitening_has_a_way_back_and_w_is_gaussian_there(generator: Generator) -> None:
    space = StyleSpace(generator)
    codes = space.codes(range(1500))
    prior = Prior(space, codes)
    torch.testing.assert_close(prior.codes(prior.whitened(codes)), codes, atol=1e-4, rtol=1e-4)
    assert prior.reach == pytest.approx(float(prior.distance(prior.whitened(codes)).max()))
    skew = lambda x: ((x - x.mean(0)) ** 3).mean(0).abs().mean() / x.std(0).pow(3).mean()  # noqa: E731
    assert skew(space.gaussian(codes)[:, 0]) < 0.5 * skew(codes[:, 0])


def test_the_fitted_direction_is_the_true_one() -> None:
    space, score, truth = linear_space()
    codes = space.codes(range(300))
    prior = Prior(space, codes)
    rare = margin(score(codes[:, 0]), 1) - 5.0  # no example lies beyond the boundary
    assert (rare < 0).all()
    direction = fit_direction(prior, codes, rare)
    with torch.no_grad():
        step = (prior.codes(direction.vector[None, None]) - prior.codes(0 * direction.vector[None, None]))[0, 0]
    assert torch.nn.functional.cosine_similarity(step, truth, dim=0) > 0.98
    moved = along(prior, codes, rare, direction, [0], goal=torch.full((300,), 0.5), limit=1e6)
    assert abs((margin(score(moved[:, 0]), 1) - 5.0).mean() - 0.5) < 0.2
    capped = along(prior, codes, rare, direction, [0], goal=torch.full((300,), 0.5), limit=2.0)
    distances, before = prior.distance(prior.whitened(capped)), prior.distance(prior.whitened(codes))
    assert (distances <= torch.maximum(before, torch.tensor(2.0)) * 1.001).all()
    assert (margin(score(capped[:, 0]), 1) >= margin(score(codes[:, 0]), 1) - 1e-4).all()


def test_moves_leave_the_other_layers_alone(generator: Generator) -> None:
    space = StyleSpace(generator)
    codes = space.codes(range(60))
    prior = Prior(space, codes)
    task = colour_task(generator, rarity=1.0)
    with torch.no_grad():
        margins = margin(task(space.images(codes)), 1)
    direction, goal = fit_direction(prior, codes, margins), torch.full((4,), 3.0)
    start, random = codes[:4], torch.Generator().manual_seed(0)
    steered = along(prior, start, margins[:4], direction, [1, 2], goal=goal, limit=5.0)
    options = {"goal": goal, "limit": 5.0}
    found = ascend(prior, task, start, 1, [1, 2], steps=3, rate=0.3, prior_weight=1.0, anchor_weight=0.0, **options)
    assert found is not None
    evolved = evolve(prior, task, start, margins[:4], 1, [1, 2], random, generations=5, step=0.5, **options)
    for moved in (steered, found.codes, evolved.codes):
        assert torch.equal(moved[:, [0, 3]], start[:, [0, 3]])
        assert not torch.equal(moved[:, 1:3], start[:, 1:3])


def reach_for(goal: float, **options: Any) -> tuple[Prior, Tensor, Found]:
    """An ascent of eight codes of the linear space."""
    space, score, _ = linear_space()
    codes = space.codes(range(8))
    prior = Prior(space, space.codes(range(500)))
    settings = {"steps": 60, "rate": 0.2, "limit": 1e6, "prior_weight": 0.0, "anchor_weight": 0.0} | options
    found = ascend(prior, score, settings.pop("codes", codes), 1, [0], goal=torch.full((8,), goal), **settings)
    assert found is not None
    return prior, codes, found


def test_ascent_stops_at_the_goal_and_counts() -> None:
    _, _, found = reach_for(1.0)
    assert (found.margins >= 1.0).all()
    assert (found.margins < 2.5).all()  # no further than asked
    assert 8 <= found.evaluations < 8 * 30
    _, _, done = reach_for(1.0, codes=found.codes)
    assert done.evaluations == 8  # one look each
    torch.testing.assert_close(done.codes, found.codes, atol=1e-5, rtol=1e-5)


def test_ascent_is_held_by_the_prior_and_the_anchor() -> None:
    prior, codes, free = reach_for(50.0)
    assert prior.distance(prior.whitened(free.codes)).mean() > 4
    _, _, held = reach_for(50.0, limit=2.0, prior_weight=1.0)
    limit = prior.distance(prior.whitened(codes)).clamp_min(2.0)
    assert (prior.distance(prior.whitened(held.codes)) <= limit * 1.01).all()
    assert (held.margins > reach_for(-50.0)[2].margins).all()  # it still climbs
    _, _, anchored = reach_for(50.0, anchor_weight=1.0)
    assert (anchored.codes - codes).norm() < 0.5 * (free.codes - codes).norm()
    pixels = lambda images, first: 3 * (images - first).square().sum(dim=(1, 2, 3))  # noqa: E731
    _, _, alike = reach_for(50.0, anchor_weight=1.0, anchor=pixels)
    assert (alike.codes - codes).norm() < 0.7 * (anchored.codes - codes).norm()


def test_evolution_climbs_and_stays_near() -> None:
    space, score, _ = linear_space()
    codes = space.codes(range(10))
    prior = Prior(space, space.codes(range(500)))
    start = margin(score(codes), 1)
    random = torch.Generator().manual_seed(1)
    found = evolve(
        prior, score, codes, start, 1, [0], random, goal=torch.full((10,), 1.5), generations=80, step=0.4, limit=2.0
    )
    assert (found.margins >= start).all()
    assert (found.margins >= 1.5).float().mean() > 0.8
    limit = prior.distance(prior.whitened(codes)).clamp_min(2.0)
    assert (prior.distance(prior.whitened(found.codes)) <= limit * 1.001).all()
    assert found.evaluations < 10 * 80


def test_gradients_of_a_few_at_a_time_lead_to_the_same(generator: Generator) -> None:
    """Memory for one image's gradients is enough, and every evaluation is counted all the same."""
    task = colour_task(generator, rarity=1.0)
    pull = lambda images, start: (images - start).square().mean(dim=(1, 2, 3)) / 500  # noqa: E731

    def climb(gradient_batch: int) -> Found:
        space = StyleSpace(generator)
        space.gradient_batch = gradient_batch
        codes = space.codes(range(5))
        found = ascend(
            Prior(space, space.codes(range(60))), task, codes, 1, [0, 1, 2, 3], goal=torch.full((5,), 2.0), steps=4,
            rate=0.3, limit=9.0, prior_weight=1.0, anchor_weight=0.1, anchor=pull,
        )  # fmt: skip
        assert found is not None
        return found

    together, apart = climb(5), climb(2)
    torch.testing.assert_close(apart.codes, together.codes, atol=1e-3, rtol=1e-3)
    assert apart.evaluations == together.evaluations > 5
    assert not torch.equal(together.codes, StyleSpace(generator).codes(range(5)))
