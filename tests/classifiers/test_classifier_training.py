"""A training learns, writes what it promises, and gives the same weights after a kill as without one."""

from __future__ import annotations

import csv
import dataclasses
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
from bars_data import NAMES, bars, quick

from classifiers import ClassifierError, Samples, TrainConfig, TrainResult, load_classifier, train, training
from classifiers import samples as samples_module
from classifiers.augment import early_side, shrink
from classifiers.device import make_fabric
from classifiers.files import read_weights, seal, unseal
from classifiers.models.compact import Compact
from classifiers.state import Run


def test_learns_and_leaves_a_complete_folder(trained: TrainResult) -> None:
    assert trained.validation["accuracy"] > 0.9
    names = {path.name for path in trained.folder.iterdir()}
    assert names == {"model.safetensors", "card.json", "history.csv"}
    card = json.loads((trained.folder / "card.json").read_text())
    assert card == json.loads(json.dumps(trained.card))
    assert card["class_names"] == NAMES
    assert (card["channels"], card["size"], card["architecture"]) == (1, 16, "compact")
    assert card["train_counts"] == {"flat": 32, "steep": 32, "rising": 32}
    with open(trained.folder / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(float(row["step"])) for row in rows] == [int(row["step"]) for row in trained.history]
    assert len(rows) == 8
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def test_the_same_call_again_finds_the_work_done(trained: TrainResult) -> None:
    before = (trained.folder / "model.safetensors").stat().st_mtime_ns
    again = train(quick(epochs=8), bars(96), bars(48, seed=1), NAMES, trained.folder, device="cpu")
    assert again.already_done
    assert again.validation == trained.validation
    assert (trained.folder / "model.safetensors").stat().st_mtime_ns == before


def test_other_data_trains_anew(tmp_path: Path) -> None:
    first = train(quick(epochs=1), bars(32), bars(16, seed=1), NAMES, tmp_path, device="cpu")
    second = train(quick(epochs=1), bars(32, seed=5), bars(16, seed=1), NAMES, tmp_path, device="cpu")
    assert not second.already_done
    assert first.card["identity"] != second.card["identity"]


@pytest.mark.parametrize("before", [False, True])
def test_one_image_of_a_large_set_makes_another_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Of which the fingerprint takes a part. What was made before all were looked at is still found."""
    monkeypatch.setattr(samples_module, "WHOLE", 24 * 256 // 3)  # every third image
    config, val = quick(epochs=1, model="compact-small"), bars(12, seed=1)
    if before:
        monkeypatch.setattr(training, "every_image", lambda samples: "")
    first = train(config, bars(24), val, NAMES, tmp_path, device="cpu")
    assert ("+" in first.card["identity"]) == (not before)
    if before:
        monkeypatch.setattr(training, "every_image", samples_module.every_image)
    assert train(config, bars(24), val, NAMES, tmp_path, device="cpu").already_done
    other = bars(24)
    other.images[1] = 0
    assert train(config, other, val, NAMES, tmp_path, device="cpu").already_done == before


def test_seeds_differ_and_repeat(tmp_path: Path) -> None:
    def weights(seed: int, folder: str) -> dict[str, torch.Tensor]:
        train(quick(epochs=1), bars(32), bars(16), NAMES, tmp_path / folder, seed=seed, device="cpu")
        return read_weights(tmp_path / folder / "model.safetensors")[0]

    a, b, c = weights(1, "a"), weights(1, "b"), weights(2, "c")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["head.1.weight"], c["head.1.weight"])


def test_the_callers_random_numbers_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(quick(epochs=1), bars(32), bars(16), NAMES, tmp_path, device="cpu")
    assert torch.equal(torch.rand(3), expected)


ROOT = Path(__file__).parents[2]
LONG = quick(epochs=14, augment="strong", cutmix=1.0, mixup=0.2, checkpoint_seconds=0.1, sampler="balanced")
_SCRIPT = """
import sys, torch
torch.set_num_threads(1)
sys.path[:0] = sys.argv[2:]
from classifiers import train
from bars_data import NAMES, bars
from test_classifier_training import LONG
train(LONG, bars(90), bars(30, seed=1), NAMES, sys.argv[1], seed=3, device="cpu")
"""


def test_killed_and_run_again_gives_identical_weights(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    paths = [str(ROOT), str(ROOT / "tests" / "classifiers")]
    victim = subprocess.Popen([sys.executable, "-c", _SCRIPT, str(broken), *paths])
    deadline = time.monotonic() + 60
    while not (broken / "resume.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert not (broken / "model.safetensors").exists(), "it was killed too late for this test to mean anything"
    step = torch.load(io.BytesIO(unseal((broken / "resume.pt").read_bytes())), weights_only=True)["plain"]["step"]
    assert 0 < step < 14 * 90 // 16
    for folder in (broken, whole):
        train(LONG, bars(90), bars(30, seed=1), NAMES, folder, seed=3, device="cpu")
    a, card_a = read_weights(whole / "model.safetensors")
    b, card_b = read_weights(broken / "model.safetensors")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert card_a["temperature"] == card_b["temperature"]
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in card["history"]] for card in (card_a, card_b)]
    assert rows[0] == rows[1]
    assert not (broken / "resume.pt").exists()


@pytest.mark.parametrize("last", ["history.csv", "card.json", "model.safetensors"])
def test_killed_between_the_last_files_all_of_them_are_there_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """Behind each file, and with half of the next one, which goes."""
    rename = os.replace
    (tmp_path / ".resume.pt.1.part").write_bytes(b"half")

    def then_die(part: Path, path: Path) -> None:
        rename(part, path)
        if path.name == last:
            raise KeyboardInterrupt

    config, samples, val = quick(epochs=1, model="compact-small"), bars(24), bars(12, seed=1)
    monkeypatch.setattr("classifiers.files.os.replace", then_die)
    with pytest.raises(KeyboardInterrupt):
        train(config, samples, val, NAMES, tmp_path, device="cpu")
    monkeypatch.undo()
    train(config, samples, val, NAMES, tmp_path, device="cpu")
    assert {path.name for path in tmp_path.iterdir()} - {"resume.pt"} == {
        "model.safetensors",
        "card.json",
        "history.csv",
    }


def test_a_flipped_bit_in_a_resume_point_is_found_and_one_without_a_checksum_is_read(tmp_path: Path) -> None:
    """A bit of the weights changes no structure: without a checksum the training would go on from other numbers."""
    arguments = (quick(epochs=2), bars(12), bars(6), NAMES)
    whole = Run(*arguments, tmp_path, 0, make_fabric("cpu", "32-true"), "x")
    whole.step = 1
    whole.save()
    file = tmp_path / "resume.pt"
    good = file.read_bytes()
    for content, said, step in (
        (good, [], 1),
        (unseal(good), [], 1),  # as they were written before
        (good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1 :], ["damaged"], 0),
        (good[:-4096] + bytes(4096), ["damaged"], 0),
        (seal(unseal(good))[:-1], ["damaged"], 0),
    ):
        file.write_bytes(content)
        run = Run(*arguments, tmp_path, 0, make_fabric("cpu", "32-true"), "x")
        notes = run.restore()
        assert [word for word in said if word in notes[0]] == said
        assert len(notes) == len(said)
        assert run.step == step


def test_a_resume_point_of_another_precision_is_said(tmp_path: Path) -> None:
    """As of a training that was begun on a GPU."""
    arguments = (quick(epochs=2), bars(12), bars(6), NAMES)
    before, after = (Run(*arguments, tmp_path, 0, make_fabric("cpu", "32-true"), "x") for _ in range(2))
    before.step, before.precision = 1, "bf16-mixed"
    before.save()
    assert after.restore() == ["from step 1 on it was trained in 32-true, until then in bf16-mixed"]


def test_a_damaged_resume_point_is_said_and_replaced(tmp_path: Path) -> None:
    (tmp_path / "resume.pt").write_bytes(b"not a checkpoint")
    result = train(quick(epochs=1), bars(32), bars(16), NAMES, tmp_path, device="cpu")
    assert any("damaged" in note for note in result.notes)


def test_steps_override_epochs(tmp_path: Path) -> None:
    result = train(quick(epochs=50, steps=7), bars(32), bars(16), NAMES, tmp_path, device="cpu")
    assert result.steps == 7
    assert result.history[-1]["step"] == 7


def test_keeps_the_best_validation_not_the_last(tmp_path: Path) -> None:
    result = train(quick(epochs=6), bars(48), bars(30, seed=1), NAMES, tmp_path, device="cpu")
    best = max(result.history, key=lambda row: (row["val_balanced_accuracy"], -row["val_loss"]))
    assert result.card["best_step"] == best["step"]
    assert result.validation["balanced_accuracy"] == pytest.approx(best["val_balanced_accuracy"])


def test_patience_stops_early(tmp_path: Path) -> None:
    # With one class in validation nothing gets better than all right or all wrong for long.
    val = bars(30, seed=1)
    result = train(
        quick(epochs=60, patience=2, select_by="loss", lr=0.5, clip_norm=0.0, ema=0.0),
        bars(48),
        val,
        NAMES,
        tmp_path,
        device="cpu",
    )
    assert result.steps < 180
    losses = [row["val_loss"] for row in result.history]
    assert losses.index(min(losses)) == len(losses) - 3


def test_weights_decide_which_labels_count(tmp_path: Path) -> None:
    """Half of the labels are wrong but weigh nothing: the network learns as if they weren't there."""
    samples = bars(192)
    wrong = np.arange(192) >= 96
    samples.labels = np.where(wrong, (samples.labels + 1) % 3, samples.labels)
    samples.weights = np.where(wrong, 0, 1).astype(np.float32)
    result = train(quick(epochs=8), samples, bars(48, seed=1), NAMES, tmp_path, device="cpu")
    assert result.validation["accuracy"] > 0.9


def test_soft_labels_replace_the_hard_ones(tmp_path: Path) -> None:
    samples = bars(96)
    samples.soft_labels = np.eye(3, dtype=np.float32)[samples.labels] * 0.8 + 0.2 / 3
    samples.labels = np.zeros_like(samples.labels)
    samples.labels[0] = 1
    result = train(quick(epochs=8), samples, bars(48, seed=1), NAMES, tmp_path, device="cpu")
    assert result.validation["accuracy"] > 0.9


@pytest.mark.parametrize("loss", ["class-weighted", "focal", "logit-adjusted", "l2-svm"])
def test_every_loss_learns(tmp_path: Path, loss: str) -> None:
    result = train(quick(epochs=8, loss=loss), bars(96), bars(48, seed=1), NAMES, tmp_path, device="cpu")
    assert result.validation["accuracy"] > 0.8


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_other_optimisers_learn_with_mixing(tmp_path: Path, optimizer: str) -> None:
    config = quick(epochs=10, optimizer=optimizer, mixup=0.2, cutmix=0.5)
    result = train(config, bars(96), bars(48, seed=1), NAMES, tmp_path, device="cpu")
    assert result.validation["accuracy"] > 0.8


def test_progress_is_told_every_step(tmp_path: Path) -> None:
    from collections.abc import Callable, Iterator
    from contextlib import contextmanager

    told: list[int] = []

    @contextmanager
    def progress(description: str, total: int) -> Iterator[Callable[..., None]]:
        assert (description, total) == ("train compact", 6)
        yield lambda n=1, note="": told.append(n)

    train(quick(), bars(32), bars(16), NAMES, tmp_path, device="cpu", progress=progress)
    assert sum(told) == 6


def test_one_image_per_class_trains(tmp_path: Path) -> None:
    result = train(quick(epochs=2), bars(3), bars(3, seed=1), NAMES, tmp_path, device="cpu")
    assert load_classifier(tmp_path, "cpu").class_names == NAMES
    assert result.steps == 2


def test_a_class_without_training_images_is_allowed_and_said(tmp_path: Path) -> None:
    result = train(quick(epochs=1), bars(32, classes=2), bars(15), NAMES, tmp_path, device="cpu")
    assert result.notes == ["no training images of rising: the classifier can't learn to recognise them"]


def test_a_loss_that_explodes_stops_and_keeps_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from classifiers import training

    real = training.backward

    def poisoned(run, images, *rest, **how):  # type: ignore[no-untyped-def]
        return real(run, images * float("nan") if run.step >= 4 else images, *rest, **how)

    monkeypatch.setattr(training, "backward", poisoned)
    with pytest.raises(ClassifierError, match=r"no longer finite at step 6 of 6: lower lr \(now 0.01\)") as caught:
        train(quick(), bars(32), bars(16), NAMES, tmp_path, device="cpu")
    assert "\n" not in caught.value.message
    kept = load_classifier(tmp_path / "best.safetensors", "cpu")
    assert np.all(np.isfinite(kept.probabilities(bars(4).images)))
    assert not (tmp_path / "model.safetensors").exists()


def test_gpu_memory_that_runs_out_gives_micro_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch of 16 that only fits in fours gives gradients like the whole batch's (no batch statistics involved)."""
    from classifiers import training

    seen: list[int] = []
    real = training.Run.__init__

    def limited(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        real(self, *args, **kwargs)
        net = self.net

        class Limited:
            def __call__(self, x: torch.Tensor) -> torch.Tensor:
                if len(x) > 4:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                seen.append(len(x))
                return net(x)

            def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
                return getattr(net, name)

        monkeypatch.setattr(self.fabric, "no_backward_sync", lambda *a, **k: __import__("contextlib").nullcontext())
        monkeypatch.setattr(self.fabric, "clip_gradients", lambda *a, **k: None)
        self.net = Limited()

    monkeypatch.setattr(training.Run, "__init__", limited)
    result = train(quick(epochs=8), bars(96), bars(48, seed=1), NAMES, tmp_path, device="cpu")
    assert set(seen) == {4}
    assert [record.message for record in caplog.records if "GPU memory" in record.message] == [
        "out of GPU memory: each batch is split into micro-batches, whose own statistics batch norm uses: results "
        "differ from those of a GPU with more memory"
    ]
    assert result.card["micro_batches"] == 4
    assert result.validation["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": Samples(np.zeros((0, 1, 16, 16), np.uint8), np.zeros(0, np.int64))}, "the training set is empty"),
        ({"val": Samples(np.zeros((0, 1, 16, 16), np.uint8), np.zeros(0, np.int64))}, "the validation set is empty"),
        ({"val": bars(9, size=32)}, "are 32x32 pixels where 16x16 are expected"),
        ({"val": bars(9, channels=3)}, r"have 3 channel\(s\) where 1 are expected"),
        ({"train": Samples(bars(9).images / 255.0, bars(9).labels)}, "must be uint8"),
        ({"train": Samples(bars(9).images, bars(9).labels + 1)}, "3 of 9 out of range, the first is 3 at index 2"),
        ({"train": Samples(bars(9).images, bars(9).labels[:5])}, "must be 9 integers"),
        ({"train": Samples(bars(9).images, np.zeros(9, np.int64))}, "all of one class"),
        ({"train": Samples(bars(9).images, bars(9).labels, weights=-np.ones(9))}, "training weights"),
        ({"train": Samples(bars(9).images, bars(9).labels, soft_labels=np.ones((9, 3)))}, "training soft labels"),
        ({"class_names": ["one", "one", "two"]}, "two different"),
        ({"config": TrainConfig(model="compat")}, "did you mean 'compact'"),
        ({"device": "cuda:99"}, "CUDA device"),
        ({"device": "tpu9"}, "unknown"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, change: dict, message: str) -> None:
    call = {
        "config": quick(),
        "train": bars(9),
        "val": bars(9),
        "class_names": NAMES,
        "folder": tmp_path,
        "device": "cpu",
    }
    with pytest.raises(ClassifierError, match=message) as caught:
        train(**(call | change))
    assert "\n" not in caught.value.message
    assert not list(tmp_path.glob("*.safetensors"))


def test_bfloat16_learns_and_a_cpu_has_no_float16(tmp_path: Path) -> None:
    result = train(quick(epochs=8, precision="bf16-mixed"), bars(96), bars(48, seed=1), NAMES, tmp_path, device="cpu")
    assert result.validation["accuracy"] > 0.8
    assert {t.dtype for t in read_weights(tmp_path / "model.safetensors")[0].values()} == {torch.float32, torch.int64}
    with pytest.raises(ClassifierError, match="needs a GPU"):
        train(quick(precision="16-mixed"), bars(9), bars(6), NAMES, tmp_path, device="cpu")


def test_a_memory_map_trains_to_the_same_weights(tmp_path: Path) -> None:
    data = bars(40)
    np.save(tmp_path / "images.npy", data.images)
    mapped = Samples(np.load(tmp_path / "images.npy", mmap_mode="r"), data.labels)
    weights = []
    for name, samples in (("array", data), ("map", mapped)):
        train(quick(epochs=1), samples, bars(12), NAMES, tmp_path / name, device="cpu")
        weights.append(read_weights(tmp_path / name / "model.safetensors")[0])
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_weights_that_become_infinite_under_a_finite_loss_are_never_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step before a validation ruins the weights: its own loss was still fine."""
    from classifiers import training

    real = training.backward

    def ruinous(run, *given, **how):  # type: ignore[no-untyped-def]
        loss = real(run, *given, **how)
        if run.step == 1:
            run.model.head[1].weight.grad.fill_(float("inf"))
        return loss

    monkeypatch.setattr(training, "backward", ruinous)
    with pytest.raises(ClassifierError, match="no longer finite at step 2 of 6.*no weights were good enough"):
        train(quick(clip_norm=0.0), bars(32), bars(16), NAMES, tmp_path, device="cpu")
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_batch_in_which_every_image_weighs_nothing_changes_nothing(tmp_path: Path) -> None:
    samples = bars(32)
    samples.weights = np.zeros(32, np.float32)
    samples.weights[:3] = 1
    result = train(quick(epochs=4, batch_size=2), samples, bars(15, seed=1), NAMES, tmp_path, device="cpu")
    assert all(np.isfinite(row["train_loss"]) for row in result.history)


def test_progressive_resizing_trains_small_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[int] = []
    forward = Compact.forward

    def seen(model: Compact, images: torch.Tensor) -> torch.Tensor:
        if model.training:
            sides.append(images.shape[-1])
        return forward(model, images)

    monkeypatch.setattr(Compact, "forward", seen)
    config = quick(model="compact-small", steps=10, progressive=0.6)
    data, val = bars(48, size=24), bars(12, size=24, seed=1)
    result = train(config, data, val, NAMES, tmp_path / "whole", device="cpu")
    assert sides == [16] * 6 + [24] * 4
    assert result.load("cpu").model.size == 24

    sides.clear()
    train(dataclasses.replace(config, progressive=0.0), data, val, NAMES, tmp_path / "plain", device="cpu")
    assert sides == [24] * 10


def test_progressive_resizing_is_refused_for_models_of_one_size(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="progressive = 0.5: model 'fnn' takes images of one size"):
        train(quick(model="fnn", progressive=0.5), bars(24, size=24), bars(12, size=24), NAMES, tmp_path, device="cpu")


def test_shrinking_keeps_the_mean_and_removes_what_a_smaller_image_cannot_show() -> None:
    assert [early_side(size) for size in (16, 24, 32, 48, 64, 96)] == [16, 16, 24, 32, 40, 64]
    stripes = torch.zeros(1, 1, 48, 48)
    stripes[..., ::2] = 1
    small = shrink(stripes, 32)
    assert small.shape == (1, 1, 32, 32)
    assert abs(float(small.mean()) - 0.5) < 0.01
    assert float(small[..., 2:-2].std()) < 0.2  # of 0.5: stripes finer than its pixels fade instead of turning coarse
