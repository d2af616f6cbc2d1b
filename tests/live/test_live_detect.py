"""Faces are found where they are: small, large, tilted, several; and wrong models are said in one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from live_scenes import Placed, scene

from ganfer.errors import GanferError
from ganfer.live.detect import Detector, open_detector
from ganfer.live.geometry import Face, merge, overlap, tilt


def near(face: Face, head: Placed) -> bool:
    x, y, width, height = face.box
    return float(np.hypot(x + width / 2 - head.middle[0], y + height / 2 - head.middle[1])) < 0.12 * head.side


def test_every_drawn_face_of_a_scene_is_found_where_it_is(yunet: Detector) -> None:
    heads = [
        Placed(20, "happy", 20, 20, 300),
        Placed(21, "angry", 350, 30, 160),
        Placed(22, "surprise", 500, 250, 130),
        Placed(23, "sad", 380, 330, 90),
    ]
    found = yunet.detect(scene(heads))
    assert len(found) == len(heads)
    assert all(any(near(face, head) for face in found) for head in heads)
    assert [face.score for face in found] == sorted((face.score for face in found), reverse=True)


@pytest.mark.parametrize("side", [64, 400])
def test_a_face_is_found_in_a_large_photo_at_any_size(yunet: Detector, side: int) -> None:
    head = Placed(30, "neutral", 100, 80, side)
    photo = cv2.resize(scene([head], 640, 480), (3840, 2880), interpolation=cv2.INTER_LINEAR)
    (face,) = yunet.detect(photo)
    assert face.box[0] + face.box[2] / 2 == pytest.approx(head.middle[0] * 6, abs=side)
    assert face.landmarks is not None
    inside = (face.landmarks - face.box[:2]) / face.box[2:]
    assert (inside > -0.1).all()
    assert (inside < 1.1).all()


def test_one_that_fills_the_frame_is_found(yunet: Detector) -> None:
    close = scene([Placed(31, "happy", 0, 0, 480)], 480, 480)[110:400, 110:370]
    (face,) = yunet.detect(cv2.resize(close, (1560, 1740)))
    assert face.box[2] > 700


@pytest.mark.parametrize("roll", [-40, -20, 0, 20, 40])
def test_the_tilt_of_a_face_is_found(yunet: Detector, roll: float) -> None:
    angles = []
    for seed in (33, 34, 36):
        (face,) = yunet.detect(scene([Placed(seed, "neutral", 200, 100, 260, roll=roll)]))
        assert face.landmarks is not None
        angles.append(np.degrees(tilt(face.landmarks)))
    assert np.mean(angles) == pytest.approx(roll, abs=9)


def test_small_tilted_heads_of_a_photo_are_found_where_they_are(yunet_file: Path) -> None:
    detector = open_detector(model=yunet_file, tilted=True)
    heads = [Placed(30 + i, "neutral", 40 + 150 * i, 60 + 90 * i, 64, roll=(-30, 30)[i % 2]) for i in range(4)]
    found = detector.detect(scene(heads))
    assert len(found) == len(heads)
    assert all(any(near(face, head) for face in found) for head in heads)
    for face in found:
        assert face.landmarks is not None
        inside = (face.landmarks - face.box[:2]) / face.box[2:]
        assert (inside > -0.15).all()
        assert (inside < 1.15).all()
    assert detector.detect(scene([])) == []


def test_nothing_is_found_in_an_empty_room_or_a_speck(yunet: Detector) -> None:
    assert yunet.detect(scene([])) == []
    assert yunet.detect(np.zeros((1, 1, 3), np.uint8)) == []
    assert yunet.detect(np.zeros((3, 900, 3), np.uint8)) == []


def test_the_astronaut_of_scikit_image_is_found(yunet: Detector) -> None:
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    (face,) = yunet.detect(data.astronaut())
    assert overlap(face.box, (178, 63, 90, 113)) > 0.8


def test_whole_pictures_are_ready_crops() -> None:
    (face,) = open_detector("none").detect(np.zeros((40, 60, 3), np.uint8))
    assert face.box == (10, 0, 40, 40)
    assert face.ready


def test_of_overlapping_findings_the_surest_stays() -> None:
    faces = [Face((0, 0, 10, 10), None, 0.8), Face((1, 1, 10, 10), None, 0.9), Face((30, 0, 10, 10), None, 0.7)]
    assert [face.score for face in merge(faces)] == [0.9, 0.7]
    assert overlap((0, 0, 2, 2), (1, 1, 2, 2)) == pytest.approx(1 / 7)
    assert overlap((0, 0, 2, 2), (2, 0, 2, 2)) == 0


def test_wrong_settings_and_models_are_said_in_one_line(tmp_path: Path, yunet_file: Path) -> None:
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"no network")
    for call, said in (
        (lambda: open_detector("yunett"), "Did you mean 'yunet'"),
        (lambda: open_detector(model=tmp_path / "absent.onnx"), "absent.onnx is no file"),
        (lambda: open_detector(model=junk), "is no YuNet model"),
        (lambda: open_detector(model=yunet_file, min_score=1.0), "between 0 and 1"),
    ):
        with pytest.raises(GanferError, match=said) as failure:
            call()
        assert "\n" not in str(failure.value)


def test_a_picture_of_another_shape_is_refused(yunet: Detector) -> None:
    with pytest.raises(ValueError, match="uint8 RGB"):
        yunet.detect(np.zeros((10, 10), np.uint8))
