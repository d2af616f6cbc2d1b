"""The annotated films of predict play in a browser, from a file as from the page that reads a video."""

from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM
from chromium_pipe import browser

from ganfer.live.films import film

PLAY = """new Promise((done) => {
  const video = document.createElement("video");
  video.muted = true;
  video.onerror = () => done("error " + video.error.message);
  video.onseeked = () => done([video.videoWidth, video.duration, video.currentTime]);
  video.onloadeddata = () => { video.currentTime = 0.6; };
  video.src = "copy.mp4";
})"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_a_browser_plays_an_annotated_film(tmp_path: Path) -> None:
    with film(tmp_path / "copy.mp4", 10) as out:
        for i, seconds in enumerate((0.0, 0.1, 0.5, 0.7)):
            out.add(np.full((48, 64, 3), 60 * i, np.uint8), seconds)
    (tmp_path / "page.html").write_text("<!DOCTYPE html><html><body></body></html>")
    with browser(tmp_path) as page:
        page.open((tmp_path / "page.html").as_uri())
        page.until("document.readyState === 'complete'")
        width, seconds, at = page.run(PLAY)
    assert (width, at) == (64, 0.6)
    assert seconds == pytest.approx(0.8, abs=0.02)
