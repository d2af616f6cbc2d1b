"""Real faces changed: whom they came from is named, copies and strangers do not pass, what cannot be is said."""

import csv
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from bridge_checkpoints import tiny_config, tiny_generator
from gan_bright import Level, gan
from gan_tiny import NAMES, TINY, store, tiny_set

import ganfer.gan.identity as identity
import ganfer.generate.from_faces as stage
from ganfer.config import Config, load_config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.provenance import read_facts
from ganfer.errors import DataError, GanferError
from ganfer.gan.encoder import Encoder, encoder_loss, encoder_run, fresh_encoder, open_encoder, train_encoder
from ganfer.gan.identity import (
    GUIDE,
    WITNESS,
    IdentitySettings,
    drawn_people,
    identity_run,
    open_identity,
    train_identity,
)
from ganfer.gan.networks import NetworkSpec, build_generator
from ganfer.gan.sampling import GanGenerator, open_gan
from ganfer.gan.train import train_gan
from ganfer.generate.changing import ALREADY, COPY, IDENTITY, KEPT, Changer
from ganfer.generate.quota import Quota
from ganfer.generate.real_faces import plan_sources
from ganfer.generate.redraw import redraw
from ganfer.generate.stylegan2 import StyleganGenerator
from ganfer.metrics.identity import IdentityDistance, IdentityNet, contrast, separation
from ganfer.metrics.perceptual import open_perceptual
from ganfer.pipeline import Project
from ganfer.workspace import Run, Workspace

FAST = TINY | {"transfer.batch": 8, "transfer.identity": 1.0, "projection.steps": 12, "projection.batch": 8}


def settings(**changes: object) -> Config:
    return load_config(None, FAST | {name.replace("__", "."): value for name, value in changes.items()})


def middling(count: int, first: int = 0) -> np.ndarray:
    """Latents of faces that are neither dark nor bright, found among the generator's own."""
    z = gan().latents(np.arange(first, first + 20 * count))
    return z[Level().logits(gan().sample_latents(z)).argmax(axis=1) == 1][:count]


@pytest.fixture
def data(workspace: Workspace) -> Run:
    """30 middling faces called fear, and few of the others; one of them in validation."""
    images = tiny_set({"angry": 4, "fear": 30, "happy": 4})
    images.images[images.labels == 1] = gan().sample_latents(middling(30))
    images.split[4] = "val"
    return store(workspace, images)


def alike(part: identity.Part = GUIDE) -> IdentityDistance:
    torch.manual_seed(0)
    return IdentityDistance(part.network(1), np.linspace(0, 1, 101))


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> dict[str, Level]:
    there = {"guide": Level(part=slice(0, 10)), "judge": Level(part=slice(6, 16))}
    monkeypatch.setattr(stage, "open_classifier", lambda run, names, config: there[run.name])
    monkeypatch.setattr(stage, "open_identity", lambda run, channels, device, part=GUIDE: alike(part))
    return there


def source() -> Any:
    return SimpleNamespace(
        name="bright",
        digest="b" * 64,
        input="gan",
        class_names=None,
        settings={},
        open=lambda device, size, channels: gan(),
    )


def fill(workspace: Workspace, data: Run, counts: dict[str, int], **changes: object) -> Any:
    runs = [
        SimpleNamespace(name=name, digest=name, figures={"auc_drawn": 0.9})
        for name in ("guide", "judge", "identity", "witness")
    ]
    quota = Quota(counts, dict.fromkeys(counts, 4))
    helpers: Any = stage.Helpers(*runs, None)  # type: ignore[arg-type]
    return stage.generate_from_faces(workspace, settings(**changes), source(), data, quota, ("fear",), helpers)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("stand_ins")
def test_faces_take_the_class_and_name_whom_they_came_from(workspace: Workspace, data: Run) -> None:
    result = fill(workspace, data, {"angry": 5, "happy": 7})
    assert result.figures["per_class"] == {"angry": 5, "happy": 7}
    images = read_set(data.path)
    training = {str(i) for i, split, label in zip(images.ids, images.split, images.labels, strict=True)
                if split == "train" and label == 1}  # fmt: skip
    rows = rows_of(result.path)
    assert {row["source_image"] for row in rows} <= training
    assert len({row["source_image"] for row in rows}) == 12  # other classes start from other people
    for row in rows[::4]:
        file = result.path / row["file_name"]
        facts = read_facts(file)
        assert facts["synthetic"] == "true"
        assert (facts["source_image"], facts["source_class"], facts["method"]) == (
            row["source_image"],
            "fear",
            "from-face",
        )
        drawn = redraw(file, gan())
        assert NAMES[int(Level(part=slice(6, 16)).logits(drawn[None]).argmax())] == row["asked"]
    assert (result.path / "contact.png").is_file()
    assert "identity: " in str(result)
    figures = result.figures
    assert (figures["identity_by"], figures["led_by"]) == ("witness", "identity")
    measured = [alike(WITNESS), alike()]
    pairs = [(images.images[list(images.ids).index(row["source_image"])], row) for row in rows]
    for distance, name in zip(measured, ("identity", "identity_led"), strict=True):
        real = torch.from_numpy(np.stack([face for face, _ in pairs])).float()
        made = torch.from_numpy(np.stack([redraw(result.path / row["file_name"], gan()) for _, row in pairs])).float()
        assert figures[name] == pytest.approx(float(distance.between(made, real).mean()), abs=1e-3)
    assert "already" in str(fill(workspace, data, {"angry": 5, "happy": 7}))


@pytest.mark.usefixtures("stand_ins")
def test_an_interrupted_batch_goes_on_to_the_same_faces(
    workspace: Workspace, data: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fill(Workspace(tmp_path / "elsewhere"), data, {"happy": 12})
    changed = Changer.change
    calls = 0

    def killed(self: Changer, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return changed(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Changer, "change", killed)
        with pytest.raises(KeyboardInterrupt):
            fill(workspace, data, {"happy": 12})
    (run,) = workspace.runs("synthetic")
    assert len(list((run.path / "parts").glob("*.npz"))) == 1
    resumed = fill(workspace, data, {"happy": 12})
    assert rows_of(resumed.path) == rows_of(whole.path)
    for row in rows_of(whole.path):
        assert (resumed.path / row["file_name"]).read_bytes() == (whole.path / row["file_name"]).read_bytes()


def changer(judge: Any, score: Any, **changes: Any) -> Changer:
    encoder: Any = SimpleNamespace(encode=lambda faces, labels: changes["codes"])
    return Changer(
        gan(), None, encoder, score, judge, alike(), changes.get("witness") or alike(WITNESS), open_perceptual(),
        settings(transfer__refine=0), changes.get("bound", 2.0),
    )  # fmt: skip


def answers(*classes: int) -> Any:
    """A judge that says these classes, one after the other call."""
    said: Iterator[int] = iter(classes)

    def judge(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.full((len(images),), next(said)), 3) * 9.0

    return judge


def satisfied(images: torch.Tensor) -> torch.Tensor:
    """A score that any face satisfies."""
    return torch.tensor([0.0, 0.0, 50.0]) + 0 * images.mean(dim=(1, 2, 3))[:, None]


def test_copies_strangers_and_faces_that_were_so_before_do_not_pass() -> None:
    codes = middling(4)[:, None]
    faces = gan().sample_latents(codes[:, 0])
    own, plain = np.ones(4, np.int64), np.zeros(4, np.int64)
    asked = (faces, own, 2, np.arange(4), plain)
    unchanged = changer(answers(1, 2), satisfied, codes=codes).change(*asked)
    assert set(unchanged.fate) == {COPY}
    assert np.array_equal(unchanged.images, faces)
    assert set(changer(answers(2), satisfied, codes=codes).change(*asked).fate) == {ALREADY}
    far = changer(answers(1, 2), satisfied, codes=middling(4, first=5000)[:, None], bound=1e-4)
    assert set(far.change(*asked).fate) == {IDENTITY}
    other = changer(answers(1, 2), satisfied, codes=middling(4, first=5000)[:, None])
    assert set(other.change(*asked).fate) == {KEPT}


def test_a_further_style_is_another_face_of_the_same_person() -> None:
    codes = np.repeat(middling(1), 3, axis=0)[:, None]
    faces = gan().sample_latents(codes[:, 0])
    made = changer(answers(1, 2), satisfied, codes=codes).change(
        faces, np.ones(3, np.int64), 2, np.arange(3), np.arange(3)
    )
    assert np.allclose(made.codes[0], codes[0], atol=1e-5)
    apart = np.square(made.codes - codes).mean(axis=(1, 2))
    assert 0 < apart[1] < 0.5
    assert not np.array_equal(made.codes[1], made.codes[2])


def test_a_stylegan2_is_searched_in_w_plus_at_the_data_s_size() -> None:
    network = StyleganGenerator(tiny_generator(tiny_config(32)), "d" * 64, size=16, channels=1)
    faces = network.sample(np.array([1, 2, 3]))
    search = changer(answers(1, 2), satisfied, codes=None)
    search.generator, search.encoder = network, None
    made = search.change(faces, np.ones(3, np.int64), 2, np.arange(3), np.zeros(3, np.int64))
    assert made.codes.shape == (3, 8, 10)
    assert set(made.fate) <= {KEPT, COPY}
    again = network.latent_space().final(torch.from_numpy(made.codes)).numpy()
    assert np.array_equal(again, made.images)


def planned(images: ImageSet, given: list[str], counts: dict[str, int], **changes: object) -> list[str]:
    config, quota = settings(**changes), Quota(counts, {})
    return plan_sources(images, given, quota, config).lines(quota, config)


def test_the_plan_says_how_often_each_face_serves_and_what_cannot_be() -> None:
    images = tiny_set({"angry": 4, "fear": 30, "happy": 6, "sad": 1})
    images.split[images.labels == 3] = "test"
    assert planned(images, ["fear"], {"angry": 30}) == ["change fear: 30 real training faces to start from"]
    assert "each serves up to 4 times" in planned(images, ["fear", "happy"], {"angry": 40})[1]
    for given, counts, error, words in (
        ([" "], {"angry": 1}, GanferError, "names no class"),
        (["feer"], {"angry": 1}, GanferError, "no class 'feer'.*fear"),
        (["fear", "angry"], {"angry": 1}, GanferError, "both a class to start from and one to fill"),
        (["sad"], {"angry": 1}, DataError, "sad has no real training image"),
        (["angry"], {"fear": 1}, GanferError, "no majority"),
        (["fear"], {}, GanferError, "no class to fill"),
        (["fear"], {"angry": 121}, GanferError, "at most 120"),
    ):
        with pytest.raises(error, match=words):
            planned(images, given, counts)
    with pytest.raises(GanferError, match="generator has no class 'fear'; it knows angry, happy"):
        plan_sources(images, ["fear"], Quota({"angry": 1}, {}), settings(), ("angry", "happy"))


def test_what_does_not_go_together_is_said_at_once(workspace: Workspace, data: Run) -> None:
    project = Project(workspace, settings())
    for arguments, words in (
        ({}, "needs the classes to fill"),
        ({"classes": {"angry": 2}, "steer": True}, "--steer do not go together"),
        ({"balance": True, "seeds": [1]}, "--seeds do not go together"),
    ):
        with pytest.raises(GanferError, match=words):
            project.generate(from_faces=["fear"], **arguments)
    with pytest.raises(GanferError, match="both a class"):
        project.generate(from_faces=["fear"], classes={"fear": 3})
    plan = project.generate(from_faces=["fear"], balance=True, dry_run=True).figures["plan"]
    assert any("train the network that tells people apart" in step for step in plan)
    assert any("train a second one that bounds what the first has led" in step for step in plan)
    assert any("encoder" in step for step in plan)
    assert any(step.startswith("at most 150 tries") for step in plan)  # 25 each of angry and happy, three tries
    assert not workspace.runs("gans")


def told_apart(part: identity.Part, steps: int = 60) -> IdentityDistance:
    """One of the two networks after a short training on drawn people of its own."""
    people = drawn_people(1, 48, 4, first=part.first)
    torch.manual_seed(0)
    network = part.network(1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    rng = np.random.default_rng(len(part.name))
    for _ in range(steps):
        persons = rng.permutation(48)[:24]
        rows = (persons[:, None] * 4 + np.argsort(rng.random((24, 4)), axis=1)[:, :2]).ravel()
        faces = identity.varied(torch.from_numpy(people[rows]).float(), rng)
        loss = contrast(network(faces), torch.arange(24).repeat_interleave(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return IdentityDistance(network, np.linspace(0, 1, 101))


@pytest.fixture(scope="module")
def networks() -> dict[str, IdentityDistance]:
    return {part.name: told_apart(part) for part in (GUIDE, WITNESS)}


UNSEEN, OF_EACH = 16, 3  # drawn people that no network saw; each face of a person has an expression of its own


def unseen() -> np.ndarray:
    return drawn_people(1, UNSEEN, OF_EACH, first=identity._FIRST + (1 << 30))


def test_people_are_told_apart_and_a_bound_is_a_share_of_strangers(networks: dict[str, IdentityDistance]) -> None:
    """On drawn faces, whose people are known: pairs of one person against pairs of two, none seen in training."""
    for name, distance in networks.items():
        assert separation(distance.embed(unseen()), np.repeat(np.arange(UNSEEN), OF_EACH)) > 0.8, name
        assert distance.bound(0.05) == pytest.approx(0.05)
        assert distance.bound(1.0) == 2.0


def pairs_of(faces: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Everybody's first face, the same person with another expression, and another person."""
    whole = torch.from_numpy(faces).float()
    first = whole[::OF_EACH]
    return first, whole[1::OF_EACH], first.roll(1, dims=0)


def test_the_same_person_with_another_expression_is_nearer_than_another_person(
    networks: dict[str, IdentityDistance],
) -> None:
    witness = networks["witness"]
    first, same, other = pairs_of(unseen())
    nearer = witness.between(first, same) < witness.between(first, other)
    assert nearer.float().mean() >= 0.8
    assert witness.between(first, same).mean() < 0.7 * witness.between(first, other).mean()


def test_a_search_that_misleads_the_one_network_does_not_mislead_the_other(
    networks: dict[str, IdentityDistance],
) -> None:
    """Strangers' pixels changed by the gradient of the one that leads, until it takes them for the person."""
    guide, witness = networks["identity"], networks["witness"]
    first, same, other = pairs_of(unseen())
    bounds = {name: float(one.between(first, same).mean()) for name, one in networks.items()}
    moved = other.clone().requires_grad_(True)
    for _ in range(30):
        (slope,) = torch.autograd.grad(guide.between(first, moved).sum(), moved)
        moved = (moved.detach() - 1.0 * slope.sign()).clamp(0, 255).requires_grad_(True)
        if bool((guide.between(first, moved) < 0.5 * bounds["identity"]).all()):
            break
    made = moved.detach()
    assert (guide.between(first, made) < bounds["identity"]).float().mean() >= 0.9, "the guide is misled"
    assert (witness.between(first, made) > bounds["witness"]).float().mean() >= 0.7, "the witness is not"


def test_faces_beyond_the_bound_are_dropped_and_counted(
    workspace: Workspace, data: Run, stand_ins: dict[str, Level], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the witness: what the guide says of them does not matter."""
    bound = float(np.quantile(alike(WITNESS).strangers, 0.05))

    def apart(self: IdentityDistance, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        same = 0 * (first - second).mean(dim=(1, 2, 3))
        if isinstance(self.network, IdentityNet):
            return same  # all are whom they came from
        places = torch.arange(len(first))
        return same + torch.where(places % 2 == 0, 2 * bound, 0.5 * bound)

    monkeypatch.setattr(IdentityDistance, "between", apart)
    result = fill(workspace, data, {"happy": 6}, transfer__identity=0.05, transfer__tries=6)
    tally = result.figures["tries"]["happy"]
    assert tally["kept"] == 6
    assert tally["identity"] >= 5
    assert result.figures["identity"] == pytest.approx(0.5 * bound)
    assert result.figures["identity_led"] == 0
    assert result.figures["identity_bound"] == pytest.approx(bound)


def test_identity_and_encoder_are_trained_resumed_and_opened(
    workspace: Workspace, make_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "DEFAULT", IdentitySettings(people=4, faces=2, unseen=3, steps=4, batch=8, every=2))
    images = tiny_set(dict.fromkeys(NAMES, 12))
    images.split[::6] = "val"
    data = store(workspace, images)
    config = load_config(None, TINY | {"encoder.steps": 4, "encoder.checkpoint_every": 2, "encoder.channels": 8})
    people = Run(train_identity(workspace, config, data).path)
    assert people.path == identity_run(workspace, config, data).path
    witness = Run(train_identity(workspace, config, data, part=WITNESS).path)
    assert witness.name.startswith("witness-")
    assert people.digest != witness.digest
    assert 0 <= witness.figures["auc_drawn"] <= 1
    assert open_identity(witness, 1, part=WITNESS).strangers.size > 10
    with pytest.raises(GanferError, match="is damaged"):
        open_identity(people, 1, part=WITNESS)
    assert 0 <= people.figures["auc_drawn"] <= 1
    assert open_identity(people, 1).strangers.size > 10
    made = Run(train_gan(workspace, config, data).path)
    straight = train_encoder(workspace, config, data, made, people).path
    weights = (straight / "encoder.safetensors").read_bytes()
    Path(straight).rename(straight.with_name("gone"))

    from ganfer.gan import steps

    save = steps._save

    def killed(file: Path, parts: Any, step: int) -> None:
        save(file, parts, step)
        if step == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            train_encoder(workspace, config, data, made, people)
    result = train_encoder(workspace, config, data, made, people)
    assert (result.path / "encoder.safetensors").read_bytes() == weights
    assert not (result.path / "checkpoint.pt").exists()
    generator = open_gan(made.path, "cpu")
    encoder = open_encoder(encoder_run(workspace, config, data, made, people), generator, config)
    assert encoder.encode(images.images[:3], np.zeros(3, np.int64)).shape == (3, 1, 8)
    assert "finds" in str(train_encoder(workspace, config, data, made, people))


def test_an_encoder_learns_to_find_latents_and_to_keep_what_it_is_weighted_for() -> None:
    torch.manual_seed(1)
    spec = NetworkSpec("resgan", 16, 1, 3, latent_dim=4, base_channels=4)
    generator = GanGenerator(build_generator(spec), spec, NAMES)
    config = settings(encoder__batch_size=32, encoder__channels=8, encoder__identity=0.1)
    network = fresh_encoder(generator, config)
    real = generator.sample(np.arange(64), np.arange(64) % 3)
    loss = encoder_loss(network, generator, alike(), real, np.arange(64) % 3, config)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    z, labels = generator.latents(np.arange(500, 600)), np.arange(100) % 3
    drawn = generator.sample_latents(z, labels)

    def error() -> float:
        return float(np.square(Encoder(network, "cpu").encode(drawn, labels)[:, 0] - z).mean())

    before = error()
    for i in range(80):
        network.train().requires_grad_(True)
        optimizer.zero_grad()
        loss(i).backward()
        optimizer.step()
    assert error() < 0.6 * before
    assert float(loss(3).detach()) == float(loss(3).detach())  # a function of the seed and the step alone


def test_generate_from_faces_trains_what_is_missing_and_label_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(identity, "DEFAULT", IdentitySettings(people=4, faces=2, unseen=3, steps=2, batch=8, every=2))
    images = tiny_set({"angry": 6, "fear": 24, "happy": 24})
    images.split[::4] = "val"
    store(workspace, images)
    quick = {
        "classifier.model": "compact-small",
        "classifier.epochs": 1,
        "classifier.augment": "none",
        "encoder.steps": 2,
    }
    values = (
        FAST | quick | {"classifier.tensorboard": False, "classifier.ema": 0.0, "gan.steps": 4, "gan.guidance": 0.0}
    )
    project = Project(workspace, load_config(None, values))
    changed = Changer.change

    def all_kept(self: Changer, faces: np.ndarray, *rest: Any) -> Any:
        made = changed(self, faces, *rest)
        made.fate[:] = KEPT
        return made

    monkeypatch.setattr(Changer, "change", all_kept)
    result = project.generate(from_faces=["happy", "fear"], classes={"angry": 5})
    said = capsys.readouterr().err
    assert "the network that tells people apart" in said
    assert "train the GAN's encoder for 2 steps" in said
    assert result.figures["per_class"] == {"angry": 5}
    assert {row["source_class"] for row in rows_of(result.path)} <= {"happy", "fear"}
    assert project.label().figures
    assert {row["asked"] for row in rows_of(result.path)} == {"angry"}
    with pytest.raises(GanferError, match="made from real faces"):
        project.label(fill=True)
