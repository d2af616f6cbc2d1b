"""The drawn faces: determinism, meaning of the action units, long-tailed sets, refusal of bad values."""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from ganfer.data import drawn
from ganfer.data.drawn import EXPRESSIONS, ActionUnits, Face, draw_faces, drawn_set, long_tailed_counts, render
from ganfer.data.drawn.draws import Draws
from ganfer.data.drawn.expressions import UNITS, sample_units
from ganfer.data.drawn.mouth import Mouth, shape_mouth


def plain_face(**units: float) -> Face:
    """One person, from the front in even light, with the given action units on both sides."""
    muscles = ActionUnits(**units)
    return dataclasses.replace(Face.sample(3, "neutral", identity=11, difficulty=0.0), left=muscles, right=muscles)


@pytest.fixture(scope="module")
def many_faces() -> dict[str, list[Face]]:
    """120 faces of each expression, as parameters."""
    return {name: [Face.sample(seed, name) for seed in range(120)] for name in EXPRESSIONS}


def test_expressions_are_in_the_order_of_fer2013() -> None:
    assert EXPRESSIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def test_a_face_depends_on_its_seed_and_label_alone() -> None:
    seeds, labels = np.arange(40, 54), np.arange(14) % 7
    together = draw_faces(seeds, labels)
    order = np.random.default_rng(0).permutation(14)
    assert np.array_equal(draw_faces(seeds[order], labels[order]), together[order])
    assert np.array_equal(draw_faces(seeds[5:6], labels[5:6])[0], together[5])
    assert len({face.tobytes() for face in together}) == 14


def test_another_process_and_several_workers_draw_the_same_bytes() -> None:
    seeds, labels = np.arange(300), np.arange(300) % 7
    alone = draw_faces(seeds, labels, size=32, workers=1)
    assert np.array_equal(draw_faces(seeds, labels, size=32, workers=2), alone)


def test_parameters_stay_what_this_version_draws() -> None:
    """Sampled parameters are exact on every machine: a change here needs a new DRAWN_VERSION."""
    face = Face.sample(2024, "fear")
    found = (face.identity.eye_distance, face.left.inner_brow_raiser, face.pose.yaw, face.lighting.azimuth)
    assert drawn.DRAWN_VERSION == 1
    assert found == pytest.approx((0.4358423477230263, 0.997009415229318, -7.9074689654188015, -21.78833128218232))


def test_faces_of_one_identity_share_the_person_and_differ_in_the_rest() -> None:
    one, two = Face.sample(1, "happy", identity=5), Face.sample(2, "sad", identity=5)
    assert one.identity == two.identity
    assert one.pose != two.pose
    assert Face.sample(1, "happy").identity != Face.sample(2, "happy").identity
    assert Face.sample(5, "happy").identity != one.identity  # person 5 is not the person of seed 5


def test_the_label_asked_for_is_the_face_drawn() -> None:
    for index, name in enumerate(EXPRESSIONS):
        assert Face.sample(9, name) == Face.sample(9, index)
        assert Face.sample(9, index).expression == name


@pytest.mark.parametrize(
    ("expression", "unit"),
    [
        ("angry", "brow_lowerer"), ("disgust", "nose_wrinkler"), ("fear", "lip_stretcher"),
        ("happy", "lip_corner_puller"), ("sad", "lip_corner_depressor"), ("surprise", "outer_brow_raiser"),
    ],
)  # fmt: skip
def test_each_expression_leads_in_its_own_action_unit(
    many_faces: dict[str, list[Face]], expression: str, unit: str
) -> None:
    means = {name: np.mean([getattr(face.left, unit) for face in faces]) for name, faces in many_faces.items()}
    assert max(means, key=means.get) == expression
    assert means[expression] > 2.5 * means["neutral"]


def test_expressions_overlap_and_intensity_runs_from_subtle_to_strong(many_faces: dict[str, list[Face]]) -> None:
    smiles = np.array([face.left.lip_corner_puller for face in many_faces["happy"]])
    assert np.quantile(smiles, 0.08) < 0.35
    assert np.quantile(smiles, 0.9) > 0.7
    resting = [face.left.lip_corner_puller for face in many_faces["neutral"]]
    assert np.quantile(resting, 0.98) > np.quantile(smiles, 0.02)


def test_difficulty_zero_is_the_textbook_face() -> None:
    left, right = sample_units(Draws(1, 0), "surprise", 0.0)
    assert left == right
    face = Face.sample(8, "surprise", difficulty=0.0)
    assert (face.pose.yaw, face.scene.blur, face.scene.noise, face.scene.occluder) == (0.0, 0.0, 0.0, 0)
    assert face.left.inner_brow_raiser > 0.65


def test_action_units_move_the_mouth_as_facs_says() -> None:
    who = Face.sample(3, "neutral", identity=11).identity

    def mouth(**units: float) -> Mouth:
        return shape_mouth(who, ActionUnits(**units), ActionUnits(**units))

    rest, smile, frown, jaw = (
        mouth(),
        mouth(lip_corner_puller=1.0),
        mouth(lip_corner_depressor=1.0),
        mouth(jaw_drop=1.0),
    )
    assert smile.corners[0][1] < rest.corners[0][1] < frown.corners[0][1]  # y runs down
    assert smile.x[-1] > rest.x[-1]
    assert jaw.gap > 0.25 > 0.02 > rest.gap
    assert mouth(lip_tightener=1.0).lip_bottom[8] - rest.gap_bottom[8] < rest.lip_bottom[8] - rest.gap_bottom[8]
    lopsided = shape_mouth(who, ActionUnits(lip_corner_puller=1.0), ActionUnits())
    assert lopsided.corners[0][1] < lopsided.corners[1][1]


@pytest.mark.parametrize("unit", UNITS)
def test_every_action_unit_shows_in_the_picture_and_only_there(unit: str) -> None:
    rest, moved = (render(face, 96, 1)[0].astype(int) for face in (plain_face(), plain_face(**{unit: 1.0})))
    change = np.abs(moved - rest)
    assert change.max() > 25
    upper, lower = change[20:48].sum(), change[56:96].sum()
    if unit in (
        "inner_brow_raiser",
        "outer_brow_raiser",
        "brow_lowerer",
        "upper_lid_raiser",
        "lid_tightener",
        "eye_closure",
    ):
        assert upper > 5 * lower
    elif unit not in ("cheek_raiser", "nose_wrinkler"):
        assert lower > 5 * upper


def test_pose_turns_the_face_and_light_comes_from_its_side() -> None:
    face = plain_face()
    left, right = (
        render(dataclasses.replace(face, lighting=dataclasses.replace(face.lighting, azimuth=angle)), 64, 1)[0]
        for angle in (-60.0, 60.0)
    )
    brighter = slice(22, 42), slice(14, 26)
    assert left[brighter].mean() > right[brighter].mean() + 15
    turned = render(dataclasses.replace(face, pose=dataclasses.replace(face.pose, yaw=25.0)), 64, 1)
    assert np.abs(turned.astype(int) - render(face, 64, 1)).mean() > 4


@pytest.mark.parametrize("size", [32, 48, 100, 256, 512])
def test_a_face_is_the_same_picture_at_every_size(size: int) -> None:
    face = dataclasses.replace(Face.sample(12, "angry", identity=4, difficulty=0.0))
    picture = render(face, size, 3)
    assert picture.shape == (3, size, size)
    assert picture.dtype == np.uint8
    small = _thumbnail(picture.mean(axis=0))
    reference = _thumbnail(render(face, 128, 3).mean(axis=0))
    assert np.corrcoef(small.ravel(), reference.ravel())[0, 1] > 0.97


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture.astype(np.float32), (24, 24), interpolation=cv2.INTER_AREA)


def test_grey_is_the_luma_of_colour() -> None:
    face = Face.sample(21, "happy")
    colour, grey = render(face, 48, 3).astype(float), render(face, 48, 1)[0].astype(float)
    luma = np.tensordot((0.299, 0.587, 0.114), colour, axes=1)
    inside = (colour > 0).all(axis=0) & (colour < 255).all(axis=0)
    assert np.abs(luma - grey)[inside].max() <= 1.01


def test_the_cut_out_head_is_whole_opaque_inside_and_clear_outside() -> None:
    for seed in range(8):
        cut = drawn.render_rgba(Face.sample(seed, "happy"), 96)
        assert cut.shape == (96, 96, 4)
        alpha = cut[:, :, 3]
        assert alpha[40, 48] == 255
        assert not alpha[0].any()
        assert not alpha[20, [0, -1]].any()


def test_long_tailed_counts_have_fer2013s_shares() -> None:
    assert long_tailed_counts(28709) == dict(zip(EXPRESSIONS, (3995, 436, 4097, 7215, 4830, 3171, 4965), strict=True))
    counts = long_tailed_counts(5700)
    assert sum(counts.values()) == 5700
    assert counts["disgust"] == 87
    lifted = long_tailed_counts(1200, rarest=60)
    assert sum(lifted.values()) == 1200
    assert lifted["disgust"] == 60
    assert lifted["happy"] > lifted["neutral"] > lifted["surprise"] > 60


def test_a_set_has_its_counts_and_no_person_in_two_splits() -> None:
    data = drawn_set(70, seed=3, size=32, val=35, test=42, val_rarest=4, test_rarest=6, workers=1)
    assert data.images.shape == (147, 1, 32, 32)
    assert data.labels.dtype == data.groups.dtype == np.int64
    people = {name: set(data.groups[data.split == name]) for name in ("train", "val", "test")}
    assert not people["train"] & people["val"]
    assert not people["train"] & people["test"]
    assert not people["val"] & people["test"]
    assert any(len(set(data.labels[data.groups == person])) > 1 for person in people["train"])
    for name, total, rarest in (("train", 70, 1), ("val", 35, 4), ("test", 42, 6)):
        counts = np.bincount(data.labels[data.split == name], minlength=7)
        assert counts.tolist() == list(long_tailed_counts(total, rarest).values())
    again = drawn_set(70, seed=3, size=32, val=35, test=42, val_rarest=4, test_rarest=6, workers=1)
    assert np.array_equal(again.images, data.images)
    other = drawn_set(70, seed=4, size=32, val=35, test=42, val_rarest=4, test_rarest=6, workers=1)
    assert not np.array_equal(other.images, data.images)
    assert not set(other.groups) & set(data.groups)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Face.sample(-1, 0), r"seed .* -1"),
        (lambda: Face.sample(1.5, 0), r"seed .* 1\.5"),
        (lambda: Face.sample(0, "joy"), "'joy'.*angry"),
        (lambda: Face.sample(0, 7), r"0\.\.6.* 7"),
        (lambda: Face.sample(0, 0, identity=-2), "identity .* -2"),
        (lambda: Face.sample(0, 0, difficulty=3.0), r"difficulty .* 3\.0"),
        (lambda: ActionUnits(jaw_drop=1.2), r"jaw_drop .* 1\.2"),
        (lambda: render(Face.sample(0, 0), 16), r"32\.\.512.* 16"),
        (lambda: render(Face.sample(0, 0), 48, 2), "channels .* 2"),
        (lambda: draw_faces([1, 2], [0]), "got 1 for 2 seeds"),
        (lambda: draw_faces([1], [0], identities=[1, 2]), "identities .* got 2 for 1"),
        (lambda: draw_faces([1], [0], workers=0), "workers .* 0"),
        (lambda: draw_faces([1], [9]), r"0\.\.6.* 9"),
        (lambda: long_tailed_counts(3), "at least 7 .* 3"),
        (lambda: drawn_set(5700, val=2), r"val .* 2"),
    ],
)
def test_a_value_out_of_range_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_no_faces_are_an_empty_array() -> None:
    assert draw_faces([], [], size=40, channels=3).shape == (0, 3, 40, 40)


def test_a_nearest_mean_picture_does_not_solve_it() -> None:
    """The simplest linear rule on pixels stays far from the expressions: pose, light and person dominate the pixels."""
    labels = np.arange(490) % 7
    pixels = draw_faces(np.arange(490), labels, size=32, workers=1).reshape(490, -1).astype(np.float64)
    pixels = (pixels - pixels.mean(axis=1, keepdims=True)) / pixels.std(axis=1, keepdims=True)
    means = np.stack([pixels[:350][labels[:350] == label].mean(axis=0) for label in range(7)])
    nearest = ((pixels[350:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == labels[350:]).mean() < 0.5


def test_the_import_loads_no_torch() -> None:
    script = "import sys, ganfer.data.drawn; sys.exit('torch' in sys.modules or 'click' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_drawing_is_fast() -> None:
    """Far below the measured speed, so that only a change of kind fails it (the benchmark measures)."""
    draw_faces([0], [0])
    start = time.process_time()
    draw_faces(range(60), [seed % 7 for seed in range(60)], workers=1)
    assert time.process_time() - start < 60 / 100
