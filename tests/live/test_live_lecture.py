"""A drawn lecture's attention, and what drawn training faces teach the landmarks' opinion, with the real networks."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_scenes import Placed, scene
from live_stubs import ByBrightness, rows_of
from tiny import add_set

from ganfer.config import LiveConfig
from ganfer.data.drawn import draw_faces
from ganfer.data.imageset import ImageSet
from ganfer.errors import DataError
from ganfer.live.analyse import Analyser
from ganfer.live.detect import Detector
from ganfer.live.mesh import Landmarker
from ganfer.live.predict import Request, predict
from ganfer.live.sources import find_sources
from ganfer.live.stage import need_opinion
from ganfer.workspace import Workspace

NAMES = ("happy", "sad", "surprise")


def test_who_turns_away_and_who_stays_is_seen_per_person(
    tmp_path: Path, yunet: Detector, landmarker: Landmarker
) -> None:
    path = tmp_path / "lecture.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 2, (640, 360))
    for number in range(12):
        turned = 38.0 if number >= 6 else 0.0
        heads = [Placed(30, "neutral", 10, 20, 300, yaw=turned), Placed(33, "neutral", 330, 20, 300)]
        writer.write(np.ascontiguousarray(scene(heads, 640, 360)[:, :, ::-1]))
    writer.release()
    analyser = Analyser(ByBrightness(size=48), yunet, landmarker=landmarker)
    config = LiveConfig(calibrate=1.0)
    predict(analyser, find_sources([path]), config, Request(out=tmp_path / "out", attention=True, pictures=False))
    rows = rows_of(tmp_path / "out" / "faces.csv")
    states: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        states[float(row["x"]) < 320].append(row["attention"])
    assert states[False] == ["attentive"] * 12
    assert states[True][:6] == ["attentive"] * 6
    assert states[True][8:] == ["looking away"] * 4
    assert {row["person"] for row in rows} == {"1", "2"}


def drawn_workspace(root: Path) -> Workspace:
    """12 training and 4 validation faces of each of three classes."""
    labels = np.tile(np.arange(3), 16)
    images = draw_faces(range(48), [NAMES[k] for k in labels], size=48, channels=1, difficulty=0.3, workers=1)
    split = np.array(["train"] * 36 + ["val"] * 12)
    nothing = np.full(48, "")
    workspace = Workspace(root)
    ids = np.array([f"face{i}" for i in range(48)])
    add_set(workspace, ImageSet(images, labels, NAMES, split, nothing, np.full(48, "real"), ids))
    return workspace


def test_the_landmarks_opinion_is_learned_once_and_weighed(
    tmp_path: Path, landmarker: Landmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = drawn_workspace(tmp_path / "work")
    blind = ByBrightness(NAMES[:2], size=48)
    with pytest.raises(Exception, match="train a classifier on this data"):
        need_opinion(workspace, blind, landmarker)

    class Blind(ByBrightness):
        def logits(self, images: np.ndarray, *, tta: str = "none", batch_size: int = 512) -> np.ndarray:
            return np.zeros((len(images), 3), np.float32)

    opinion = need_opinion(workspace, Blind(NAMES, size=48), landmarker)
    assert opinion.weight == pytest.approx(0.6)  # beside a classifier that sees nothing, the most there is
    (file,) = (workspace.root / "landmarks").iterdir()
    measured = json.loads(file.read_text())["measured"]
    assert measured["accuracy_of_landmarks"] > 0.6
    assert measured["accuracy_of_classifier"] < 0.5
    monkeypatch.setattr(landmarker, "look", lambda *values: pytest.fail("it was learned already"))
    again = need_opinion(workspace, Blind(NAMES, size=48), landmarker)
    assert again.weight == opinion.weight


def test_without_data_there_is_no_opinion(tmp_path: Path, landmarker: Landmarker) -> None:
    with pytest.raises(DataError, match="--landmarks learns from the data's training images"):
        need_opinion(Workspace(tmp_path / "none"), ByBrightness(NAMES), landmarker)
