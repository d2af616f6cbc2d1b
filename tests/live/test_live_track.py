"""People keep their numbers while they move, cross, vanish and come back; scores are smoothed by the clock."""

from collections.abc import Sequence

import numpy as np
import pytest

from ganfer.live.faces import FaceResult
from ganfer.live.geometry import Box
from ganfer.live.track import Tracker


def face(x: float, y: float = 100, size: float = 50, happy: float = 1.0) -> FaceResult:
    return FaceResult((x, y, size, size), None, 0.9, {"model": {"happy": happy, "sad": 1 - happy}})


def numbers(tracker: Tracker, boxes: Sequence[Box | FaceResult], seconds: float) -> list[int | None]:
    faces = [box if isinstance(box, FaceResult) else face(*box[:3]) for box in boxes]
    return [found.track for found in tracker.update(faces, seconds)]


def test_two_people_who_pass_each_other_keep_their_numbers() -> None:
    tracker = Tracker()
    for step in range(41):
        left, right = face(20 * step), face(800 - 20 * step, y=140)
        order = [left, right] if step % 2 else [right, left]
        expected = [1, 2] if step % 2 else [2, 1]
        if step == 0:
            tracker.update([left, right], 0.0)
            continue
        assert numbers(tracker, order, step / 10) == expected, step


def test_a_gap_is_bridged_and_a_long_absence_is_not() -> None:
    tracker = Tracker(forget_seconds=2.0)
    assert numbers(tracker, [face(100)], 0.0) == [1]
    assert numbers(tracker, [], 0.5) == []
    assert numbers(tracker, [face(110)], 1.5) == [1]
    for second in (2.0, 2.5, 3.0, 3.5, 4.0):
        tracker.update([], second)
    assert numbers(tracker, [face(110)], 4.5) == [2]


def test_sampled_once_a_minute_a_person_keeps_the_number() -> None:
    tracker = Tracker(forget_seconds=2.0)
    assert [numbers(tracker, [face(100 + 5 * i)], 60.0 * i) for i in range(4)] == [[1]] * 4


def test_who_speeds_up_is_expected_further_on() -> None:
    tracker = Tracker()
    for step, x in enumerate((0, 50, 110, 180, 250)):  # at last 70 pixels a frame, beyond the reach of a still face
        assert numbers(tracker, [face(x)], step / 10) == [1]


def test_one_far_away_or_of_another_size_is_someone_else() -> None:
    tracker = Tracker()
    tracker.update([face(100)], 0.0)
    assert numbers(tracker, [face(300)], 0.1) == [2]
    assert numbers(tracker, [face(300, size=150)], 0.2) == [3]


def test_scores_follow_the_time_constant() -> None:
    tracker = Tracker(smooth_seconds=0.5)
    tracker.update([face(100, happy=0.0)], 0.0)
    (found,) = tracker.update([face(100, happy=1.0)], 0.5)
    assert found.scores["happy"] == pytest.approx(1 - np.exp(-1))
    assert sum(found.scores.values()) == pytest.approx(1)
    halves = Tracker(smooth_seconds=0.5)
    halves.update([face(100, happy=0.0)], 0.0)
    halves.update([face(100, happy=1.0)], 0.25)
    (same,) = halves.update([face(100, happy=1.0)], 0.5)
    assert same.scores["happy"] == pytest.approx(found.scores["happy"])  # twice as many frames, the same clock


def test_without_smoothing_scores_stay_as_they_are() -> None:
    tracker = Tracker(smooth_seconds=0.0)
    tracker.update([face(100, happy=0.0)], 0.0)
    (found,) = tracker.update([face(100, happy=1.0)], 0.1)
    assert found.scores == {"happy": 1.0, "sad": 0.0}


def test_a_video_that_is_wound_back_starts_anew() -> None:
    tracker = Tracker()
    tracker.update([face(100)], 10.0)
    assert numbers(tracker, [face(100)], 1.0) == [2]
