"""The pages in a real browser, by the keyboard alone and with a mouse; phone and desktop; two at once; a kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from browser import CHROMIUM
from chromium_pipe import Page, browser
from tiny import NAMES
from walls import labelled_workspace, review_server

from ganfer.generate.batch import read_batch
from ganfer.pipeline import Project
from ganfer.review.decisions import log_of
from ganfer.serve.server import Listening
from ganfer.workspace import Run, Workspace

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed")
COUNT = 1500
KEYS = {"ArrowRight": 39, "ArrowDown": 40, "ArrowLeft": 37, "End": 35, "Home": 36, "Tab": 9, "Escape": 27, "Enter": 13}
UNNAMED = """[...document.querySelectorAll("button, select, input, a, img, [role=listbox]")].filter((each) =>
  each.checkVisibility() && !each.hasAttribute("alt") &&
  !(each.innerText || each.labels?.[0]?.innerText || each.getAttribute("aria-label"))).length"""


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Run]:
    return labelled_workspace(tmp_path_factory.mktemp("walled") / "work", COUNT)


@pytest.fixture(scope="module")
def listening(walled: tuple[Workspace, Run]) -> Iterator[Listening]:
    with review_server(walled[0], "ada").background() as listening:
        yield listening


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


def ready(page: Page, listening: Listening, path: str = "", **options: int) -> None:
    page.open(listening.link + path, **options)  # type: ignore[arg-type]
    page.until("document.documentElement.dataset.ready")


def press(page: Page, *keys: str, shift: bool = False) -> None:
    for key in keys:
        code = KEYS.get(key, ord(key.upper()[0]))
        for kind in ("keyDown", "keyUp"):
            page.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                modifiers=8 if shift else 0, text="\r" if key == "Enter" and kind == "keyDown" else "",
            )  # fmt: skip


def at_peace(page: Page, listening: Listening) -> None:
    """Nothing on the console, nothing asked of another place, nothing wider than the screen, nothing without a name."""
    assert page.errors == []
    elsewhere = [url for url in page.requests if not url.startswith((listening.url, "blob:", "data:"))]
    assert (elsewhere, page.run(UNNAMED)) == ([], 0)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")


def spoken(page: Page) -> str:
    """What a screen reader says of the face in focus."""
    script = """(() => { const active = document.getElementById("wall").getAttribute("aria-activedescendant");
      return document.getElementById(active).getAttribute("aria-label"); })()"""
    return str(page.run(script))


@pytest.mark.parametrize("width", [400, 1400])
def test_faces_are_decided_on_by_the_keyboard_alone(
    chromium: Page, listening: Listening, walled: tuple[Workspace, Run], width: int
) -> None:
    batch, names = walled[1], read_batch(walled[1]).file_names
    before = log_of(batch.path).state()
    ready(chromium, listening, width=width)
    for _ in range(20):
        press(chromium, "Tab")
        if chromium.run("document.activeElement.id") == "wall":
            break
    assert chromium.run("document.activeElement.id") == "wall"
    shown = chromium.run("[...ganferFaces().shown.slice(0, 5)]")
    doubts = chromium.run("[...ganferFaces().shown].map((i) => ganferFaces().doubt[i])")
    assert doubts == sorted(doubts, reverse=True)
    press(chromium, "ArrowRight", "r", "k", "3")  # each moves on
    chromium.until(f"ganferFaces().decision[{shown[3]}] === 2")
    after = log_of(batch.path).state()
    assert after[names[shown[1]]].word == "reject"
    assert after[names[shown[2]]].keep
    assert after[names[shown[3]]].label == NAMES[2]
    press(chromium, "ArrowLeft")
    assert "kept as sad by ada" in spoken(chromium)
    press(chromium, "u")
    chromium.until(f"ganferFaces().decision[{shown[3]}] === -2")
    press(chromium, "Home")
    press(chromium, "ArrowRight", "ArrowRight", "ArrowRight", shift=True)
    press(chromium, "r")  # four at once
    chromium.until(f"ganferFaces().decision[{shown[0]}] === -1")
    press(chromium, "u", "u", "u")
    chromium.until(f"ganferFaces().decided === {len(before)}")
    assert log_of(batch.path).state() == before
    press(chromium, "End")
    assert f"{COUNT}" == chromium.run("document.getElementById('now').getAttribute('aria-posinset')")
    chromium.until(
        "document.getElementById('picture').complete && document.getElementById('picture').naturalWidth > 200"
    )
    chromium.until("document.querySelectorAll('#bars li').length === 3")
    chromium.until("ganferGrid.sheets.size > 1 && ganferGrid.loading.size === 0")
    at_peace(chromium, listening)


def test_a_rubber_band_selects_and_filters_narrow(
    chromium: Page, listening: Listening, walled: tuple[Workspace, Run]
) -> None:
    ready(chromium, listening)
    chromium.run("window.box = ganferGrid.box.getBoundingClientRect()")
    x, y, cell = chromium.run("[box.x, box.y, ganferGrid.cell]")

    def mouse(kind: str, dx: float, dy: float) -> None:
        chromium.call("Input.dispatchMouseEvent", type=kind, x=x + dx, y=y + dy, button="left", buttons=1, clickCount=1)

    mouse("mousePressed", 0.5 * cell, 0.5 * cell)
    mouse("mouseMoved", 1.5 * cell, 1.2 * cell)
    mouse("mouseMoved", 2.5 * cell, 1.5 * cell)
    mouse("mouseReleased", 2.5 * cell, 1.5 * cell)
    columns = chromium.run("ganferGrid.columns")
    assert chromium.run("[...ganferGrid.selected].sort((a, b) => a - b)") == [
        0,
        1,
        2,
        columns,
        columns + 1,
        columns + 2,
    ]
    chromium.run("document.getElementById('reject').click()")
    chromium.until("ganferFaces().decided === 6")
    assert len(log_of(walled[1].path).state()) == 6
    chromium.run("document.getElementById('decided').value = 'rejected'")
    chromium.run("document.getElementById('decided').dispatchEvent(new Event('change'))")
    chromium.until("ganferFaces().shown.length === 6")
    chromium.run("document.getElementById('undo').click()")
    chromium.until("ganferFaces().decided === 0")


def test_a_long_wall_draws_only_what_is_in_sight(chromium: Page, listening: Listening) -> None:
    ready(chromium, listening)
    for k in range(41):
        chromium.run(f"ganferGrid.box.scrollTop = {k / 40} * ganferGrid.box.scrollHeight")
    chromium.until("ganferGrid.loading.size === 0 && ganferGrid.waiting.length === 0")
    assert chromium.run("document.querySelectorAll('#long canvas').length") <= 6
    assert chromium.run("document.querySelectorAll('*').length") < 250
    assert chromium.run("ganferGrid.sheets.size") <= 40
    assert chromium.run("[...ganferGrid.bands.keys()].every((n) => ganferGrid.sheets.has(ganferGrid.address(n)))")


def test_two_people_at_once_see_each_others_decisions(
    chromium: Page, listening: Listening, walled: tuple[Workspace, Run], tmp_path: Path
) -> None:
    ready(chromium, listening)
    with review_server(walled[0], "ben").background() as other, browser(tmp_path) as second:
        ready(second, other)
        first, next_one = chromium.run("[...ganferFaces().shown.slice(0, 2)]")
        press(chromium, "r")
        press(second, "ArrowRight", "k")
        chromium.until(f"ganferFaces().by.get({next_one}) === 'ben'", 20)
        second.until(f"ganferFaces().by.get({first}) === 'ada'", 20)
    assert log_of(walled[1].path).reviewers == ["ada", "ben"]
    log_of(walled[1].path).undo("ben")
    log_of(walled[1].path).undo("ada")


def test_the_blind_test_goes_by_keys_and_the_past_is_shown(
    chromium: Page, listening: Listening, walled: tuple[Workspace, Run]
) -> None:
    ready(chromium, listening, "blind", width=400)
    at_peace(chromium, listening)
    for k in range(12):
        chromium.until(f"document.getElementById('place').textContent === 'Face {k + 1} of 12'")
        press(chromium, "m" if k % 2 else "r", "2", "Enter")
    chromium.until("!!document.querySelector('#result td')")
    assert chromium.run("document.querySelector('#result th[scope=row]').textContent") == "ada"
    at_peace(chromium, listening)
    ready(chromium, listening, "experiment", width=400)
    chromium.until("document.getElementById('sheet-1').naturalWidth > 0")
    assert "kept faces of angry" in chromium.run("document.getElementById('text-0').textContent")
    at_peace(chromium, listening)


def test_a_killed_server_has_lost_nothing(tmp_path: Path) -> None:
    _, batch = labelled_workspace(tmp_path / "work", 12)
    command = [sys.executable, "-m", "ganfer", "review", "-w", "work", "--port", "0", "--reviewer", "eve"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        assert process.stderr
        line = next(line for line in process.stderr if "http://" in line)
        url = line[line.index("http://") :].split()[0].rstrip("/")
        decided = 0
        with httpx.Client(base_url=url, timeout=30) as client:
            for i in range(5):
                answer = client.post(f"/api/wall/faces/{batch.name}/decide", json={"faces": [i], "do": "reject"})
                decided += answer.status_code == 200
            process.send_signal(signal.SIGKILL)
        process.stderr.read()
    assert decided == 5
    with log_of(batch.path).path.open("a") as torn:
        torn.write('{"id":"half')
    assert len(log_of(batch.path).state("eve")) == 5
    assert Project(tmp_path / "work").review(agreement=True).figures["reviewers"] == {"eve": 5}
