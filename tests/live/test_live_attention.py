"""Attention by hand-made meshes whose truth is known, and head, gaze and lids of drawn faces by the real landmarker."""

from pathlib import Path

import numpy as np
import pytest
from live_scenes import Placed, scene

from ganfer.errors import GanferError
from ganfer.live import mesh as mesh_module
from ganfer.live.attention import AttentionMeter
from ganfer.live.detect import Detector
from ganfer.live.faces import Attention, FaceResult
from ganfer.live.mesh import Landmarker, Mesh, eye_direction, head_angles, open_landmarker


def look(yaw: float = 0.0, pitch: float = 0.0, closed: float = 0.1, gaze: float = 0.0) -> Mesh:
    return Mesh(np.zeros((478, 2), np.float32), yaw, pitch, 0.0, gaze, 0.0, closed, {})


def follow(meter: AttentionMeter, looks: list[Mesh | None], step: float = 0.1, start: float = 0.0) -> list[Attention]:
    found = []
    for i, one in enumerate(looks):
        face = FaceResult((0, 0, 10, 10), None, 1.0, {"m": {"happy": 1.0}}, track=1, mesh=one)
        (judged,) = meter.update([face], start + i * step)
        assert judged.attention is not None
        found.append(judged.attention)
    return found


def test_who_sits_beside_the_camera_is_attentive_after_calibration() -> None:
    meter = AttentionMeter(calibrate_seconds=2.0)
    found = follow(meter, [look(yaw=30, pitch=-20)] * 30)
    assert not found[19].calibrated
    assert found[-1].calibrated
    assert {one.state for one in found} == {"attentive"}
    assert found[-1].yaw == pytest.approx(0)
    away = follow(meter, [look(yaw=0, pitch=-20)] * 20, start=3.0)
    assert away[-1].state == "looking away"
    assert away[-1].yaw == pytest.approx(-30, abs=0.5)


def test_without_calibration_the_camera_is_the_centre() -> None:
    found = follow(AttentionMeter(calibrate_seconds=0.0), [look(yaw=30)] * 3)
    assert [one.state for one in found] == ["looking away"] * 3


def test_faces_without_numbers_are_judged_each_for_itself() -> None:
    looks = [look(), look(yaw=40), look(yaw=-40), look()]
    faces = [FaceResult((0, 0, 9, 9), None, 1.0, {"m": {"happy": 1.0}}, mesh=one) for one in looks]
    found = [face.attention for face in AttentionMeter(calibrate_seconds=0.0).update(faces, 0.0)]
    assert [one.state if one else "" for one in found] == ["attentive", "looking away", "looking away", "attentive"]
    assert all(one and one.calibrated for one in found)


def test_calibration_takes_no_one_who_never_faces_the_screen() -> None:
    meter = AttentionMeter(calibrate_seconds=1.0)
    assert follow(meter, [look(yaw=80)] * 30)[-1].state == "looking away"


def test_eyes_and_head_count_together_and_a_glance_does_not() -> None:
    meter = AttentionMeter(calibrate_seconds=1.0)
    follow(meter, [look()] * 15)
    assert follow(meter, [look(gaze=1.0)], start=1.5)[-1].state == "attentive"
    assert follow(meter, [look(gaze=1.0)] * 15, start=1.6)[-1].state == "looking away"
    assert follow(meter, [look(yaw=25, gaze=-0.8)] * 20, start=3.2)[-1].state == "attentive"  # eyes stay on the screen


def test_profile_without_landmarks_is_looking_away() -> None:
    (found,) = follow(AttentionMeter(), [None])
    assert (found.state, found.yaw, found.closed) == ("looking away", None, None)


def test_blinks_are_counted_and_sleep_is_not_attention() -> None:
    meter = AttentionMeter(calibrate_seconds=1.0)
    open_, shut = look(), look(closed=0.8)
    found = follow(meter, [open_] * 15 + ([shut] * 2 + [open_] * 8) * 3)
    assert found[-1].blinks == 3
    assert {one.state for one in found} == {"attentive"}
    asleep = follow(meter, [shut] * 25, start=4.5)
    assert asleep[5].state == "attentive"
    assert asleep[-1].state == "looking away"
    assert follow(meter, [open_], start=7.0)[-1].blinks == 3  # that was no blink


def test_at_a_frame_per_second_blinks_are_not_counted() -> None:
    assert follow(AttentionMeter(), [look()] * 5, step=1.0)[-1].blinks is None


def test_head_angles_of_known_rotations() -> None:
    def turned(axis: str, degrees: float) -> np.ndarray:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        rotation = {"y": [[c, 0, s], [0, 1, 0], [-s, 0, c]], "x": [[1, 0, 0], [0, c, -s], [0, s, c]]}
        matrix = np.eye(4)
        matrix[:3, :3] = 3.0 * np.array(rotation.get(axis, [[c, s, 0], [-s, c, 0], [0, 0, 1]]))
        return matrix

    assert head_angles(turned("y", 25)) == pytest.approx((25, 0, 0))
    assert head_angles(turned("x", -15)) == pytest.approx((0, 15, 0))
    assert head_angles(turned("z", 20)) == pytest.approx((0, 0, 20))


def test_eyes_to_the_pictures_right_are_positive() -> None:
    assert eye_direction({"eyeLookOutLeft": 0.8, "eyeLookInRight": 0.6}) == pytest.approx((0.7, 0))
    assert eye_direction({"eyeLookDownLeft": 0.5, "eyeLookDownRight": 0.5}) == pytest.approx((0, -0.5))


def meshes(yunet: Detector, landmarker: Landmarker, heads: list[Placed]) -> list[Mesh]:
    found = []
    for head in heads:
        picture = scene([head], 480, 420)
        (face,) = yunet.detect(picture)
        one = landmarker.look(picture, face)
        assert one is not None
        found.append(one)
    return found


def test_a_drawn_head_is_seen_as_turned_as_it_is(yunet: Detector, landmarker: Landmarker) -> None:
    yaws = [-30.0, -15.0, 0.0, 15.0, 30.0]
    heads = [Placed(seed, "neutral", 60, 20, 360, yaw=yaw) for seed in (30, 33) for yaw in yaws]
    seen = np.array([mesh.yaw for mesh in meshes(yunet, landmarker, heads)]).reshape(2, 5).mean(axis=0)
    assert (np.diff(seen) > 5).all()
    assert seen == pytest.approx(np.array(yaws) * 0.8, abs=8)


def test_drawn_eyes_that_look_aside_and_closed_lids_are_seen(yunet: Detector, landmarker: Landmarker) -> None:
    at = (60, 20, 360)
    left, right, shut = meshes(
        yunet,
        landmarker,
        [
            Placed(30, "neutral", *at, gaze=-0.7),
            Placed(30, "neutral", *at, gaze=0.7),
            Placed(30, "neutral", *at, closed=True),
        ],
    )
    assert left.gaze_x < -0.3 < 0.3 < right.gaze_x
    assert shut.closed > left.closed + 0.2


def test_landmarks_lie_on_a_small_tilted_face_of_a_scene(yunet: Detector, landmarker: Landmarker) -> None:
    picture = scene([Placed(30, "neutral", 300, 200, 150, roll=25)])
    (face,) = yunet.detect(picture)
    mesh = landmarker.look(picture, face)
    assert mesh is not None
    assert face.landmarks is not None
    assert np.abs(mesh.points[[468, 473]].mean(axis=0) - face.landmarks[:2].mean(axis=0)).max() < 8  # the irises
    assert mesh.roll == pytest.approx(25, abs=8)


def test_a_face_without_landmarks_is_none(landmarker: Landmarker) -> None:
    from ganfer.live.geometry import Face

    assert landmarker.look(np.full((200, 200, 3), 128, np.uint8), Face((50, 50, 100, 100), None, 1.0)) is None


def test_a_wrong_model_is_said_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="needs the extra gaze")
    (tmp_path / "junk.task").write_bytes(b"no model")
    with pytest.raises(GanferError, match="is no face landmarker that MediaPipe reads") as failure:
        open_landmarker(tmp_path / "junk.task")
    assert "\n" not in str(failure.value)


def test_without_mediapipe_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}", name="mediapipe")

    monkeypatch.setattr(mesh_module.importlib, "import_module", absent)
    with pytest.raises(GanferError, match=r"pip install 'ganfer\[gaze\]'"):
        open_landmarker()
