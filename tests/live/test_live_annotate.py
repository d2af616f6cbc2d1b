"""Marked pictures: the frame, the panel beside the face, emoji that differ, and rows of pixels that stay untouched."""

import numpy as np
import pytest

from ganfer.data.drawn import EXPRESSIONS
from ganfer.live.annotate import annotate
from ganfer.live.emoji import COLOURS, colour, emoji
from ganfer.live.faces import Attention, FaceResult

AT_THE_BORDER = [
    *((-30, -30, 80, 80), (560, 360, 80, 80), (0, 0, 600, 400)),
    *((590, 10, 5, 5), (-500, 0, 20, 20)),
]


def face(x: float, y: float, size: float = 60, **more: object) -> FaceResult:
    scores = {"happy": 0.7, "sad": 0.3}
    return FaceResult((x, y, size, size), None, 0.9, {"model": scores}, **more)  # type: ignore[arg-type]


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


def test_the_original_is_not_touched_and_without_faces_nothing_changes() -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    assert (annotate(picture, []) == picture).all()
    marked = annotate(picture, [face(100, 50)])
    assert (picture == 90).all()
    assert changed(picture, marked).any()


def test_the_face_itself_stays_visible() -> None:
    picture = np.full((400, 600, 3), 90, np.uint8)
    faces = [face(100, 100, 90), face(300, 120, 90), face(220, 260, 90)]
    touched = changed(picture, annotate(picture, faces))
    for one in faces:
        x, y, width, height = (round(value) for value in one.box)
        middle = touched[y + 15 : y + height - 15, x + 15 : x + width - 15]
        assert middle.mean() < 0.05


@pytest.mark.parametrize("box", AT_THE_BORDER)
def test_faces_at_and_beyond_the_border_are_marked_without_harm(box: tuple[float, float, float, float]) -> None:
    picture = np.full((400, 600, 3), 90, np.uint8)
    one = FaceResult(box, None, 0.9, {"model": {"happy": 1.0}})
    assert annotate(picture, [one]).shape == picture.shape
    assert annotate(np.zeros((9, 7, 3), np.uint8), [one]).shape == (9, 7, 3)


def test_crowds_get_short_tags() -> None:
    picture = np.full((240, 320, 3), 90, np.uint8)
    crowd = [face(10 + 45 * i, 20 + 60 * j, 40) for i in range(6) for j in range(3)]
    touched = changed(picture, annotate(picture, crowd))
    assert touched.mean() < 0.75


def test_attention_and_two_models_change_the_panel() -> None:
    picture = np.full((400, 600, 3), 90, np.uint8)
    plain = annotate(picture, [face(100, 100)])
    away = Attention("looking away", 30.0, 0.0, 0.1, 0, True)
    with_attention = annotate(picture, [face(100, 100, attention=away)])
    both = FaceResult((100, 100, 60, 60), None, 0.9, {"a": {"happy": 0.7, "sad": 0.3}, "b": {"happy": 0.2, "sad": 0.8}})
    assert changed(plain, with_attention).any()
    assert changed(picture, annotate(picture, [both])).sum() > changed(picture, plain).sum()


def test_every_expression_has_its_own_emoji_and_colour() -> None:
    names = [*EXPRESSIONS, "contempt", "embarrassed"]
    drawn = [emoji(name, 48).astype(int) for name in names]
    for i, one in enumerate(drawn):
        assert one.shape == (48, 48, 4)
        assert one[0, 0, 3] == 0
        assert one[24, 24, 3] == 255
        assert all(np.abs(one - other)[14:42, 14:34].max() > 40 for other in drawn[:i]), names[i]  # the face itself
    assert len({colour(name) for name in names}) == len(COLOURS)
    assert colour("bored") == colour("bored")
    assert emoji("bored", 48).shape == (48, 48, 4)
