"""Videos, cameras and folders give their frames at their times, or one clear line; a cut video says so."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ganfer.errors import DataError
from ganfer.live import videos
from ganfer.live.sources import MediaSource, find_sources
from ganfer.live.videos import Facts

COUNT, RATE = 24, 12
KINDS = [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.webm", "VP80"), ("a.mkv", "FFV1")]


def write_video(path: Path, codec: str = "MJPG", *, grey: bool = False, count: int = COUNT) -> Path:
    """Frame i is about 10 i bright; 64 x 48 pixels, 12 frames per second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), RATE, (64, 48), not grey)
    assert writer.isOpened()
    for value in range(count):
        writer.write(np.full((48, 64) if grey else (48, 64, 3), 10 * value, np.uint8))
    writer.release()
    return path


def only(path: object) -> MediaSource:
    (source,) = find_sources([str(path)])
    return source


@pytest.mark.parametrize(("name", "codec"), KINDS)
def test_a_video_gives_every_frame_at_its_time(tmp_path: Path, name: str, codec: str) -> None:
    source = only(write_video(tmp_path / name, codec))
    frames = list(source.frames())
    assert (source.kind, source.length(), source.notes) == ("video", COUNT, [])
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert [frame.seconds for frame in frames] == pytest.approx([i / RATE for i in range(COUNT)], abs=0.01)
    assert [int(frame.image[20, 20, 1]) for frame in frames] == pytest.approx([10 * i for i in range(COUNT)], abs=6)
    assert {(frame.image.shape, frame.image.dtype.name) for frame in frames} == {((48, 64, 3), "uint8")}


def test_every_samples_by_the_clock(tmp_path: Path) -> None:
    source = only(write_video(tmp_path / "a.avi"))
    assert [frame.index for frame in source.frames(0.5)] == [0, 6, 12, 18]
    assert source.length(0.5) == 4
    assert [frame.index for frame in source.frames(0.2)] == [0, 3, 5, 8, 10, 12, 15, 17, 20, 22]  # no drift
    assert source.rate(0.5) == 2
    assert source.rate() == RATE


def test_a_grey_video_is_rgb(tmp_path: Path) -> None:
    frames = list(only(write_video(tmp_path / "grey.avi", grey=True)).frames())
    assert len(frames) == COUNT
    assert frames[12].image[0, 0].tolist() == pytest.approx([120, 120, 120], abs=4)


def test_a_video_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", "FFV1").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) // 2])
    assert 0 < len(list(only(cut).frames())) < COUNT


FACTS = {
    "both are missed": (Facts(100, 4.0), "ends after 5 of 100 frames, at 0.2 of 4.0 s: it is damaged or cut off"),
    "a count that nobody made": (Facts(None, 4.0), "its 5 frames end at 0.2 of 4.0 s"),
    "all there, the last one shown for long": (Facts(5, 4.0), ""),
    "cut by an edit list": (Facts(100, 0.2), ""),
    "nothing known": (Facts(), ""),
}


@pytest.mark.parametrize("case", sorted(FACTS))
def test_only_what_is_known_is_said_of_a_film_that_ends(
    camera: Any, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    camera.promised = 100.0
    facts, said = FACTS[case]
    monkeypatch.setattr(videos, "film_facts", lambda path: facts)
    source = MediaSource("cut.mp4", "video", Path("cut.mp4"))
    assert [frame.index for frame in source.frames()] == [0, 1, 2, 3, 4]
    assert len(source.notes) == bool(said)
    assert said in " ".join(source.notes)


def test_frames_that_cannot_be_decoded_are_not_counted(camera: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    camera.promised, camera.gaps = 9.0, (2, 3)
    source = MediaSource("torn.avi", "video", Path("torn.avi"))
    assert [frame.index for frame in source.frames()] == [0, 1, 2]


def test_what_is_no_video_is_said_in_one_line(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", "mp4v").read_bytes()
    cases = {
        "empty.mp4": (b"", "is empty"),
        "junk.mp4": (bytes(range(256)) * 20, "is no video that OpenCV reads"),
        "headless.mp4": (whole[: len(whole) // 2], "is no video that OpenCV reads"),  # its index comes last
        "notes.txt": (b"remember the milk", "neither a picture nor a video"),
        "empty.txt": (b"", "is empty"),
        "broken.png": (b"\x89PNG\r\n\x1a\nnothing", "broken.png"),
    }
    for name, (data, said) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=said) as failure:
            list(only(tmp_path / name).frames())
        assert name in str(failure.value)
        assert "\n" not in str(failure.value)


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "photo.png")
    (tmp_path / "photo.png").rename(tmp_path / "photo.dat")
    write_video(tmp_path / "film.avi").rename(tmp_path / "film.dat")
    frames = [Image.new("RGB", (8, 8), ink) for ink in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=200)
    assert only(tmp_path / "photo.dat").kind == "photo"
    assert only(tmp_path / "film.dat").kind == "video"
    moving = only(tmp_path / "moving.gif")
    assert moving.kind == "animation"
    assert [(frame.index, round(frame.seconds, 2)) for frame in moving.frames()] == [(0, 0.0), (1, 0.2)]
    assert [frame.index for frame in moving.frames(1.0)] == [0]


@pytest.mark.parametrize("name", ["cut.gif", "cut.png"])
def test_a_cut_animation_gives_what_comes_before_the_cut_and_says_so(tmp_path: Path, name: str) -> None:
    """As a video does: rows of its first frames are written before the damage is met."""
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)) for _ in range(12)]
    path = tmp_path / name
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    path.write_bytes(path.read_bytes()[: int(0.8 * path.stat().st_size)])
    cut = only(path)
    given = [frame.index for frame in cut.frames()]
    assert given == list(range(9))
    assert cut.notes == [f"{path} ends after 9 frames: it is damaged or cut off."]
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(DataError, match="damaged"):
        list(only(path).frames())


def test_a_folder_gives_its_pictures_and_videos_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "b" / "2.jpg")
    Image.new("RGB", (8, 8)).save(tmp_path / "1.PNG")
    write_video(tmp_path / "film.avi", count=2)
    (tmp_path / "notes.txt").write_text("no picture")
    found = [(Path(one.name).name, one.kind) for one in find_sources([tmp_path])]
    assert found == [("1.PNG", "photo"), ("2.jpg", "photo"), ("film.avi", "video")]
    (tmp_path / "nothing").mkdir()
    for wrong, said in (("nothing", "holds no pictures"), ("absent.jpg", "does not exist")):
        with pytest.raises(DataError, match=said):
            find_sources([tmp_path / wrong])


class Camera:
    """Stands in for cv2.VideoCapture: gives `frames` pictures, then nothing."""

    frames = 5
    opened = True
    released = 0
    promised = -1.0
    gaps: tuple[int, ...] = ()

    def __init__(self, place: object) -> None:
        self.place, self.count = place, 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FPS: float("nan"), cv2.CAP_PROP_FRAME_COUNT: self.promised}.get(key, 0.0)

    def grab(self) -> bool:
        self.count += 1
        return self.count <= self.frames and self.count not in self.gaps

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((48, 64, 3), (1, 2, 3), np.uint8)

    def release(self) -> None:
        type(self).released += 1


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made = type("Made", (Camera,), {})
    clock = itertools.count()
    monkeypatch.setattr(videos.cv2, "VideoCapture", made)
    monkeypatch.setattr(videos.cv2, "getTickCount", lambda: next(clock) * 100)
    monkeypatch.setattr(videos.cv2, "getTickFrequency", lambda: 1000.0)
    return made


def test_an_unplugged_camera_ends_with_a_note(camera: Any) -> None:
    source = only("0")
    frames = list(source.frames())
    assert (source.kind, source.place, source.length()) == ("camera", 0, None)
    assert [round(frame.seconds, 2) for frame in frames] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert frames[0].image[0, 0].tolist() == [3, 2, 1]
    assert "may have been unplugged" in source.notes[0]
    assert camera.released == 1


def test_an_absent_camera_and_one_without_pictures_are_said(camera: Any) -> None:
    camera.frames = 0
    with pytest.raises(DataError, match="camera 1 gives no picture"):
        list(only("1").frames())
    camera.opened = False
    with pytest.raises(DataError, match="There is no camera 7"):
        list(only("7").frames())


def test_a_camera_is_released_when_nobody_wants_more(camera: Any) -> None:
    frames = only("0").frames()
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert camera.released == 1


def test_a_folder_called_like_a_number_is_a_folder(tmp_path: Path) -> None:
    Path("0").mkdir()
    Image.new("RGB", (8, 8)).save("0/a.png")
    assert only("0").kind == "photo"


def test_a_camera_beyond_all_numbers_is_one_line() -> None:
    with pytest.raises(DataError, match="There is no camera 99999999999999999999"):
        next(iter(find_sources(["99999999999999999999"])[0].frames()))
