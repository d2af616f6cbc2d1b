"""Crops put the eyes where the training images have them, and ready crops are what an import makes of them."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ganfer.data.decode import Target, decode
from ganfer.live.crop import FER, crop_face, crop_matrix
from ganfer.live.detect import open_detector
from ganfer.live.geometry import Face, inverse, moved, similarity, tilt, warp

LEVEL = np.array([[70, 80], [130, 80], [100, 110], [80, 139], [120, 139]], np.float64)


def rotated(points: np.ndarray, degrees: float, scale: float = 1.0, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    matrix = similarity((100, 100), (100 + shift[0], 100 + shift[1]), scale, -np.radians(degrees))
    return moved(points, matrix)


@pytest.mark.parametrize("degrees", [-40.0, 0.0, 15.0, 90.0])
@pytest.mark.parametrize("scale", [0.4, 3.0])
def test_the_eyes_land_in_the_same_place_however_the_face_is_turned(degrees: float, scale: float) -> None:
    landmarks = rotated(LEVEL, degrees, scale, (300, 200)).astype(np.float32)
    matrix = crop_matrix(Face((0, 0, 1, 1), landmarks, 1.0), 48)
    eyes = moved(landmarks[:2].astype(np.float64), matrix)
    assert eyes[:, 1] == pytest.approx([48 * FER.eyes_y] * 2, abs=0.05)
    assert eyes[:, 0] == pytest.approx([24 - 24 * FER.eye_distance, 24 + 24 * FER.eye_distance], abs=0.1)


def test_the_pixels_follow_the_landmarks() -> None:
    landmarks = rotated(LEVEL, 25, 2.0, (150, 120))
    picture = np.zeros((500, 500, 3), np.uint8)
    for x, y in landmarks[:2]:
        cv2.circle(picture, (round(x), round(y)), 9, (255, 255, 255), -1)
    crop = crop_face(picture, Face((0, 0, 1, 1), landmarks.astype(np.float32), 1.0), 96, 1)[0].astype(float)
    assert crop.shape == (96, 96)
    for half, x in ((crop[:, :48], 48 - 48 * FER.eye_distance), (crop[:, 48:], 48 + 48 * FER.eye_distance)):
        rows, columns = np.indices(half.shape)
        offset = 0 if half is not crop[:, 48:] and x < 48 else 48
        assert (half * columns).sum() / half.sum() + offset + 0.5 == pytest.approx(x, abs=0.8)
        assert (half * rows).sum() / half.sum() + 0.5 == pytest.approx(96 * FER.eyes_y, abs=0.8)


def test_a_turned_head_is_not_enlarged() -> None:
    profile = LEVEL.copy()
    profile[:2, 0] = (95, 110)  # the eyes come together
    front, side = (crop_matrix(Face((0, 0, 1, 1), points.astype(np.float32), 1.0), 48) for points in (LEVEL, profile))
    assert np.hypot(*side[:, 0]) == pytest.approx(np.hypot(*front[:, 0]), rel=0.05)


def test_tilt_is_the_angle_of_the_rotation() -> None:
    for degrees in (-60, -10, 0, 35):
        assert np.degrees(tilt(rotated(LEVEL, degrees))) == pytest.approx(degrees, abs=0.5)


def test_what_lies_beyond_the_picture_repeats_its_border() -> None:
    picture = np.full((60, 60, 3), 90, np.uint8)
    landmarks = (LEVEL - 90).astype(np.float32)  # most of the face is outside
    assert (crop_face(picture, Face((0, 0, 1, 1), landmarks, 1.0), 48, 3) == 90).all()


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    small = warp(stripes, similarity((400, 400), (20, 20), 0.05, 0.3), 40)
    assert abs(small.astype(int) - 127).max() < 20


def test_a_quarter_turn_moves_every_pixel_to_its_place() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    turned = warp(picture, similarity((15, 15), (15, 15), 1.0, -np.pi / 2), 30)
    assert (turned == np.rot90(picture, -1)).all()


def test_a_matrix_and_its_inverse() -> None:
    matrix = similarity((3, 4), (10, 20), 1.7, 0.4)
    assert moved(moved(LEVEL, matrix), inverse(matrix)) == pytest.approx(LEVEL)
    assert moved(np.array([[3.0, 4.0]]), matrix) == pytest.approx(np.array([[10, 20]]))


@pytest.mark.parametrize("size", [48, 32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(48, 48), (70, 52), (33, 60)])
def test_a_ready_crop_is_pixel_for_pixel_what_an_import_makes(shape: tuple[int, int], channels: int, size: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    (face,) = open_detector("none").detect(picture)
    imported = decode(out.getvalue(), Target(size, channels))
    assert (crop_face(picture, face, size, channels) == imported).all()
