"""Training: it learns, it resumes exactly, and it says in one line what goes wrong."""

import contextlib
import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from gan_tiny import NAMES, TINY, store, tiny_images, tiny_set

import ganfer.gan.train as training
from classifiers.files import seal, unseal
from ganfer.errors import DataError, GanferError
from ganfer.gan import loop
from ganfer.gan.alarms import memorisation_alarm
from ganfer.gan.batches import Batches
from ganfer.gan.losses import LOSSES, AdversarialLoss
from ganfer.gan.overfitting import overfitting
from ganfer.gan.plan import plan_lines, plan_training
from ganfer.gan.sampling import open_gan
from ganfer.gan.stylegan2 import BRIDGE_FILE
from ganfer.gan.train import plan_steps, train_gan
from ganfer.runtime.files import write_bytes
from ganfer.workspace import Run, Workspace
from stylegan_bridge import load_generator


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return open_gan(path, "cpu")._network.state_dict()


def assert_same_weights(one: Path, other: Path) -> None:
    a, b = weights_of(one), weights_of(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def history(path: Path) -> list[dict[str, str]]:
    with (path / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def without_times(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture
def reference(tmp_path, make_config):
    """Trains the same as the test does, uninterrupted and elsewhere."""

    def run(**changes: object) -> Path:
        workspace = Workspace(tmp_path / "reference")
        data = store(workspace, tiny_set(dict.fromkeys(NAMES, 30)))
        path = train_gan(workspace, make_config(**changes), data).path
        assert path is not None
        return path

    return run


# --- what a training leaves -----------------------------------------------------------------------------------------


def saved_step(folder):
    """How far the resume point in a run's folder is."""
    return torch.load(io.BytesIO(unseal((folder / "checkpoint.pt").read_bytes())), weights_only=True)["step"]


def test_a_training_leaves_generator_card_curves_and_record(workspace, data, make_config, curves):
    result = train_gan(workspace, make_config(), data)
    folder = result.path
    files = {"generator.safetensors", "card.json", "checkpoint.pt", "history.csv", "losses.png", "record.json"}
    assert files <= {path.name for path in folder.iterdir()}
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["step-0000006.png", "step-0000012.png"]
    assert list((folder / "tensorboard").glob("events.*"))
    generator = open_gan(folder, "cpu")
    assert (generator.class_names, generator.size, generator.channels) == (NAMES, 16, 1)
    assert generator.card["data"] == data.digest
    assert workspace.latest("gans", data=data.digest).digest == generator.digest
    assert result.figures["counts"] == dict.fromkeys(NAMES, 26)
    rows = history(folder)
    assert [row["step"] for row in rows] == ["6", "12"]
    assert all(float(row["kid"]) > 0 and float(row["diversity_fear"]) > 0 for row in rows)
    again = train_gan(workspace, make_config(), data)
    assert "already" in str(again)
    assert again.figures == result.figures


def test_it_learns_what_its_classes_look_like(workspace, make_config):
    data = store(workspace, tiny_set(dict.fromkeys(NAMES, 60)))
    config = make_config(
        gan__steps=120, gan__snapshot_every=30, gan__batch_size=32, gan__lr_generator=1e-3, gan__lr_discriminator=1e-3,
        gan__augment="translation", gan__ema_half_life=200, gan__base_channels=8,
    )  # fmt: skip
    result = train_gan(workspace, config, data)
    generator = open_gan(result.path, "cpu")
    labels = np.repeat([0, 1, 2], 32)
    brightness = generator.sample(np.arange(96), labels).mean(axis=(1, 2, 3)).reshape(3, 32).mean(axis=1)
    assert np.all(np.abs(brightness - [60, 120, 180]) < 30), brightness
    judged = [row for row in history(result.path) if row["score"]]
    full = [float(row["score"]) for row in judged if float(row["conditioning"]) == 1.0]
    assert result.figures["score"] == pytest.approx(min(full))


@pytest.mark.parametrize("regulariser", ["r1", "none"])
@pytest.mark.parametrize("loss", ["non-saturating", "hinge"])
def test_every_loss_and_regulariser_trains(workspace, data, make_config, regulariser, loss):
    config = make_config(gan__regulariser=regulariser, gan__loss=loss, gan__r1_interval=2, gan__steps=4)
    assert train_gan(workspace, config, data).figures["steps"] == 4


def test_the_residual_network_trains_with_its_own_defaults_and_resumes(workspace, data, make_config, monkeypatch):
    config = make_config(gan__network="resgan", gan__r1_interval=2, gan__snapshot_every=4, gan__steps=8)
    settings = config.gan
    assert (settings.loss, settings.regulariser, settings.beta1, settings.r1_interval) == ("relativistic", "r1r2", 0, 2)
    whole = train_gan(workspace, config, data)
    rows = history(whole.path)
    assert 0 <= float(rows[-1]["augmentation"]) <= 1
    card = open_gan(whole.path, "cpu").card
    assert card["spec"]["network"] == "resgan"
    assert card["config"]["loss"] == "relativistic"

    other = Workspace(workspace.root.parent / "other")
    same = store(other, tiny_set(dict.fromkeys(NAMES, 30)))
    monkeypatch.setattr(loop, "adapt", _stop_at(5, loop.adapt))
    with pytest.raises(KeyboardInterrupt):
        train_gan(other, config, same)
    monkeypatch.undo()
    assert train_gan(other, config, same).figures["best_step"] == whole.figures["best_step"]
    assert other.latest("gans", data=same.digest).digest == open_gan(whole.path, "cpu").digest


@pytest.mark.parametrize(("network", "share"), [("resgan", 0.01), ("dcgan", 1.0)])
def test_rates_rise_first_where_adam_has_no_momentum(workspace, data, make_config, monkeypatch, network, share):
    """Its first steps move every weight by the whole rate; one training in a few was won by the discriminator."""
    config, rates = make_config(gan__network=network, gan__steps=2, gan__snapshot_every=2), []
    monkeypatch.setattr(loop, "set_lr", lambda group, rate, *rest: rates.append(rate))
    train_gan(workspace, config, data)
    assert rates[0] == pytest.approx(share * config.gan.lr_generator)


def test_both_penalties_are_stronger_while_classes_come_in(workspace, data, make_config, monkeypatch):
    """From ten times at the start to their own weight (Huang et al. 2024): else the discriminator runs off."""
    config = make_config(
        gan__network="resgan", gan__steps=2, gan__snapshot_every=2, gan__transition=1.0, gan__r1_interval=1
    )
    weight, gradients = torch.ones((), requires_grad=True), []
    weight.register_hook(lambda gradient: gradients.append(float(gradient)))
    monkeypatch.setattr(loop, "gradient_penalty", lambda *_: weight.clone())
    train_gan(workspace, config, data)
    both = 2 * 0.5 * config.gan.r1_gamma
    assert gradients == pytest.approx([10 * both, 10**0.5 * both], rel=1e-4)


def test_a_trained_stylegan2_is_one_that_the_bridge_draws(workspace, data, make_config):
    result = train_gan(workspace, make_config(gan__network="stylegan2", gan__steps=3, gan__r1_interval=2), data)
    assert result.path is not None
    mine, bridge = open_gan(result.path, "cpu"), load_generator(result.path / BRIDGE_FILE)
    assert (bridge.resolution, bridge.img_channels, bridge.num_classes) == (16, 1, 3)
    z, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        drawn = bridge.render(bridge.map(z, torch.nn.functional.one_hot(labels, 3)))
        expected = mine.render(z, labels)
    assert torch.allclose(drawn * 127.5 + 128, expected, atol=0.01)
    assert float(bridge.mapping.w_avg.abs().sum()) > 0  # truncation has a centre to pull to


def test_the_noise_of_a_step_depends_on_the_step_alone(workspace, make_config, monkeypatch):
    config = make_config(gan__network="stylegan2", gan__steps=4, gan__snapshot_every=2)
    digests = []
    for name, stop in (("whole", 99), ("stopped", 3)):
        place = Workspace(workspace.root.parent / name)
        data = store(place, tiny_set(dict.fromkeys(NAMES, 30)))
        torch.manual_seed(stop)
        monkeypatch.setattr(loop, "adapt", _stop_at(stop, loop.adapt))
        with contextlib.suppress(KeyboardInterrupt):
            train_gan(place, config, data)
        monkeypatch.undo()
        digests.append(open_gan(train_gan(place, config, data).path, "cpu").digest)
    assert digests[0] == digests[1]


def _stop_at(step, function):
    """`function`, interrupted in its call number `step`."""
    calls = iter(range(1, 1000))

    def stopping(*args, **options):
        if next(calls) == step:
            raise KeyboardInterrupt
        return function(*args, **options)

    return stopping


def test_colour(workspace, make_config):
    data = store(workspace, tiny_set(dict.fromkeys(NAMES, 12), channels=3))
    result = train_gan(workspace, make_config(gan__steps=2), data)
    assert open_gan(result.path, "cpu").sample(np.arange(2), np.array([0, 1])).shape == (2, 3, 16, 16)


def test_the_classic_one_knows_no_classes(workspace, data, make_config):
    config = make_config(gan__steps=2, gan__classic=True)
    classic = config.gan
    assert (classic.conditional, classic.regulariser, classic.augment, classic.steps) == (False, "none", "", 2)
    result = train_gan(workspace, config, data)
    generator = open_gan(result.path, "cpu")
    assert generator.class_names is None
    assert generator.sample(np.arange(3)).shape == (3, 1, 16, 16)
    assert "plain" in result.path.name


# --- data that is scarce --------------------------------------------------------------------------------------------


def test_one_class_and_one_image_per_class(workspace, make_config):
    single = train_gan(workspace, make_config(gan__steps=2), store(workspace, tiny_set({"happy": 20})))
    assert open_gan(single.path, "cpu").class_names == ("happy",)
    tiny = train_gan(workspace, make_config(gan__steps=2), store(workspace, tiny_set(dict.fromkeys(NAMES, 1))))
    assert tiny.figures["score"] is None
    assert tiny.figures["best_step"] == 2  # nothing to judge by, so the last


def test_only_real_training_images_are_trained_on(make_config):
    images = tiny_set({"angry": 40, "fear": 40})
    images.split[:10], images.split[10:20] = "val", "test"
    images.source[20:25] = "synthetic"
    plan = plan_training(images, make_config().gan, 0)
    assert len(plan.labels) + len(plan.held_labels) == 55
    assert plan.counts[0] + (plan.held_labels == 0).sum() == 15


def test_the_holdout_is_stratified_and_never_trained_on(make_config):
    images = tiny_set({"angry": 200, "fear": 8, "sad": 7})  # a tenth, but at least 4 of 8 and more
    images = images.__class__(**{**vars(images), "images": tiny_images(images.labels, seed=3)})
    plan = plan_training(images, make_config().gan, 0)
    assert np.bincount(plan.held_labels, minlength=3).tolist() == [20, 4, 1]
    kept = {image.tobytes() for image in plan.images}
    assert not kept & {image.tobytes() for image in plan.held_images}
    assert np.array_equal(plan.held_images, plan_training(images, make_config().gan, 0).held_images)


def test_small_classes_are_announced_with_what_is_done(make_config):
    images = tiny_set({"angry": 900, "disgust": 100, "fear": 20, "sad": 0})
    config = make_config().gan
    text = "\n".join(plan_lines(plan_training(images, config, 0), config))
    assert "disgust has 90 images, too few" in text
    assert "2.3× as often" in text  # sqrt(90) / (sqrt(810) + sqrt(90) + sqrt(16)) against 90 / 916
    assert "first 15% of the training" in text
    assert "fear: with 16 images" in text
    assert "No training images of sad" in text
    assert "angry has" not in text


def test_no_images_is_one_line(workspace, make_config):
    images = tiny_set({"angry": 4})
    images.split[:] = "test"
    with pytest.raises(DataError, match="no real training image"):
        train_gan(workspace, make_config(), store(workspace, images))


def test_a_size_no_network_draws_is_said_before_training(workspace, make_config):
    data = store(workspace, tiny_set({"angry": 4, "sad": 4}, size=20))
    with pytest.raises(GanferError, match="--size"):
        plan_steps(data, make_config())
    with pytest.raises(GanferError, match="--size"):
        train_gan(workspace, make_config(), data)


# --- interruptions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 7, 12, 31])
def test_a_crash_anywhere_changes_nothing(workspace, data, make_config, reference, monkeypatch, at):
    changes = {"gan__steps": 36, "gan__snapshot_every": 12}
    bookkeeping = loop.Training._bookkeeping

    def crash(self, advance, strength):
        if self.state.step == at:
            raise RuntimeError("power cut")
        bookkeeping(self, advance, strength)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "_bookkeeping", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            train_gan(workspace, make_config(**changes, gan__checkpoint_seconds=0.0), data)
    result = train_gan(workspace, make_config(**changes), data)  # how often it saves is not part of the run's name
    expected = reference(**changes)
    assert_same_weights(result.path, expected)
    assert without_times(history(result.path)) == without_times(history(expected))
    assert Run(result.path).digest == Run(expected).digest


CHILD = """
import json, sys, torch
torch.set_num_threads(1)
from ganfer.config import load_config
from ganfer.gan.train import train_gan
from ganfer.workspace import Workspace
workspace = Workspace(sys.argv[1])
train_gan(workspace, load_config(None, json.loads(sys.argv[2])), workspace.active_data)
"""


def test_kill_9_and_the_same_command_again(workspace, data, make_config, reference, child_environment):
    changes = {"gan__steps": 80, "gan__snapshot_every": 50}
    settings = TINY | {"gan.steps": 80, "gan.snapshot_every": 50, "gan.checkpoint_seconds": 0.0}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workspace.root), json.dumps(settings)],
        env=child_environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 100
    while not list(workspace.root.glob("gans/*/checkpoint.pt")):
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (run,) = workspace.runs("gans")
    assert run.record["status"] == "running"
    assert 0 < saved_step(run.path) < 80
    result = train_gan(workspace, make_config(**changes), data)
    assert_same_weights(result.path, reference(**changes))


def test_ctrl_c_saves_and_the_same_command_goes_on(workspace, data, make_config, reference, monkeypatch):
    average = loop.update_average

    def press_ctrl_c(*args, **kwargs):
        average(*args, **kwargs)
        if kwargs["images_seen"] == 5 * 8:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "update_average", press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            train_gan(workspace, make_config(), data)
    (run,) = workspace.runs("gans")
    assert saved_step(run.path) == 5
    assert_same_weights(train_gan(workspace, make_config(), data).path, reference())


def test_a_full_disk_keeps_the_last_resume_point(workspace, data, make_config, reference, monkeypatch):
    import ganfer.gan.checkpoint as checkpoint

    writes = []

    def full(path, content):
        writes.append(path)
        if len(writes) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_bytes(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            train_gan(workspace, make_config(), data)
    (run,) = workspace.runs("gans")
    assert saved_step(run.path) == 6
    assert not list(run.path.glob(".*.tmp*"))
    assert_same_weights(train_gan(workspace, make_config(), data).path, reference())


def test_a_flipped_bit_in_a_resume_point_is_found(workspace, data, make_config, monkeypatch):
    config = make_config()
    run = workspace.run("gans", "dcgan", training.run_key(config, data))
    run.path.mkdir(parents=True)
    buffer = io.BytesIO()
    torch.save({"format": 2}, buffer)
    sealed = bytearray(seal(buffer.getvalue()))
    sealed[-300] ^= 1
    (run.path / "checkpoint.pt").write_bytes(bytes(sealed))
    with pytest.raises(GanferError, match=r"checkpoint\.pt cannot be read \(it does not match its checksum\)"):
        train_gan(workspace, config, data)


def test_a_damaged_resume_point_is_named(workspace, data, make_config, monkeypatch):
    config = make_config()
    run = workspace.run("gans", "dcgan", training.run_key(config, data))
    run.path.mkdir(parents=True)
    (run.path / "checkpoint.pt").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(GanferError, match=r"checkpoint\.pt cannot be read.*Remove it"):
        train_gan(workspace, config, data)


def test_the_time_budget_ends_the_training_fully_conditioned(workspace, data, make_config):
    config = make_config(gan__steps=1_000_000, gan__minutes=0.03, gan__snapshot_every=1_000_000)
    began = time.monotonic()
    result = train_gan(workspace, config, data)
    assert time.monotonic() - began < 30
    assert 0 < result.figures["steps"] < 1_000_000
    assert float(history(result.path)[-1]["conditioning"]) == 1.0


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_losses_that_are_no_numbers_stop_and_keep_the_best_snapshot(workspace, data, make_config, monkeypatch):
    calls = []

    def poisoned(real, fake):
        calls.append(1)
        loss = LOSSES["hinge"].discriminator(real, fake)
        return loss * float("nan") if len(calls) > 8 else loss

    broken = AdversarialLoss(poisoned, LOSSES["hinge"].generator)
    monkeypatch.setattr(loop, "LOSSES", {"non-saturating": broken})
    with pytest.raises(GanferError, match=r"NaN or infinite by step 1\d.*step 6, is kept.*lower gan.lr_generator"):
        train_gan(workspace, make_config(), data)
    (run,) = workspace.runs("gans")
    assert not run.complete
    images = open_gan(run.path, "cpu").sample(np.arange(4), np.zeros(4, dtype=np.int64))
    assert images.std() > 0
    assert saved_step(run.path) == 6


def test_a_collapsed_generator_raises_the_alarm(workspace, data, make_config, monkeypatch, capsys):
    def constant(self, seeds, labels=None):
        return np.full((len(seeds), 1, 16, 16), 100, dtype=np.uint8)

    monkeypatch.setattr(loop.GanGenerator, "sample", constant)
    result = train_gan(workspace, make_config(), data)
    assert "ALARM collapse" in capsys.readouterr().err
    assert any("angry (0%)" in alarm for alarm in result.figures["alarms"])
    assert "collapse" in history(result.path)[-1]["alarm"]


class ByHeart(torch.nn.Module):
    """Says 1 of images it has seen, 0 of others, or what a smooth one would say: 1 of all that are bright."""

    def __init__(self, seen: torch.Tensor | None) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, images: torch.Tensor, labels: torch.Tensor, strength: float) -> torch.Tensor:
        if self.seen is None:
            return (images.mean((1, 2, 3)) > -0.99).float()
        return torch.stack([(image == self.seen).flatten(1).all(1).any() for image in images]).float()


def test_a_discriminator_that_knows_its_images_by_heart_is_found(make_config):
    config = make_config(gan__flip=False).gan
    plan = plan_training(tiny_set(dict.fromkeys(NAMES, 150)), config, seed=0)
    batches = Batches(
        plan.images, plan.labels, 3, balance=0, latent_dim=8, batch_size=8, flip=False, seed=0,
        device=torch.device("cpu"),
    )  # fmt: skip
    drawn = [batches.draw(step) for step in range(8)]
    black = lambda z, labels, strength: torch.full((len(z), 1, 16, 16), -1.0)  # noqa: E731
    seen = torch.from_numpy(plan.images).float().div(127.5).sub(1)
    assert overfitting(ByHeart(seen), black, plan, drawn, 1.0) == pytest.approx(1.0)
    assert overfitting(ByHeart(None), black, plan, drawn, 1.0) == pytest.approx(0.0)
    assert "memorised its training images (100%)" in memorisation_alarm(1.0)[0]
    assert memorisation_alarm(0.3) == memorisation_alarm(None) == []
    few = plan_training(tiny_set(dict.fromkeys(NAMES, 20)), config, seed=0)
    assert overfitting(ByHeart(None), black, few, drawn, 1.0) is None


def test_a_discriminator_that_has_won_raises_the_alarm():
    from ganfer.gan.alarms import WON_ROWS, discriminator_alarm

    won = [{"step": 25 * i, "loss_discriminator": 0.001} for i in range(WON_ROWS)]
    assert "has won" in discriminator_alarm(won)[0]
    assert not discriminator_alarm(won[1:])
    assert not discriminator_alarm([*won[1:], {"step": 999, "loss_discriminator": 0.4}])


def test_two_trainings_of_one_run_do_the_work_once(workspace, data, make_config):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: train_gan(workspace, make_config(), data), range(2)))
    assert sorted("already" in str(result) for result in results) == [False, True]
    assert results[0].figures == results[1].figures
