"""Chromium from Debian's packages, and pages laid out in it at several widths."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
WIDTHS = (400, 1400)
# A window can be no narrower than 500 px, a frame can. The probe shows that an error on the console would be seen.
_FRAMES = """<!DOCTYPE html><html><body>{frames}<pre id="found"></pre><script>
onload = () => {{
  console.error("probe");
  found.textContent = [...document.querySelectorAll("iframe")].map((frame) => {{
    const page = frame.contentDocument;
    page.querySelectorAll("details").forEach((details) => {{ details.open = true; }});
    return frame.width + ":" + page.documentElement.scrollWidth + ":" + page.querySelectorAll("section").length;
  }}).join(" ");
}};
</script></body></html>"""


@dataclass(frozen=True)
class Layout:
    """A page in a frame: the frame's width, what its content needs (both in pixels), its number of sections."""

    page: Path
    width: int
    needs: int
    sections: int


def laid_out(pages: Sequence[Path], folder: Path) -> list[Layout]:
    """Every page at every width, all details open; fails when one puts anything on the console."""
    assert CHROMIUM
    frames = [(page, width) for page in pages for width in WIDTHS]
    tags = (f'<iframe src="{page.as_uri()}" width="{width}" height="600"></iframe>' for page, width in frames)
    (folder / "frames.html").write_text(_FRAMES.format(frames="".join(tags)), encoding="utf-8")
    flags = (*FLAGS, "--allow-file-access-from-files", "--enable-logging=stderr", "--dump-dom")
    command = [CHROMIUM, *flags, f"--user-data-dir={folder / 'profile'}", (folder / "frames.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="found">([^<]+)</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert len(console) == 1, console
    assert "probe" in console[0]
    measured = [tuple(map(int, entry.split(":"))) for entry in found[1].split()]
    return [Layout(page, *numbers) for (page, _), numbers in zip(frames, measured, strict=True)]
