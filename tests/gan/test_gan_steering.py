"""Steering as a command: quotas from a GAN that knows no classes, a judge of its own, resuming, what cannot be met."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gan_bright import SPEC, Level, gan
from gan_tiny import NAMES, TINY, store, tiny_set
from PIL import Image
from torch import Tensor

import ganfer.generate.steer as steering
from ganfer.config import load_config
from ganfer.data.imageset import read_set
from ganfer.data.provenance import is_synthetic, read_facts
from ganfer.errors import GanferError
from ganfer.gan.networks import build_generator
from ganfer.gan.sampling import GanGenerator, save_generator
from ganfer.generate.batch import read_batch
from ganfer.generate.judge import judge_settings, judges_half
from ganfer.generate.redraw import redraw
from ganfer.generate.spaces import GanSpace
from ganfer.generate.steer import judge_of, score_of, steer_settings
from ganfer.label.labels import newest_labels, read_labels
from ganfer.needs import Needs
from ganfer.pipeline import Project
from ganfer.workspace import Run, Workspace
from stylegan_bridge import BridgeError
from stylegan_bridge.steering import state

SETTINGS = TINY | {
    "classifier.model": "compact-small",
    "classifier.epochs": 5,
    "classifier.batch_size": 16,
    "classifier.augment": "none",
    "classifier.tensorboard": False,
    "classifier.lr": 0.01,
    "classifier.ema": 0.0,
    "steering.pool": 64,
    "steering.diversity": 0.3,
}


@pytest.fixture
def classifiers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Level]:
    """Stand-ins for guide and judge, by the names of their runs."""
    there = {"guide": Level(part=slice(0, 10)), "judge": Level(part=slice(6, 16))}
    monkeypatch.setattr(steering, "open_classifier", lambda run, names, config: there[run.name])
    return there


@pytest.fixture
def data(workspace: Workspace) -> Run:
    images = tiny_set(dict.fromkeys(NAMES, 24))
    images.split[::6] = "val"
    return store(workspace, images)


def source(generator: GanGenerator) -> Any:
    return SimpleNamespace(
        name="bright", digest=generator.digest, input="gan", settings={}, open=lambda device, size, channels: generator
    )


def fill(
    workspace: Workspace, data: Run, counts: dict[str, int], generator: GanGenerator | None = None, **settings: object
) -> Any:
    config = load_config(overrides=SETTINGS | {f"steering.{name}": value for name, value in settings.items()})
    quota = steering.Quota(counts, dict.fromkeys(counts, 0))
    runs = [Run(workspace.root / "classifiers" / name) for name in ("guide", "judge")]
    return steering.generate_steered(workspace, config, source(generator or gan()), data, quota, *runs)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.usefixtures("classifiers")
def test_every_class_is_filled_and_judged(workspace: Workspace, data: Run) -> None:
    plain = Level().logits(gan().sample(np.arange(400))).argmax(axis=1)
    assert (plain == 1).mean() > 0.8  # dark and bright faces are rare
    result = fill(workspace, data, {"angry": 20, "fear": 20, "happy": 20})
    figures = result.figures
    assert figures["per_class"] == {"angry": 20, "fear": 20, "happy": 20}
    assert figures["label_entropy"] == pytest.approx(1.0)
    assert figures["evaluations_per_face"] <= 20
    assert sum(figures["plain"].values()) == 64
    assert figures["short"] == {}
    rows = rows_of(result.path)
    images = np.stack([pixels(result.path / row["file_name"]) for row in rows])[:, None]
    judged = Level(part=slice(6, 16)).logits(images).argmax(axis=1)
    assert [NAMES[k] for k in judged] == [row["asked"] for row in rows]
    assert {row["method"] for row in rows} > {"plain"}
    assert (result.path / "contact.png").is_file()
    assert not list(result.path.glob("steering*"))
    assert "plain share" in str(result)
    assert "already" in str(fill(workspace, data, {"angry": 20, "fear": 20, "happy": 20}))


@pytest.mark.usefixtures("classifiers")
def test_a_steered_png_is_drawn_again_from_its_code(workspace: Workspace, data: Run) -> None:
    result = fill(workspace, data, {"angry": 6, "happy": 6})
    for row in rows_of(result.path)[::4]:
        path = result.path / row["file_name"]
        facts = read_facts(path)
        assert is_synthetic(path)
        assert (facts["class"], facts["method"]) == (row["asked"], row["method"])
        assert np.array_equal(redraw(path, gan())[0], pixels(path))
    (result.path / "codes.npy").write_bytes((result.path / "codes.npy").read_bytes() + b"x")
    with pytest.raises(GanferError, match=r"codes\.npy is missing or another batch's"):
        redraw(path, gan())


@pytest.mark.usefixtures("classifiers")
def test_an_interrupted_search_goes_on_to_the_same_faces(
    workspace: Workspace, data: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"angry": 12, "fear": 4, "happy": 12}
    elsewhere = Workspace(tmp_path / "elsewhere")
    whole = fill(elsewhere, data, counts)
    monkeypatch.setattr(state, "SAVE_SECONDS", 0.0)
    drawn = 0
    original = GanSpace.final

    def stop(self: GanSpace, codes: Tensor) -> Tensor:
        nonlocal drawn
        drawn += len(codes)
        if drawn > 76:  # the pool of 64 and a batch
            raise KeyboardInterrupt
        return original(self, codes)

    with monkeypatch.context() as patch:
        patch.setattr(GanSpace, "final", stop)
        with pytest.raises(KeyboardInterrupt):
            fill(workspace, data, counts)
    (run,) = workspace.runs("synthetic")
    assert not run.complete
    assert (run.path / "steering.safetensors").is_file()
    resumed = fill(workspace, data, counts)
    assert rows_of(resumed.path) == rows_of(whole.path)
    for row in rows_of(whole.path):
        ours, theirs = (folder / row["file_name"] for folder in (resumed.path, whole.path))
        assert ours.read_bytes() == theirs.read_bytes()
    assert resumed.figures == whole.figures


def test_what_cannot_be_met_stops_and_says_why(workspace: Workspace, data: Run, classifiers: dict[str, Level]) -> None:
    classifiers["judge"].far = 500.0  # nothing is ever bright enough for the judge
    result = fill(workspace, data, {"fear": 8, "happy": 8})
    assert result.figures["per_class"] == {"fear": 8, "happy": 0}
    assert "judge disagreed" in result.figures["short"]["happy"]
    assert "happy is short: " in str(result)
    assert {row["asked"] for row in rows_of(result.path)} == {"fear"}
    with pytest.raises(GanferError, match="found no face at all .*happy.*judge disagreed.*Raise steering") as error:
        fill(workspace, data, {"happy": 8})
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("classifiers")
def test_a_conditional_gan_is_steered_class_by_class(workspace: Workspace, data: Run) -> None:
    result = fill(workspace, data, {"angry": 5, "happy": 5}, gan(NAMES))
    assert result.figures["per_class"] == {"angry": 5, "happy": 5}
    path = result.path / rows_of(result.path)[0]["file_name"]
    assert np.array_equal(redraw(path, gan(NAMES))[0], pixels(path))
    with pytest.raises(GanferError, match="The generator has no class 'fear'; it knows angry, happy"):
        fill(workspace, data, {"fear": 5}, gan(("angry", "happy")))


@pytest.mark.usefixtures("classifiers")
def test_a_score_that_is_not_finite_is_one_line(workspace: Workspace, data: Run, classifiers: dict[str, Level]) -> None:
    classifiers["guide"].temperature = float("nan")
    with pytest.raises(BridgeError, match="not finite logits"):
        fill(workspace, data, {"angry": 5})


# --- the parts ------------------------------------------------------------------------------------------------------


def test_the_space_is_the_gans_own() -> None:
    generator = gan()
    space = GanSpace(generator, None)
    codes = space.codes(range(5))
    assert np.array_equal(space.final(codes).numpy(), generator.sample(np.arange(5)))
    assert torch.equal(space.final(codes[2:3])[0], space.final(codes)[2])
    soft = space.images(codes.requires_grad_())
    assert (soft.detach().clamp(0, 255).to(torch.uint8) - space.final(codes)).abs().max() <= 1
    (gradient,) = torch.autograd.grad(soft.sum(), codes)
    assert gradient.abs().sum() > 0


def test_the_score_takes_the_training_shares_out() -> None:
    images = torch.full((2, 1, 16, 16), 128.0)
    level = Level()
    shares = np.array([0.9, 0.05, 0.05])
    moved = score_of(level, shares)(images) - score_of(level, np.full(3, 1 / 3))(images)
    expected = -np.log(shares * 3)
    np.testing.assert_allclose(moved.numpy(), np.tile(expected, (2, 1)), rtol=1e-5)
    unseen = score_of(level, np.array([1.0, 0.0, 0.0]))(images)
    assert torch.isfinite(unseen).all()  # a class that the classifier never saw is not lifted without bound
    assert judge_of(level)(images.to(torch.uint8)).shape == (2, 3)


@pytest.mark.parametrize(("count", "pool"), [(500, 256), (40, 200), (4, 20), (1, 8)])
def test_the_pool_leaves_most_of_the_budget(count: int, pool: int) -> None:
    assert steer_settings(load_config().steering, count).pool_size == pool


def test_only_some_layers_may_move() -> None:
    config = load_config(overrides={"steering.layers": "4-6,9-"}).steering
    assert steer_settings(config, 100, 12).layers == (4, 5, 6, 9, 10, 11)
    assert steer_settings(load_config().steering, 100, 12).layers is None
    with pytest.raises(GanferError, match=r"steering\.layers .*outside 0..7"):
        steer_settings(config, 100, 8)


def test_too_little_to_steer_by() -> None:
    config = load_config(overrides={"steering.evaluations": 3}).steering
    with pytest.raises(GanferError, match="1 faces with 3 evaluations"):
        steer_settings(config, 1)


def test_the_judge_is_another_network_on_half_of_every_class() -> None:
    config = load_config()
    beside_compact, beside_resnet = (judge_settings(config, model) for model in ("compact", "resnet18"))
    assert (beside_compact.model, beside_compact.lr) == ("cnn", 1e-3)
    assert (beside_resnet.model, beside_resnet.lr) == ("compact-small", None)
    assert judge_settings(config, "compact").sampler == "balanced"
    with pytest.raises(GanferError, match="'cnn' is the classifier's own"):
        judge_settings(load_config(overrides={"steering.judge": "cnn"}), "cnn")
    images = tiny_set({"angry": 7, "fear": 1, "happy": 20})
    half = judges_half(images)
    assert half.counts() == {"angry": 4, "fear": 1, "happy": 10}
    assert np.array_equal(half.ids, judges_half(images).ids)
    images.group[:] = [f"person{i % 4}" for i in range(len(images))]
    people = set(judges_half(images).group[judges_half(images).labels == 2].tolist())
    assert len(people) < 4  # whole subjects


# --- the whole way, with classifiers that learn ---------------------------------------------------


@pytest.fixture
def plain_gan(workspace: Workspace, data: Run) -> Run:
    """A finished unconditional GAN run; its untrained network draws dark, middling and bright pictures."""
    key = {"inputs": {"data": data.digest}}
    run = workspace.run("gans", "dcgan-plain", key)
    torch.manual_seed(1)
    network = build_generator(SPEC).eval()
    with torch.no_grad():  # alike in all places, so that a latent decides how bright the whole picture is
        places = network.first.weight.view(-1, network.side**2, SPEC.latent_dim)
        places[:] = places[:, :1] * 20
        network.ups[0].weight.mul_(10)
        network.ups[-1].weight[:] = torch.tensor([1.0, 1.0, -1.0, -1.0]).view(4, 1, 1, 1) * 0.3
    with run.work("train gan"):
        run.finish(digest=save_generator(run.path, network.state_dict(), SPEC, None, {}), figures={})
    return run


@pytest.mark.usefixtures("plain_gan")
def test_generate_balance_steers_then_label_and_retrain_go_on(
    workspace: Workspace, data: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SETTINGS | {"steering.confidence": 0.0, "steering.diversity": 0.0, "steering.evaluations": 60}
    project = Project(workspace, load_config(overrides=settings))
    plan = str(project.generate(classes={"angry": 6, "happy": 6}, dry_run=True))
    for words in ("train the classifier", "train the independent judge", "steer the generator"):
        assert words in plan
    result = project.generate(classes={"angry": 6, "happy": 6})
    assert "independent judge" in capsys.readouterr().err
    assert [run.name for run in workspace.runs("judges")] == [result.figures["judge"]]
    assert [run.name for run in workspace.runs("classifiers")] == [result.figures["guide"]]
    assert "judges" in str(project.status())
    assert result.figures["count"] > 0
    labelled = project.label()
    assert sum(labelled.figures["labelling"]["before"]["counts"].values()) == result.figures["count"]
    batch = Run(result.path)
    assert len(read_batch(batch)) == result.figures["count"]
    labels = newest_labels(batch)
    assert labels is not None
    assert len(read_labels(labels, read_set(data.path).class_names).predicted) == result.figures["count"]
    drawn = project.generate(5)
    assert drawn.figures["per_class"] == {}  # a plain count asks no classes
    again = json.loads(json.dumps(project.generate(classes={"angry": 6, "happy": 6}).to_json()))
    assert again["count"] == result.figures["count"]


@pytest.mark.usefixtures("plain_gan")
def test_steering_can_be_asked_for_and_left_out(
    workspace: Workspace, data: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def note(name: str) -> Callable[..., Any]:
        return lambda *given, **options: called.append(name)

    monkeypatch.setattr("ganfer.generate.steer.generate_steered", note("steered"))
    monkeypatch.setattr("ganfer.generate.draw.draw", note("drawn"))
    monkeypatch.setattr(Needs, "classifier", note("classifier"))
    monkeypatch.setattr(Needs, "judge", note("judge"))
    project = Project(workspace, load_config(overrides=SETTINGS))
    project.generate(4, steer=True)
    project.generate(4)
    project.generate(to=40, steer=False)
    project.generate(to=40)
    assert [name for name in called if name in ("steered", "drawn")] == ["steered", "drawn", "drawn", "steered"]
