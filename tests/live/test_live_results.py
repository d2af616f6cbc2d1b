"""Results of predict: kept row by row, resumed, in the original's pixels, never over another file's or a user's own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_scenes import Placed, scene
from live_stubs import ByBrightness, rows_of
from making_films import make_film
from PIL import Image

from ganfer.config import LiveConfig
from ganfer.errors import DataError, GanferError
from ganfer.live.analyse import Analyser
from ganfer.live.detect import WholeImage
from ganfer.live.faces import FaceResult
from ganfer.live.films import write_picture
from ganfer.live.folders import LeftOut
from ganfer.live.geometry import Face
from ganfer.live.journal import NAME
from ganfer.live.mesh import BLENDSHAPES, Mesh
from ganfer.live.outputs import alone, check_folder, check_outputs, default_folder, make_room, slug
from ganfer.live.pictures import read_scaled
from ganfer.live.predict import Request, check_window, predict
from ganfer.live.records import face_of
from ganfer.live.sources import find_sources
from ganfer.live.stage import predict_plan
from ganfer.live.videos import Frame
from ganfer.results import Result
from ganfer.runtime.files import write_csv, write_json
from ganfer.workspace import Workspace


class Dies(Exception):
    """Stands for kill -9: nothing is tidied up on purpose."""


class Mortal(Analyser):
    """Dies at the frame after `lives` of them; counts those it saw."""

    def __init__(self, lives: int = 10**9) -> None:
        super().__init__(ByBrightness(), WholeImage())
        self.lives = lives
        self.seen = 0

    def analyse(self, frames: Any, across: Any = ()) -> list[list[FaceResult]]:
        if self.seen + len(frames) > self.lives:
            raise Dies
        self.seen += len(frames)
        return super().analyse(frames, across)


def photo(path: Path, value: int = 200, size: tuple[int, int] = (60, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value,) * 3).save(path)
    return path


def run(sources: list[Any], out: Path, analyser: Analyser | None = None, **request: Any) -> Result:
    opened = find_sources([str(source) for source in sources], LeftOut(), out)
    return predict(analyser or Mortal(), opened, LiveConfig(), Request(out=out, **request))


# --- rows as they come, and going on from them ------------------------------------------------------------------------


def test_a_folder_goes_on_after_a_kill_with_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    for i in range(5):
        photo(folder / f"{i}.png", 40 * i)
    whole = run([folder], tmp_path / "whole", pictures=False)
    with pytest.raises(Dies):
        run([folder], tmp_path / "out", Mortal(3), pictures=False)
    assert len(rows_of(tmp_path / "out" / "faces.csv")) == 3
    again = Mortal()
    result = run([folder], tmp_path / "out", again, pictures=False)
    assert again.seen == 2
    assert result.figures["sources"] == whole.figures["sources"]
    for name in ("faces.csv", "faces.json"):
        assert (tmp_path / "out" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert not (tmp_path / "out" / NAME).exists()


@pytest.mark.parametrize("pictures", [False, True])
def test_a_film_goes_on_after_a_kill_in_its_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: bool
) -> None:
    from ganfer.live import predict as module

    monkeypatch.setattr(module, "_MARK_SECONDS", -1.0)  # a mark after every few frames
    clip = make_film(tmp_path / "a.mp4", [i / 10 for i in range(40)])
    whole = run([clip], tmp_path / "whole", attention=True, pictures=pictures)
    with pytest.raises(Dies):
        run([clip], tmp_path / "out", Mortal(24), attention=True, pictures=pictures)
    with (tmp_path / "out" / NAME).open("a") as file:
        file.write('{"of": 0, "row": {"sou')  # the line at which it was killed
    again = Mortal()
    result = run([clip], tmp_path / "out", again, attention=True, pictures=pictures)
    assert again.seen == 16
    assert (tmp_path / "out" / "faces.csv").read_text() == (tmp_path / "whole" / "faces.csv").read_text()
    told = [{**one, "picture": None} for figures in (whole, result) for one in figures.figures["sources"]]
    assert told[0] == told[1]
    if pictures:
        copies = [list(find_sources([tmp_path / name / "a.faces.mp4"])[0].frames()) for name in ("whole", "out")]
        assert len(copies[0]) == len(copies[1]) == 40
        assert np.abs(copies[0][5].image.astype(int) - copies[1][5].image).mean() < 2


def test_rows_from_before_the_first_mark_are_not_there_twice(tmp_path: Path) -> None:
    clip = make_film(tmp_path / "a.mp4", [i / 10 for i in range(40)])
    run([clip], tmp_path / "whole", pictures=False)
    with pytest.raises(Dies):
        run([clip], tmp_path / "out", Mortal(24), pictures=False)
    left = (tmp_path / "out" / NAME).read_bytes()
    assert left.count(b'"row"') > 8
    for request in ({}, {"every": 0.05}):  # the same command, and another one in its place
        (tmp_path / "out" / NAME).write_bytes(left)
        run([clip], tmp_path / "out", pictures=False, **request)
        assert (tmp_path / "out" / "faces.csv").read_text() == (tmp_path / "whole" / "faces.csv").read_text()


def test_other_settings_or_another_file_begin_anew(tmp_path: Path) -> None:
    for i in range(3):
        photo(tmp_path / "d" / f"{i}.png")
    with pytest.raises(Dies):
        run([tmp_path / "d"], tmp_path / "out", Mortal(2), pictures=False)
    os.utime(tmp_path / "d" / "0.png", (1, 1))
    again = Mortal()
    run([tmp_path / "d"], tmp_path / "out", again, pictures=False)
    assert again.seen == 3


def test_one_file_that_cannot_be_written_or_read_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "x" * 245, "z"):
        photo(tmp_path / "d" / f"{name}.png")
    run([tmp_path / "d"], tmp_path / "out")
    assert len(rows_of(tmp_path / "out" / "faces.csv")) == 3
    assert max(len(path.name) for path in (tmp_path / "out").iterdir()) < 130

    def broken(path: Path) -> Any:
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied", str(path))
        return read_scaled(path)

    monkeypatch.setattr("ganfer.live.sources.read_scaled", broken)
    result = run([tmp_path / "d"], tmp_path / "out2")
    assert len(rows_of(tmp_path / "out2" / "faces.csv")) == 2
    assert "a.png cannot be read (Permission denied)" in result.figures["left_out"][0]


def test_a_row_for_every_frame_looked_at(tmp_path: Path) -> None:
    class Nobody(Analyser):
        def detect(self, frame: np.ndarray, across: float = 1.0) -> list[Any]:
            return []

    clip = make_film(tmp_path / "a.mp4", [i / 10 for i in range(6)])
    analyser = Nobody(ByBrightness(), WholeImage())
    plain = rows_of_run([clip], tmp_path / "plain", analyser)
    assert [(row["frame"], row["person"], row["expression"]) for row in plain] == [(str(i), "", "") for i in range(6)]
    measured = rows_of_run([clip], tmp_path / "measured", analyser, attention=True)
    assert {row["attention"] for row in measured} == {"no face"}


def rows_of_run(sources: list[Any], out: Path, analyser: Analyser, **request: Any) -> list[dict[str, str]]:
    run(sources, out, analyser, pictures=False, **request)
    return rows_of(out / "faces.csv")


# --- the original's pixels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_are_in_the_upright_originals_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, orientation: int
) -> None:
    monkeypatch.setattr("ganfer.live.pictures.KEPT_PIXELS", 100 * 100)
    picture = Image.new("RGB", (600, 400), "white")
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = picture.transpose(turns[orientation]) if orientation in turns else picture
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind.lower()}"
    stored.save(path, kind, **({"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": exif}))
    read = read_scaled(path)
    assert read.image.shape[1] / read.image.shape[0] == pytest.approx(1.5, abs=0.05)
    assert read.image.size <= 3 * 110 * 110
    run([path], tmp_path / "out", pictures=False)
    (row,) = rows_of(tmp_path / "out" / "faces.csv")
    place = [float(row[name]) for name in ("x", "y", "width", "height")]
    assert place == pytest.approx([100, 0, 400, 400], abs=8)  # the middle square
    (face,) = json.loads((tmp_path / "out" / "faces.json").read_text())["faces"]
    assert face["width"] == float(row["width"])
    again = face_of(face, Frame(read.image, scale=read.scale))
    assert again.box[2] == pytest.approx(read.image.shape[0], abs=1.5)


def test_small_faces_are_measured_in_the_originals_pixels() -> None:
    analyser = Analyser(ByBrightness(), WholeImage(), min_face=100)
    picture = np.zeros((60, 60, 3), np.uint8)
    assert [len(faces) for faces in analyser.analyse([picture, picture], [1.0, 2.0])] == [0, 1]


def test_previews_and_pages_are_no_animation(tmp_path: Path) -> None:
    for name, kind, more in (("camera.jpg", "MPO", 1), ("scan.tif", "TIFF", 2), ("moving.png", "PNG", 1)):
        first, *others = (Image.new("RGB", (80, 60), ink) for ink in ("red", "blue", "green")[: more + 1])
        first.save(tmp_path / name, kind, save_all=True, append_images=others)
    kinds = {Path(one.name).name: (one.kind, len(one.notes)) for one in find_sources([tmp_path])}
    assert kinds["camera.jpg"] == ("photo", 0)
    assert kinds["scan.tif"] == ("photo", 1)
    assert kinds["moving.png"] == ("animation", 0)
    result = run([tmp_path / "scan.tif"], tmp_path / "out")
    assert "has 3 pages; the first is looked at" in "\n".join(result.lines)


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_folders_own_results_and_workspaces_are_not_its_next_photos(tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    photo(folder / "a.png")
    photo(folder / "team.faces.jpg")  # a user's photo that is only called so
    work = Workspace(folder / "work")
    with work.run("gans", "g", {}).work("test"):
        photo(folder / "work" / "synthetic" / "b" / "images" / "0.png")
    write_picture(folder / "renamed.jpg", np.zeros((20, 20, 3), np.uint8))
    (folder / ".a.faces.jpg.x1.tmp.jpg").write_bytes(b"half")
    for _ in range(3):
        left_out = LeftOut()
        found = find_sources([folder], left_out, folder / "results")
        assert [Path(one.name).name for one in found] == ["a.png", "team.faces.jpg"]
        run([folder], folder / "results")
        run([folder], folder, pictures=True)
    said = left_out.lines()[0]
    assert "picture(s) that ganfer made" in said
    assert f"the workspace {folder / 'work'}" in said
    inside = find_sources([folder / "work" / "synthetic" / "b"])
    assert len(inside) == 1  # asked for by name


def test_files_left_out_are_counted_by_kind_and_unknown_names_are_looked_into(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    for name, kind in (("a.jpg", "JPEG"), ("b.jp2", "JPEG2000"), ("c.tga", "TGA"), ("scan", "JPEG"), ("I.HEIC", "PNG")):
        (folder).mkdir(exist_ok=True)
        Image.new("RGB", (40, 40)).save(folder / name, kind)
    for name in ("true.heic", "other.HEIC", "notes.txt", "README"):
        (folder / name).write_bytes(b"no picture")
    left_out = LeftOut()
    found = find_sources([folder, folder / "a.jpg"], left_out)
    assert [Path(one.name).name for one in found] == ["I.HEIC", "a.jpg", "b.jp2", "c.tga", "scan"]
    (said,) = left_out.lines()
    assert all(words in said for words in ("2 .heic", "1 without extension", "1 .txt", "1 given twice"))
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "a.heic").write_bytes(b"x")
    with pytest.raises(DataError, match="holds no pictures or videos. Left out: 1 .heic"):
        find_sources([tmp_path / "nothing"])


# --- places -----------------------------------------------------------------------------------------------------------


def test_results_of_files_of_one_name_never_replace_each_other(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "w")
    monday, tuesday = (photo(tmp_path / day / "lecture.png", value) for day, value in (("mon", 240), ("tue", 20)))

    def predicted(path: Path) -> Result:
        plan = predict_plan(work, [path], None, {})
        return predict(Mortal(), plan.sources, LiveConfig(), plan.request, notes=plan.notes)

    first = predicted(monday)
    second = predicted(tuesday)
    assert first.path == work.root / "predictions" / "lecture.png"
    assert second.path == work.root / "predictions" / "lecture.png-2"
    assert "holds the results of another file" in "\n".join(second.lines)
    assert predicted(monday).path == first.path
    assert predicted(tuesday).path == second.path
    out = tmp_path / "out"
    for path in (monday, tuesday, monday):
        run([path], out)
    kept = sorted(path.name for path in out.iterdir())
    assert len([name for name in kept if name.startswith("faces.2")]) == 4  # two older logs, CSV and JSON
    assert {"lecture.faces.jpg", "lecture-2.faces.jpg"} <= set(kept)
    assert np.asarray(Image.open(out / "lecture.faces.jpg")).max() > 200
    assert rows_of(out / "faces.csv")[0]["source"] == str(monday)


def test_same_words_in_another_folder_are_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in ("mon", "tue"):
        photo(tmp_path / day / "a.png")
        monkeypatch.chdir(tmp_path / day)
        run(["a.png"], tmp_path / "out")
    assert len(list((tmp_path / "out").glob("faces*.csv"))) == 2


def test_a_users_own_files_are_never_overwritten(tmp_path: Path) -> None:
    own = photo(tmp_path / "a.faces.jpg", 77)
    before = own.read_bytes()
    run([photo(tmp_path / "a.png")], tmp_path)
    assert own.read_bytes() == before
    assert (tmp_path / "a-2.faces.jpg").is_file()
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    sources = find_sources([tmp_path / "a.png"])
    for log, words in ((table, "is no log"), (tmp_path / "a.png", "one of the files to look at"), (tmp_path, "folder")):
        with pytest.raises(GanferError, match=words):
            check_outputs(tmp_path / "o", log, sources)
    assert table.read_text() == "a,b\n1,2\n"
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("file", "is a file"),
        ("file/below", "is a file"),
        ("x" * 300, "too long"),
        ("a/" + "y" * 300 + "/b", "too long"),
    ],
)
def test_a_place_that_cannot_be_is_said_before_the_work(tmp_path: Path, folder: str, words: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(GanferError, match=words) as failure:
        check_folder(tmp_path / folder, "--out")
    assert "\n" not in str(failure.value)


def test_paths_that_the_system_refuses_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read|does not exist"):
        find_sources(["x" * 5000])
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError, match="loop"):
        find_sources([tmp_path / "loop"])


def test_long_names_are_cut_to_different_ones() -> None:
    names = {slug("ä" * 200 + end) for end in ("1", "2")}
    assert len(names) == 2
    assert all(len(name.encode()) < 110 for name in names)
    assert slug("lecture 1.mp4") == "lecture-1.mp4"


def test_an_old_summary_tells_whose_results_a_folder_holds(tmp_path: Path) -> None:
    sources = find_sources([photo(tmp_path / "a.png")])
    write_json(tmp_path / "p" / "a.png" / "summary.json", {"sources": [{"source": str(tmp_path / "a.png")}]})
    assert default_folder(tmp_path / "p", "a.png", sources).name == "a.png"
    write_json(tmp_path / "p" / "a.png" / "summary.json", {"sources": [{"source": str(tmp_path / "b" / "a.png")}]})
    assert default_folder(tmp_path / "p", "a.png", sources).name == "a.png-2"


def test_a_window_is_tried_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(GanferError, match="--show: no window can be opened here"):
        check_window()
    monkeypatch.setenv("DISPLAY", ":99")

    def aborted(command: list[str], **how: Any) -> Any:
        return subprocess.CompletedProcess(command, -6)

    monkeypatch.setattr("ganfer.live.predict.subprocess.run", aborted)
    with pytest.raises(GanferError, match="no window"):
        check_window()


def test_the_command_leaves_nothing_behind_when_a_window_is_missing(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    bare = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "ganfer", "predict", "a.png", "--show", "--out", "o", "-w", "w"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=bare, check=False, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_action_units_go_into_the_rows_on_demand(tmp_path: Path) -> None:
    class Grinning:
        def look(self, image: np.ndarray, face: Any) -> Mesh:
            shapes = {"mouthSmileLeft": 0.75, "_neutral": 0.1}
            return Mesh(np.zeros((478, 2), np.float32), 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, shapes)

    analyser = Analyser(ByBrightness(), WholeImage(), landmarker=Grinning())  # type: ignore[arg-type]
    (row,) = rows_of_run([photo(tmp_path / "a.png")], tmp_path / "out", analyser, blendshapes=True)
    units = {name: value for name, value in row.items() if name.startswith("b_")}
    assert (len(units), units["b_mouthSmileLeft"], units["b_jawOpen"]) == (len(BLENDSHAPES), "0.75", "0.0")
    (face,) = json.loads((tmp_path / "out" / "faces.json").read_text())["faces"]
    assert face["blendshapes"]["mouthSmileLeft"] == 0.75
    (plain,) = rows_of_run([tmp_path / "a.png"], tmp_path / "plain", analyser)
    assert not any(name.startswith("b_") for name in plain)


def test_the_names_of_the_action_units_are_mediapipes(landmarker: Any) -> None:
    picture = scene([Placed(30, "neutral", 60, 20, 360)], 480, 420)
    mesh = landmarker.look(picture, Face((120.0, 80.0, 240.0, 280.0), None, 0.9))
    assert mesh is not None
    assert set(BLENDSHAPES) == set(mesh.blendshapes) - {"_neutral"}


def test_a_log_goes_into_a_file_not_into_a_device_or_a_pipe(tmp_path: Path) -> None:
    sources = find_sources([str(photo(tmp_path / "a.png"))])
    os.mkfifo(tmp_path / "pipe.csv")
    for place in (tmp_path / "pipe.csv", Path("/dev/full"), Path("/dev/zero")):
        with pytest.raises(GanferError, match="no ordinary file"):
            check_outputs(tmp_path / "out", place, sources)


def test_two_at_once_do_not_write_into_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    with alone(out):
        with pytest.raises(GanferError, match="another ganfer process is writing"), alone(out):
            pass
        with alone(tmp_path / "b"):
            pass
    assert list(tmp_path.iterdir()) == []
    with alone(out):
        (out / "faces.csv").touch()
    assert [path.name for path in out.iterdir()] == ["faces.csv"]


def test_two_processes_with_one_log_do_not_mix_their_rows(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    (tmp_path / "link").symlink_to(tmp_path / "logs")
    with alone(first, tmp_path / "logs" / "rows.csv"):
        for log in (
            tmp_path / "logs" / "rows.csv",
            tmp_path / "link" / "rows.csv",
            tmp_path / "b" / "../logs/rows.csv",
        ):
            with pytest.raises(GanferError, match=r"is writing its rows there\. Wait for it, or give another --log"):
                alone(second, log).__enter__()
        with alone(second, tmp_path / "logs" / "other.csv"):
            pass
    with alone(first, first / "faces.csv"), pytest.raises(GanferError, match="its rows there"):
        alone(second, first / "faces.csv").__enter__()  # the other's own table as one's log
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_results_of_a_file_whose_name_a_spreadsheet_would_run_are_its_own(tmp_path: Path) -> None:
    source = find_sources([str(photo(tmp_path / "=x.png"))])
    source[0].name = "=x.png"
    log = tmp_path / "log.csv"
    write_csv(log, ("source", "seconds", "person", "expression"), [{"source": "=x.png", "seconds": 0}])
    assert "'=x.png" in log.read_text()
    make_room(tmp_path / "out", log, source)
    assert log.is_file()  # not put aside as another file's
