"""`ganfer predict` from files to files: scores in rows, pictures marked, several sources, models and failures."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from live_scenes import Placed, scene
from live_stubs import ByBrightness, rows_of
from PIL import Image
from starting import stand_in
from tiny import add_set, fast_config, tiny_set

from ganfer.cli.main import cli
from ganfer.config import LiveConfig
from ganfer.errors import DataError, GanferError
from ganfer.live import predict as predict_module
from ganfer.live.analyse import Analyser
from ganfer.live.detect import Detector
from ganfer.live.films import film
from ganfer.live.geometry import Face
from ganfer.live.predict import Request, predict
from ganfer.live.sources import MediaSource, find_sources
from ganfer.live.videos import Frame
from ganfer.pipeline import Project
from ganfer.results import Result
from ganfer.workspace import Workspace


class FourBoxes:
    """A detector that says there is a face in each bright quarter of a picture."""

    name = "quarters"

    def detect(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[0] // 2, image.shape[1] // 2
        corners = [(x, y) for y in (0, height) for x in (0, width) if image[y + 2, x + 2].max() > 20]
        return [Face((float(x), float(y), float(width), float(height)), None, 0.9) for x, y in corners]


def quarters(*values: int, side: int = 60) -> np.ndarray:
    picture = np.zeros((side, side, 3), np.uint8)
    for value, (y, x) in zip(values, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=False):
        picture[y * side // 2 : (y + 1) * side // 2, x * side // 2 : (x + 1) * side // 2] = value
    return picture


def test_faces_of_all_frames_go_through_each_model_together_and_come_back_in_place() -> None:
    first, second = ByBrightness(), ByBrightness(("sad", "happy"), size=24)
    analyser = Analyser({"before": first, "after": second}, FourBoxes())
    found = analyser.analyse([quarters(250, 30), quarters(), quarters(40, 0, 0, 240)])
    assert [[face.label for face in faces] for faces in found] == [["happy", "sad"], [], ["sad", "happy"]]
    assert (first.calls, second.calls) == ([4], [4])
    assert found[0][0].by_model["after"]["sad"] == pytest.approx(found[0][0].by_model["before"]["happy"], abs=0.01)
    assert found[2][1].box == (30.0, 30.0, 30.0, 30.0)
    assert sum(found[0][0].scores.values()) == pytest.approx(1)


def test_small_faces_are_left_out_on_demand() -> None:
    analyser = Analyser(ByBrightness(), FourBoxes(), min_face=31)
    assert analyser.analyse([quarters(250)]) == [[]]
    assert Analyser(ByBrightness(), FourBoxes()).analyse([]) == []


def run(sources: Sequence[object], out: Path, analyser: Analyser | None = None, **request: object) -> Result:
    analyser = analyser or Analyser(ByBrightness(), FourBoxes())
    opened = find_sources([str(source) for source in sources])
    return predict(analyser, opened, LiveConfig(), Request(out=out, **request))  # type: ignore[arg-type]


def test_a_photos_rows_picture_and_summary(tmp_path: Path) -> None:
    Image.fromarray(quarters(250, 30, side=400)).save(tmp_path / "photo.png")
    result = run([tmp_path / "photo.png"], tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "faces.csv")
    found = [(row["expression"], row["x"], row["person"]) for row in rows]
    assert found == [("happy", "0.0", ""), ("sad", "200.0", "")]
    assert float(rows[0]["p_happy"]) == pytest.approx(float(rows[0]["confidence"]))
    saved = json.loads((tmp_path / "out" / "faces.json").read_text())
    assert saved["classes"] == ["happy", "sad"]
    assert [face["scores"]["classifier"]["happy"] > 0.5 for face in saved["faces"]] == [True, False]
    marked = np.asarray(Image.open(tmp_path / "out" / "photo.faces.jpg"))
    assert marked.shape == (400, 400, 3)
    assert np.abs(marked.astype(int) - quarters(250, 30, side=400)).max() > 100
    assert (result.figures["faces"], result.figures["people"]) == (2, 2)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["models"] == {"classifier": "digest"}
    assert any("happy" in line for line in result.lines)


def make_film(path: Path, values: Sequence[int], rate: int = 10) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (240, 240))
    for value in values:
        writer.write(quarters(value, side=240))
    writer.release()
    return path


def test_a_video_is_tracked_smoothed_and_marked(tmp_path: Path) -> None:
    clip = make_film(tmp_path / "film.avi", [250] * 10 + [30] * 10)
    run([clip], tmp_path / "out", log=tmp_path / "log.csv")
    rows = rows_of(tmp_path / "log.csv")
    assert {row["person"] for row in rows} == {"1"}
    happy = [float(row["p_happy"]) for row in rows]
    assert happy[9] > 0.95
    assert 0.7 < happy[10] < 0.9  # smoothed over half a second
    assert happy[19] < 0.2
    copy = list(find_sources([tmp_path / "out" / "film.faces.mp4"])[0].frames())
    assert len(copy) == 20
    assert copy[0].image.shape == (240, 240, 3)


def test_every_and_seconds_limit_what_is_looked_at(tmp_path: Path) -> None:
    clip = make_film(tmp_path / "film.avi", [250] * 30)
    run([clip], tmp_path / "out", every=0.5, seconds=1.5)
    assert [row["seconds"] for row in rows_of(tmp_path / "out" / "faces.csv")] == ["0.0", "0.5", "1.0"]
    (copy,) = find_sources([tmp_path / "out" / "film.faces.mp4"])
    assert len(list(copy.frames())) == copy.length() == 3
    assert copy.fps == pytest.approx(2)


def test_a_frame_stays_in_the_copy_until_the_next_ones_time(tmp_path: Path) -> None:
    with film(tmp_path / "copy.mp4", 10) as out:
        for value, seconds in ((30, 0.0), (200, 0.5), (90, 0.6)):
            out.add(quarters(value, value, value, value, side=64), seconds)
    (copy,) = find_sources([tmp_path / "copy.mp4"])
    shown = [(frame.seconds, int(frame.image.mean())) for frame in copy.frames()]
    assert [seconds for seconds, _ in shown] == pytest.approx([0.0, 0.5, 0.6], abs=0.001)
    assert [value for _, value in shown] == pytest.approx([30, 200, 90], abs=8)


def test_names_that_are_no_utf8_are_read_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "f\udcffolder"
    folder.mkdir()
    Image.fromarray(quarters(250)).save(tmp_path / "plain.png")
    (tmp_path / "plain.png").rename(folder / "caf\udce9.png")
    make_film(tmp_path / "plain.avi", [250, 250]).rename(folder / "fil\udce9.avi")
    result = run([folder / "caf\udce9.png", folder / "fil\udce9.avi"], tmp_path / "out")
    assert str(result)
    rows = rows_of(tmp_path / "out" / "faces.csv")
    assert {row["source"].rpartition("/")[2] for row in rows} == {"caf\\xe9.png", "fil\\xe9.avi"}


def test_two_files_of_one_name_keep_apart_and_a_damaged_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(quarters(250, side=100)).save(tmp_path / folder / "x.png")
    (tmp_path / "a" / "y.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    result = run([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.jpg")) == ["x-2.faces.jpg", "x.faces.jpg"]
    assert len(result.figures["left_out"]) == 1
    assert "y.png" in result.figures["left_out"][0]
    assert "Left out: " in capsys.readouterr().err


def test_a_damaged_file_alone_fails_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "y.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    source = MediaSource("y.png", "photo", tmp_path / "y.png")
    with pytest.raises(DataError, match=r"y\.png"):
        predict(Analyser(ByBrightness(), FourBoxes()), [source], LiveConfig(), Request(out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="None of the 2 files"):
        predict(Analyser(ByBrightness(), FourBoxes()), [source] * 2, LiveConfig(), Request(out=tmp_path / "out"))


def test_ctrl_c_ends_a_camera_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [Frame(quarters(250, side=100), i, i / 10) for i in range(50)]

    class Endless(MediaSource):
        def frames(self, every: float = 0.0) -> Iterator[Frame]:
            return iter(shown)

    asked = iter([False] * 6 + [True] * 99)

    @contextmanager
    def stop() -> Iterator[Callable[[], bool]]:
        yield lambda: next(asked)

    monkeypatch.setattr(predict_module, "graceful_stop", stop)
    camera = Endless("camera 0", "camera", 0)
    result = predict(Analyser(ByBrightness(), FourBoxes()), [camera], LiveConfig(), Request(out=tmp_path / "out"))
    assert result.figures["frames"] == len(rows_of(tmp_path / "out" / "faces.csv")) == 5
    assert (tmp_path / "out" / "camera-0.faces.mp4").stat().st_size > 0


def test_ctrl_c_before_the_first_frame_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def stopped() -> Iterator[Callable[[], bool]]:
        yield lambda: True

    monkeypatch.setattr(predict_module, "graceful_stop", stopped)
    clip = make_film(tmp_path / "film.avi", [250] * 3)
    with pytest.raises(KeyboardInterrupt):
        run([clip], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_window_ends_with_q_and_its_absence_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_film(tmp_path / "film.avi", [250] * 10)
    keys = iter([255, 255, ord("q")])
    pictures: list[np.ndarray] = []
    monkeypatch.setattr(predict_module.cv2, "imshow", lambda name, picture: pictures.append(picture))
    monkeypatch.setattr(predict_module.cv2, "waitKey", lambda wait: next(keys))
    monkeypatch.setattr(predict_module.cv2, "destroyAllWindows", lambda: None)
    assert run([clip], tmp_path / "out", show=True, pictures=False).figures["frames"] == 3
    assert len(pictures) == 3

    def headless(*values: object) -> None:
        raise cv2.error("no display")

    monkeypatch.setattr(predict_module.cv2, "imshow", headless)
    monkeypatch.setattr(predict_module.cv2, "destroyAllWindows", headless)
    with pytest.raises(GanferError, match="--show: OpenCV cannot open a window"):
        run([clip], tmp_path / "out", show=True)


def test_drawn_people_of_a_scene_are_read_by_their_places(tmp_path: Path, yunet: Detector) -> None:
    heads = [Placed(20, "happy", 20, 60, 300), Placed(21, "angry", 340, 80, 260)]
    Image.fromarray(scene(heads)).save(tmp_path / "scene.png")
    run([tmp_path / "scene.png"], tmp_path / "out", Analyser(ByBrightness(size=48), yunet))
    middles = [float(row["x"]) + float(row["width"]) / 2 for row in rows_of(tmp_path / "out" / "faces.csv")]
    assert sorted(middles) == pytest.approx([head.middle[0] for head in heads], abs=30)


def test_attention_is_logged_and_absence_too(tmp_path: Path) -> None:
    clip = make_film(tmp_path / "film.avi", [250] * 5 + [0] * 5)
    result = run([clip], tmp_path / "out", attention=True)
    rows = rows_of(tmp_path / "out" / "faces.csv")
    # no landmarker here: a face without landmarks counts as turned away
    assert [row["attention"] for row in rows] == ["looking away"] * 5 + ["no face"] * 5
    assert result.figures["sources"][0]["frames_without_face"] == 5
    assert result.figures["sources"][0]["people"]["1"]["attentive"] == 0


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one small classifier."""
    root = tmp_path_factory.mktemp("live") / "work"
    config = fast_config(classifier__epochs=1)
    add_set(Workspace(root), tiny_set())
    Project(root, config).train_classifier()
    return root


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_command_compares_two_models_without_anything_trained(workspace: Path, tmp_path: Path) -> None:
    Image.fromarray(quarters(200, side=64)).save(tmp_path / "crop.png")
    (run_folder,) = [path for path in (workspace / "classifiers").iterdir() if path.is_dir()]
    models = ["--classifier", f"old={run_folder}", "--classifier", f"new={run_folder.name}"]
    common = ["-w", workspace, "--detector", "none", "--device", "cpu"]
    figures = json.loads(invoke("predict", tmp_path / "crop.png", *models, *common, "--json"))
    assert list(figures["models"]) == ["old", "new"]
    (row,) = rows_of(workspace / "predictions" / "crop.png" / "faces.csv")
    assert row["p_angry"] == row["new.p_angry"]
    assert "annotated" in invoke("predict", tmp_path / "crop.png", *common)  # the newest classifier


def test_the_command_opens_detector_and_landmarker(
    workspace: Path, tmp_path: Path, yunet_file: Path, landmarker_file: Path
) -> None:
    pytest.importorskip("mediapipe", reason="needs the extra gaze")
    Image.fromarray(scene([Placed(30, "neutral", 60, 20, 360)], 480, 420)).save(tmp_path / "one.png")
    models = ["--detector-model", yunet_file, "--landmarker-model", landmarker_file]
    log = tmp_path / "logs" / "one.csv"
    said = invoke("predict", tmp_path / "one.png", "-w", workspace, *models, "--attention", "--log", log)
    (row,) = rows_of(log)
    assert row["attention"] == "attentive"
    assert abs(float(row["yaw"])) < 15
    assert "100%" in said
    with pytest.raises(DataError, match=r"Landmarks were found in only \d+ training images"):
        invoke("predict", tmp_path / "one.png", "-w", workspace, *models, "--landmarks")


def test_the_plan_and_wrong_arguments(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "package", monkeypatch)
    Image.fromarray(quarters(200, side=64)).save(tmp_path / "crop.png")
    plan = invoke("predict", tmp_path / "crop.png", "-w", tmp_path / "fresh", "--dry-run")
    assert "ganfer's starter reads the faces" in plan
    assert "train the classifier" not in plan
    assert "find and read the faces of 1 photo" in plan
    assert not (tmp_path / "fresh").exists()
    assert "is no time" in invoke("predict", tmp_path / "crop.png", "--every", "soon")
    with pytest.raises(DataError, match="does not exist"):
        invoke("predict", tmp_path / "absent.png", "-w", workspace)
    with pytest.raises(GanferError, match="absent"):
        invoke("predict", tmp_path / "crop.png", "-w", workspace, "--detector", "none", "--classifier", "absent")


def test_models_of_other_classes_are_not_compared(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganfer.live import stage

    models = iter([ByBrightness(), ByBrightness(("angry", "sad"))])
    monkeypatch.setattr("ganfer.classifier.opened.load_classifier", lambda path, device: next(models))
    (run_folder,) = [path for path in (workspace / "classifiers").iterdir() if path.is_dir()]
    with pytest.raises(DataError, match="Compare classifiers of the same classes"):
        stage.open_classifiers(Workspace(workspace), [f"a={run_folder}", f"b={run_folder}"], "cpu")
