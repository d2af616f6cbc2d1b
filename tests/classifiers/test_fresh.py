"""Other images in every pass: which ones, the same after an interruption, and nothing new where none are given."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifiers import Samples, TrainConfig, train
from classifiers.errors import ClassifierError
from classifiers.samples import fingerprint, fresh_places
from classifiers.state import Run

QUICK = TrainConfig(
    model="compact-small", epochs=4, batch_size=8, augment="none", tensorboard=False, ema=0.0, lr=0.01,
    checkpoint_seconds=0.0,
)  # fmt: skip


def grey(values: np.ndarray) -> np.ndarray:
    """Images of 16 x 16 that are one grey each, (..., 1, 16, 16)."""
    return np.broadcast_to(values[..., None, None, None], (*values.shape, 1, 16, 16)).astype(np.uint8)


def samples(sets: int, size: int = 16, fresh: int = 6) -> Samples:
    """Images of grey 0..size-1; those of further set s begin at 100 * (s + 1)."""
    labels = np.arange(size) % 2
    more = grey(100 * (1 + np.arange(sets))[:, None] + np.arange(fresh)) if sets else None
    return Samples(grey(np.arange(size)), labels, np.linspace(0.5, 1, size, dtype=np.float32), fresh=more)


def test_a_pass_takes_its_own_set_in_the_place_of_the_last_images() -> None:
    order = np.array(
        [4, 0, 3, 1, 2]
    )  # a pass over five images, of which 3 and 4 change; two further sets: 5, 6 and 7, 8
    seen = [fresh_places(order, step, 5, 2, 2).tolist() for step in range(4)]
    assert seen == [[4, 0, 3, 1, 2], [6, 0, 5, 1, 2], [8, 0, 7, 1, 2], [4, 0, 3, 1, 2]]
    # a batch across the end of a pass belongs to both
    assert fresh_places(np.array([4, 4]), 2, 5, 2, 2).tolist() == [4, 6]


def test_what_a_training_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, seen = samples(2), list[tuple[int, int]]()
    take = Run.places

    def watched(self: Run, step: int) -> np.ndarray:
        places = take(self, step)
        images, targets = self.data.take(places)
        seen.extend(zip(images[:, 0, 0, 0].tolist(), targets.argmax(1).tolist(), strict=True))
        return places

    monkeypatch.setattr(Run, "places", watched)
    train(replace(QUICK, epochs=3), given, samples(0), ["a", "b"], tmp_path, device="cpu")
    greys = [value for value, _ in seen]
    assert {value for value in greys if value < 10} == set(range(10))  # the others come in every pass
    assert {value for value in greys if 10 <= value < 100} == set(range(10, 16))
    assert {value for value in greys if value >= 100} == {*range(100, 106), *range(200, 206)}
    for value, target in seen:  # label and weight are those of the image in whose place it stands
        assert target == (value % 100 + (10 if value >= 100 else 0)) % 2


def test_an_interrupted_training_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    given, val = samples(3), samples(0)
    whole = train(QUICK, given, val, ["a", "b"], tmp_path / "whole", device="cpu")

    def stop(row: dict[str, float], total: int) -> None:
        if row["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(QUICK, given, val, ["a", "b"], tmp_path / "two", device="cpu", watch=stop)
    resumed = train(QUICK, given, val, ["a", "b"], tmp_path / "two", device="cpu")
    first, second = (result.load("cpu").logits(val.images) for result in (whole, resumed))
    assert np.array_equal(first, second)
    plain = train(QUICK, samples(0), val, ["a", "b"], tmp_path / "plain", device="cpu")
    assert plain.card["identity"] != whole.card["identity"]
    assert not np.array_equal(plain.load("cpu").logits(val.images), first)


def test_without_further_sets_a_set_has_the_digest_it_had() -> None:
    plain = samples(0)
    digest = hashlib.sha256(repr(plain.images.shape).encode())
    for array in (plain.images, plain.labels, plain.weights):
        digest.update(np.ascontiguousarray(array).data)
    digest.update(b"-")  # no soft labels
    assert fingerprint(plain) == digest.hexdigest()
    assert fingerprint(samples(1)) != fingerprint(plain)
    assert fingerprint(samples(1)) != fingerprint(samples(2))


def test_sets_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    good, val = samples(1), samples(0)
    assert good.fresh is not None
    soft = np.full((16, 2), 0.5, np.float32)
    for wrong, message in (
        (replace(good, fresh=good.fresh[0]), "must be uint8 of the shape"),
        (replace(good, fresh=good.fresh.astype(np.float32)), "must be uint8"),
        (replace(good, fresh=np.repeat(good.fresh, 4, axis=1)), "24 in each set, but 16 images to replace"),
        (replace(good, soft_labels=soft), "exactly where soft labels are"),
    ):
        with pytest.raises(ClassifierError, match=message):
            train(QUICK, wrong, val, ["a", "b"], tmp_path, device="cpu")
