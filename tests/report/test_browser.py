"""The page in a real browser: as narrow as a phone, without a word on the console."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from examples import results

from ganfer.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files"),
    *("--enable-logging=stderr", "--dump-dom"),
)
# A window can be no narrower than 500 px, a frame can. The probe shows that an error on the console would be seen.
FRAMES = """<!DOCTYPE html><html><body>{frames}<pre id="found"></pre><script>
onload = () => {{
  console.error("probe");
  found.textContent = [...document.querySelectorAll("iframe")].map((frame) => {{
    const page = frame.contentDocument;
    page.querySelectorAll("details").forEach((details) => {{ details.open = true; }});
    return frame.width + ":" + page.documentElement.scrollWidth + ":" + page.querySelectorAll("section").length;
  }}).join(" ");
}};
</script></body></html>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_fits_a_phone_and_a_desktop_without_console_errors(tmp_path: Path) -> None:
    assert CHROMIUM
    many = results(6, 8)
    many["arms"][1]["title"] = "T" * 70
    many["data"]["notes"].append("n" * 200)
    pages = [
        write_report(tmp_path / "two", results(2, 7)),
        write_report(tmp_path / "many", many),
        write_report(tmp_path / "odd", results(2, 4, ["x" * 90, "<b>", "غاضب", "d"])),
    ]
    frames = [
        f'<iframe src="{page.as_uri()}" width="{w}" height="600"></iframe>' for page in pages for w in (400, 1400)
    ]
    (tmp_path / "frames.html").write_text(FRAMES.format(frames="".join(frames)), encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "frames.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r'<pre id="found">([^<]+)</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    measured = [tuple(map(int, entry.split(":"))) for entry in found[1].split()]
    assert len(measured) == len(frames)
    assert [entry for entry in measured if entry[1] > entry[0] or entry[2] < 11] == []
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert len(console) == 1, console
    assert "probe" in console[0]
