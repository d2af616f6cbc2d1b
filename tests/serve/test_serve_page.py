"""The live page in a real browser: fake camera, photo, video; phone and desktop; keyboard; nothing from elsewhere."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import CHROMIUM
from chromium_pipe import Page, browser
from PIL import Image
from serving import NAMES, Bright, Staring, config, encoded, scene, server_of, source_of, write_model

from ganfer.live.attention import AttentionMeter
from ganfer.live.faces import FaceResult
from ganfer.live.mesh import Mesh
from ganfer.live.records import columns_of
from ganfer.serve.photos import Eyes
from ganfer.serve.server import Listening, Server

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed")

CSV = """new Promise((resolve) => {
  const make = URL.createObjectURL;
  URL.createObjectURL = (blob) => { if (blob.type === "text/csv") blob.text().then(resolve); return make(blob); };
  document.getElementById("download").click();
  URL.createObjectURL = make;
})"""
UNNAMED = """[...document.querySelectorAll("button, select, input, a, img")].filter((each) =>
  each.checkVisibility() && !each.hasAttribute("alt") &&
  !(each.innerText || each.labels?.[0]?.innerText || each.getAttribute("aria-label"))).length"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    names = ("expression", "before", "after")
    sources = [
        source_of(name, write_model(tmp_path_factory.mktemp(name), seed=seed)) for seed, name in enumerate(names)
    ]
    with server_of(sources).background() as listening:
        yield listening


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("browser")
    film = folder / "camera.mjpeg"
    film.write_bytes(b"".join(encoded(picture, "JPEG", quality=95) for picture in moving()))
    with browser(folder, f"--use-file-for-fake-video-capture={film}") as page:
        yield page


def moving() -> list[Image.Image]:
    """A film: two white rectangles that drift to the right."""
    pictures = []
    for step in range(20):
        picture = scene((60 + step, 80, 90, 110), (320, 240))
        pictures.append(picture)
    return pictures


def ready(page: Page, live: Listening, **options: object) -> None:
    page.open(live.link, **options)  # type: ignore[arg-type]
    page.until("document.documentElement.dataset.ready")


def at_peace(page: Page, live: Listening) -> None:
    """Nothing on the console, nothing asked of another place, nothing wider than the screen, nothing without a name."""
    assert page.errors == []
    elsewhere = [url for url in page.requests if not url.startswith((live.url, "blob:", "data:"))]
    assert (elsewhere, page.run(UNNAMED)) == ([], 0)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [400, 1400])
def test_the_camera_runs_by_keyboard_and_its_readings_come_as_csv(chromium: Page, live: Listening, width: int) -> None:
    ready(chromium, live, width=width)
    assert chromium.run("[document.getElementById('model').value, document.getElementById('other').value]") == [
        "after", "before",
    ]  # fmt: skip
    for _ in range(8):
        chromium.press("Tab", 9)
        if chromium.run("document.activeElement.id") == "camera":
            break
    assert chromium.run("document.activeElement.id") == "camera"
    chromium.press("Enter", 13, "\r")
    chromium.until("document.querySelectorAll('.person').length === 1")
    chromium.until("document.querySelectorAll('#tracks .lane:not(.axis)').length === 2")  # two models
    assert chromium.run("document.querySelectorAll('.person .bars li').length") == len(NAMES)
    chromium.until("document.getElementById('spoken').textContent")
    chromium.until("document.getElementById('pace').textContent.includes('pictures/s')")
    chromium.run("document.getElementById('scrub').focus()")
    chromium.press("ArrowLeft", 37)
    assert "person 1 (after)" in chromium.until("document.getElementById('scrub').getAttribute('aria-valuetext')")
    rows = list(csv.DictReader(io.StringIO(chromium.run(CSV))))
    assert len(rows) >= 3
    assert list(rows[0]) == columns_of(["after", "before"], NAMES)  # what `ganfer timeline` reads
    assert {row["person"] for row in rows} <= {"1", ""}  # a row without a person: nobody was seen
    assert {row["source"] for row in rows} == {"camera"}
    assert [int(row["frame"]) for row in rows] == list(range(len(rows)))
    last = [row for row in rows if row["person"]][-1]
    assert sum(float(last[f"p_{name}"]) for name in NAMES) == pytest.approx(1, abs=1e-3)
    at_peace(chromium, live)
    chromium.run("document.getElementById('camera').click()")
    assert chromium.run("document.getElementById('video').srcObject === null")
    assert chromium.run("document.getElementById('camera').textContent") == "Start camera"


def test_who_attends_is_shown_and_logged(chromium: Page, model_file: Path) -> None:
    eyes = Eyes(Bright(), Staring())  # type: ignore[arg-type]
    server = Server(lambda: [source_of("expression", model_file)], eyes, config(), device="cpu")
    with server.background() as listening:
        ready(chromium, listening)
        chromium.run("document.getElementById('camera').click()")
        said = chromium.until("document.querySelector('.person .attention:not([hidden])').textContent")
        assert said == "attentive (0° right, 0° up)"  # 25° to the side all the time: that is where the screen is
        row = next(row for row in csv.DictReader(io.StringIO(chromium.run(CSV))) if row["person"])
        assert list(row) == columns_of(["expression"], NAMES, attention=True)
        assert (row["attention"], row["yaw"], row["closed"], row["calibrated"]) == (
            "attentive",
            "0.0",
            "0.200",
            "False",
        )
        at_peace(chromium, listening)


def test_the_page_judges_attention_as_predict_does(chromium: Page, live: Listening) -> None:
    """Turning away by degrees, closing eyes that are usually half shut, a profile; both sides of both bounds."""
    steps = [(seconds / 5, {"yaw": 3.0 - seconds % 3, "pitch": -4.0, "closed": 0.3}) for seconds in range(28)]
    for k in range(60):
        turned, shut = 16.0 + 0.25 * k if k < 30 else 0.0, 0.52 if 30 <= k < 40 else 0.8 if k >= 45 else 0.3
        steps.append((5.6 + k / 5, {"yaw": turned, "pitch": -4.0 if k < 40 else 12.0, "closed": shut}))
    steps[40] = (steps[40][0], None)
    meter, wanted = AttentionMeter(), []
    for seconds, gaze in steps:
        mesh = gaze and Mesh(np.zeros((478, 2), np.float32), gaze["yaw"], gaze["pitch"], 0, 0, 0, gaze["closed"], {})
        face = FaceResult((0, 0, 9, 9), None, 1.0, {"m": {"happy": 1.0}}, track=1, mesh=mesh)
        attention = meter.update([face], seconds)[0].attention
        wanted.append([attention.state, attention.calibrated, attention.yaw])
    ready(chromium, live)
    script = f"""import("/static/attention.js").then(({{ Attention }}) => {{
      const meter = new Attention();
      return {json.dumps(steps)}.map(([seconds, gaze]) => meter.judge(1, gaze, seconds)).map(
        (one) => [one.state, one.calibrated, one.yaw]);
    }})"""
    found = chromium.run(script)
    assert [one[:2] for one in found] == [one[:2] for one in wanted]
    assert {one[0] for one in wanted} == {"attentive", "looking away"}
    np.testing.assert_allclose(*([one[2] for one in rows if one[2] is not None] for rows in (found, wanted)), atol=1e-9)


def test_a_photo_compared_by_other_models(chromium: Page, live: Listening, tmp_path: Path) -> None:
    ready(chromium, live, dark=True)
    photo = tmp_path / "photo.png"
    photo.write_bytes(encoded(scene((40, 30, 60, 50), (300, 200))))
    chromium.give_file("#file", photo)
    chromium.until("document.querySelectorAll('.person').length === 1")
    assert chromium.run("document.querySelector('.said .was').textContent").startswith("before: ")
    assert chromium.run("document.getElementById('lanes').hidden")  # a photo has no time
    first = chromium.run("document.querySelector('.bars').innerText")
    chromium.run(
        "const all = document.getElementById('model'); all.value = 'expression'; all.dispatchEvent(new Event('change'))"
    )
    chromium.until(f"document.querySelector('.key').innerText.includes('expression') && {first!r} !== ''")
    chromium.run("document.querySelector('#table-box').open = true")
    chromium.until("document.querySelectorAll('#table tbody tr').length === 2")
    at_peace(chromium, live)
    text = tmp_path / "photo.jpg"
    text.write_text("no picture")
    chromium.give_file("#file", text)
    chromium.until("document.getElementById('message').textContent.includes('no picture this browser shows')")


def test_a_video_runs_along_its_own_time(chromium: Page, live: Listening, tmp_path: Path) -> None:
    film = tmp_path / "film.webm"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"VP80"), 10.0, (320, 240))
    if not writer.isOpened():
        pytest.skip("OpenCV writes no WebM here")
    for picture in moving():
        writer.write(np.ascontiguousarray(np.asarray(picture)[:, :, ::-1]))
    writer.release()
    ready(chromium, live)
    chromium.give_file("#file", film)
    chromium.until("document.querySelectorAll('#tracks .lane:not(.axis)').length === 2")
    assert not chromium.run("document.getElementById('pause').hidden")
    chromium.until("document.getElementById('video').ended && document.getElementById('pace').hidden")
    rows = list(csv.DictReader(io.StringIO(chromium.run(CSV))))
    assert rows[0]["source"] == "film.webm"
    assert 0 <= float(rows[0]["seconds"]) <= float(rows[-1]["seconds"]) <= 2.5
    assert chromium.errors == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NotFoundError", "There is no camera"),
        ("NotAllowedError", "was not allowed"),
        ("NotReadableError", "holds the"),
    ],
)
def test_a_camera_that_does_not_start_says_why(chromium: Page, live: Listening, name: str, words: str) -> None:
    ready(chromium, live)
    chromium.run(f"void (navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{name}')))")
    chromium.run("document.getElementById('camera').click()")
    chromium.until(f"document.getElementById('message').textContent.includes({words!r})")
    assert chromium.run("document.getElementById('camera').getAttribute('aria-pressed')") == "false"


def test_a_busy_server_is_asked_again_and_a_failing_one_named(chromium: Page, live: Listening, tmp_path: Path) -> None:
    ready(chromium, live)
    photo = tmp_path / "photo.png"
    photo.write_bytes(encoded(scene()))
    chromium.run(
        "void ((real, first = true) => { window.fetch = (...all) => { if (!first) return real(...all); first = false; "
        "return Promise.resolve(new Response('{}', { status: 429, headers: { 'Retry-After': '0' } })); }; })(fetch)"
    )
    chromium.give_file("#file", photo)
    chromium.until("document.querySelectorAll('.person').length === 1")
    chromium.run(
        'void (window.fetch = () => Promise.resolve(new Response(\'{"error": "Too hot."}\', { status: 503 })))'
    )
    chromium.give_file("#file", photo)
    chromium.until("document.getElementById('message').textContent === 'Too hot.'")


def test_the_page_of_the_api_opens(chromium: Page, live: Listening) -> None:
    chromium.open(f"{live.url}/docs", width=400)
    chromium.until("document.querySelectorAll('section details').length > 30")
    chromium.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    at_peace(chromium, live)
