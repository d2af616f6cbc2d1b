"""Annotated films: H.264 that browsers play, in step with the original to the frame, with its sound; what is said of
films that are cut."""

import socket
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from making_films import make_film, streams_of, times_of

from ganfer.live.films import film
from ganfer.live.folders import has_mark
from ganfer.live.sources import MediaSource, find_sources
from ganfer.live.videos import film_facts

STEADY = [i / 25 for i in range(20)]
VARYING = [*(i / 25 for i in range(10)), 1.0, 1.5, 2.25, *(3 + i / 25 for i in range(10))]


def copied(source: Path, out: Path) -> list[str]:
    """The film written again as predict does; its notes."""
    (one,) = find_sources([str(source)])
    one.length()
    with film(out, one.rate(), source, "ganfer predict 1234") as copy:
        for frame in one.frames():
            copy.add(frame.image, frame.seconds)
        copy.end(one.shown_seconds())
    return copy.notes


@pytest.mark.parametrize("times", [STEADY, VARYING], ids=["steady", "varying"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_every_frame_keeps_its_time_and_the_film_its_length(tmp_path: Path, times: list[float], name: str) -> None:
    source = make_film(tmp_path / name, times, last=0.5)
    assert copied(source, tmp_path / "copy.mp4") == []
    codec, seconds, start = streams_of(tmp_path / "copy.mp4")["video"]
    assert (codec, start) == ("h264", 0.0)
    assert seconds == pytest.approx(times[-1] + 0.5, abs=0.04)
    assert times_of(tmp_path / "copy.mp4") == pytest.approx(times, abs=0.002)
    assert has_mark(tmp_path / "copy.mp4", "ganfer predict 1234")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_film_whose_clock_begins_later_is_as_long_as_its_pictures(tmp_path: Path, name: str) -> None:
    """As a piece of a longer recording is; Matroska tells when the last picture ends, not how long all are shown."""
    source = make_film(tmp_path / name, [5 + seconds for seconds in STEADY], last=0.5)
    (one,) = find_sources([str(source)])
    assert [frame.seconds for frame in one.frames()] == pytest.approx(STEADY, abs=0.002)
    assert one.notes == []
    assert copied(source, tmp_path / "copy.mp4") == []
    assert streams_of(tmp_path / "copy.mp4")["video"][1] == pytest.approx(STEADY[-1] + 0.5, abs=0.04)


@pytest.mark.parametrize(("name", "sound"), [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.mov", "pcm_s16le")])
def test_the_sound_comes_along_in_step(tmp_path: Path, name: str, sound: str) -> None:
    source = make_film(tmp_path / name, STEADY, sound=sound)
    assert copied(source, tmp_path / "copy.mp4") == []
    found = streams_of(tmp_path / "copy.mp4")
    assert found["audio"][0] in ("aac", "opus")
    assert found["audio"][1] + found["audio"][2] == pytest.approx(0.8, abs=0.05)
    assert abs(found["audio"][2]) < 0.04


def test_wide_pixels_are_squared_and_places_stay_in_the_originals_pixels(tmp_path: Path) -> None:
    source = make_film(tmp_path / "wide.mp4", STEADY[:3], size=(64, 48), aspect=Fraction(2, 1))
    frames = list(find_sources([str(source)])[0].frames())
    assert {frame.image.shape for frame in frames} == {(48, 128, 3)}
    assert frames[0].scale == (0.5, 1.0)
    copied(source, tmp_path / "copy.mp4")
    assert {frame.image.shape for frame in find_sources([str(tmp_path / "copy.mp4")])[0].frames()} == {(48, 128, 3)}


def test_of_a_cut_film_the_true_number_is_said_and_of_a_whole_one_nothing(tmp_path: Path) -> None:
    slides = [0.0, 0.5, 2.0]
    for name in ("whole.mp4", "whole.mkv"):
        (source,) = find_sources([str(make_film(tmp_path / name, slides, last=3.0))])
        assert len(list(source.frames())) == 3
        assert source.notes == []
    times = [i / 5 for i in range(40)]
    with film(tmp_path / "fast.mp4", 5) as whole:  # its index comes first, as on the web
        for i, seconds in enumerate(times):
            noise = np.random.default_rng(i).integers(0, 255, (96, 128, 3), np.uint8)
            whole.add(noise, seconds)
    data = (tmp_path / "fast.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    (cut,) = find_sources([str(tmp_path / "cut.mp4")])
    count = len(list(cut.frames()))
    assert 10 < count < 30
    assert f"ends after {count} of 40 frames" in cut.notes[0]
    assert film_facts(tmp_path / "absent.mp4").frames is None


def test_a_film_whose_sound_is_unreadable_says_so_or_goes_without(tmp_path: Path) -> None:
    (tmp_path / "no film.txt").write_text("nothing")
    with film(tmp_path / "copy.mp4", 10, tmp_path / "no film.txt") as copy:
        copy.add(np.zeros((33, 47, 3), np.uint8), 0.0)
    assert list(streams_of(tmp_path / "copy.mp4")) == ["video"]
    assert next(MediaSource("x", "video", tmp_path / "copy.mp4").frames()).image.shape == (32, 46, 3)


def test_a_frame_that_lasts_longer_than_mp4_can_say_is_shown_again(tmp_path: Path) -> None:
    times = [0.0, 1.0, 50_000.0, 50_001.0]
    with film(tmp_path / "copy.mp4", 1.0) as copy:
        for seconds in times:
            copy.add(np.zeros((16, 16, 3), np.uint8), seconds)
        copy.end(50_002.0)
    assert times_of(tmp_path / "copy.mp4") == pytest.approx([0, 1, 20_001, 40_001, 50_000, 50_001], abs=0.01)
    assert copy.notes == []


def test_a_gap_of_years_is_said_and_no_film_of_years(tmp_path: Path) -> None:
    with film(tmp_path / "copy.mp4", 1.0) as copy:
        for seconds in (0.0, 1e9, 1e9 + 1):
            copy.add(np.zeros((16, 16, 3), np.uint8), seconds)
        copy.end(1e9 + 2)
    found = times_of(tmp_path / "copy.mp4")
    assert len(found) < 110
    assert found[-1] - found[-2] == pytest.approx(1, abs=0.01)
    assert copy.notes == ["The copy leaves out 11551 days before 1000000000 s."]


def test_a_file_whose_name_reads_like_an_address_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        monkeypatch.chdir(tmp_path)
        source = make_film(tmp_path / "a.mp4", STEADY[:3])
        named = Path(f"http:127.0.0.1:{server.getsockname()[1]}?a.mp4")
        source.rename(named)
        assert film_facts(named).frames == 3
        assert copied(named, Path("copy.mp4")) == []
        with pytest.raises(TimeoutError):
            server.accept()


def test_what_a_killed_run_left_of_a_film_goes_at_once(tmp_path: Path) -> None:
    code = "import os, signal; from pathlib import Path; from ganfer.runtime.files import atomic_path"
    code += f"\nwith atomic_path(Path({str(tmp_path / 'copy.mp4')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", code], check=False)
    assert [path.suffix for path in tmp_path.iterdir()] == [".mp4"]
    with film(tmp_path / "copy.mp4", 1.0) as copy:
        copy.add(np.zeros((16, 16, 3), np.uint8), 0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["copy.mp4"]
