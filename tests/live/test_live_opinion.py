"""The landmarks' opinion: learned, pooled by hand-worked numbers, weighed on held-out faces, kept in a file."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from live_scenes import Placed, scene

from ganfer.data.drawn import draw_faces
from ganfer.errors import DataError
from ganfer.live.mesh import Landmarker, Mesh
from ganfer.live.opinion import best_weight, blendshapes_of, fit, load_opinion, pooled, save_opinion

NAMES = ("happy", "sad", "surprise")
SHAPES = ("frown", "jawOpen", "smile")


def shapes(labels: np.ndarray, seed: int = 0) -> list[dict[str, float] | None]:
    """Blendshapes that show the class: smile for happy, frown for sad, an open jaw for surprise."""
    noise = np.random.default_rng(seed).random((len(labels), 3)) * 0.5
    means = np.array([[0, 0, 0.8], [0.8, 0, 0], [0, 0.8, 0]])
    return [dict(zip(SHAPES, row.tolist(), strict=True)) for row in means[labels] + noise]


def mesh(values: dict[str, float]) -> Mesh:
    return Mesh(np.zeros((478, 2), np.float32), 0, 0, 0, 0, 0, 0, values)


def test_pooling_by_hand() -> None:
    a, b = np.array([0.8, 0.2]), np.array([0.2, 0.8])
    assert pooled(a, b, 0.0) == pytest.approx(a)
    assert pooled(a, b, 0.5) == pytest.approx([0.5, 0.5])
    assert pooled(a, b, 1.0) == pytest.approx(b)
    assert pooled(np.stack((a, b)), np.stack((b, b)), 0.5).sum(axis=1) == pytest.approx([1, 1])


def test_it_learns_what_the_shapes_show_and_skips_faces_without() -> None:
    labels = np.arange(120) % 3
    found = shapes(labels)
    found[::10] = [None] * 12
    opinion = fit(found, labels, NAMES)
    fresh = np.arange(60) % 3
    guesses = [opinion.probabilities(one or {}).argmax() for one in shapes(fresh, seed=1)]
    assert (np.array(guesses) == fresh).mean() > 0.9


def test_two_classes_are_learned_too() -> None:
    labels = np.arange(80) % 2
    opinion = fit(shapes(labels), labels, NAMES[:2])
    assert opinion.probabilities({"smile": 1.0}) == pytest.approx([1, 0], abs=0.2)
    assert opinion.probabilities({"frown": 1.0}).sum() == pytest.approx(1)


def test_fusing_keeps_the_classifiers_order_and_sums_to_one() -> None:
    opinion = fit(shapes(np.arange(90) % 3), np.arange(90) % 3, NAMES)
    scores = {"surprise": 0.4, "happy": 0.3, "sad": 0.3}
    fused = opinion.fused(scores, mesh({"smile": 0.9}))
    assert list(fused) == list(scores)
    assert sum(fused.values()) == pytest.approx(1)
    assert max(fused, key=fused.__getitem__) == "happy"
    assert dataclasses.replace(opinion, weight=0.0).fused(scores, mesh({"smile": 0.9})) == pytest.approx(scores)
    with pytest.raises(DataError, match="Leave --landmarks out"):
        opinion.fused({"happy": 0.5, "angry": 0.5}, mesh({}))


def test_a_worthless_opinion_gets_no_weight_and_a_good_one_some() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    good = np.eye(3)[labels] * 0.6 + 0.4 / 3
    noise = rng.dirichlet((1, 1, 1), 400)
    assert best_weight(good, noise, labels) == 0.0
    other = pooled(np.eye(3)[labels] * 0.5 + 0.5 / 3, noise, 0.3)
    assert best_weight(pooled(good, noise[::-1], 0.5), other, labels) >= 0.3


def test_too_few_faces_are_said() -> None:
    labels = np.arange(60) % 3
    found = [None if label == 1 else one for one, label in zip(shapes(labels), labels, strict=True)]
    with pytest.raises(DataError, match=r"only 40 training images, in none of sad\. Leave --landmarks out"):
        fit(found, labels, NAMES)


def test_it_is_kept_in_a_file(tmp_path: Path) -> None:
    opinion = fit(shapes(np.arange(90) % 3), np.arange(90) % 3, NAMES)
    save_opinion(tmp_path / "o.json", opinion, {"validation_faces": 3})
    again = load_opinion(tmp_path / "o.json")
    assert again.class_names == NAMES
    assert again.probabilities({"smile": 0.7}) == pytest.approx(opinion.probabilities({"smile": 0.7}))
    (tmp_path / "o.json").write_text('{"format": 1, "class_names": ["a"]}')
    with pytest.raises(DataError, match="is damaged"):
        load_opinion(tmp_path / "o.json")


def test_blendshapes_of_drawn_crops_tell_a_smile(landmarker: Landmarker) -> None:
    crops = draw_faces([1, 2, 3, 4], ["happy", "happy", "sad", "sad"], size=64, channels=1, difficulty=0.2)
    found = blendshapes_of(crops, landmarker)
    smiles = [one["mouthSmileLeft"] + one["mouthSmileRight"] if one else None for one in found]
    assert all(smile is not None for smile in smiles)
    assert min(smiles[:2]) > max(smiles[2:])  # type: ignore[type-var]


def test_a_scene_is_no_crop(landmarker: Landmarker) -> None:
    picture = scene([Placed(30, "happy", 200, 150, 40)], 480, 480)
    assert blendshapes_of(picture.transpose(2, 0, 1)[None], landmarker) == [None]
