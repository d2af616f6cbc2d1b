"""How smoothly `ganfer review` scrolls through 100,000 faces, and what that takes in memory.

    python benchmarks/review_scroll.py [--faces 100000] [--seconds 20]

Made: a batch of striped 48-pixel images in shards, labels drawn at random (seed 0); a headless Chromium at 1,400 x 900
and at 400 x 900. Measured in the page: the time between two frames while the wall scrolls at 3,000 pixels a second, and
in leaps to random places how long until every thumbnail in sight is there. Memory: proportional set sizes of the
server's process and of the browser's. Writes benchmarks/results/review_scroll.json.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "tests" / "review")]

from chromium_pipe import Page, browser  # noqa: E402
from walls import labelled_workspace, review_server  # noqa: E402

import ganfer  # noqa: E402
from ganfer.runtime.files import write_json  # noqa: E402

SPEED = 3000  # pixels a second
LEAPS = 30
_SCROLL = """new Promise((resolve) => {
  const times = [], box = ganferGrid.box; let before = null; const start = performance.now();
  box.scrollTop = 0;
  const frame = (now) => {
    if (before !== null) times.push(now - before);
    before = now;
    box.scrollTop = (now - start) / 1000 * SPEED;
    if (now - start < SECONDS * 1000) requestAnimationFrame(frame); else resolve(times);
  };
  requestAnimationFrame(frame);
})"""
_LEAP = """new Promise((resolve) => {
  const box = ganferGrid.box, start = performance.now();
  box.scrollTop = SHARE * (box.scrollHeight - box.clientHeight);
  const look = () => {
    const numbers = [...ganferGrid.bands.keys()];
    const there = performance.now() - start > 30 && numbers.length && numbers.every((n) => {
      const top = n * 6 * ganferGrid.cell - box.scrollTop;
      return top > box.clientHeight || top + 6 * ganferGrid.cell < 0 || ganferGrid.sheets.has(ganferGrid.address(n));
    });
    if (there) resolve(performance.now() - start); else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""


def megabytes(pids: list[int]) -> float:
    """Proportional set size of processes, in MB: shared pages are counted once over all that share them."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(total / 1024, 1)


def children(pid: int) -> list[int]:
    """All processes below one."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def spread(values: list[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile, largest; milliseconds."""
    shares = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    return {name: round(float(np.percentile(values, share)), 1) for name, share in shares.items()}


def scrolled(page: Page, url: str, width: int, seconds: float) -> dict[str, Any]:
    """One browser's figures at a width."""
    began = time.perf_counter()
    page.open(url, width=width)
    page.until("document.documentElement.dataset.ready && ganferGrid.sheets.size > 0")
    opened = time.perf_counter() - began
    frames = page.run(_SCROLL.replace("SPEED", str(SPEED)).replace("SECONDS", str(seconds)))
    rng = np.random.default_rng(0)
    leaps = [page.run(_LEAP.replace("SHARE", str(share))) for share in rng.random(LEAPS)]
    return {
        "seconds_to_open": round(opened, 2),
        "frame_ms": spread(frames),
        "frames": len(frames),
        "frames_over_50_ms": sum(value > 50 for value in frames),
        "leap_ms": spread(leaps),
        "elements": page.run("document.querySelectorAll('*').length"),
        "javascript_heap_mb": round(page.run("performance.memory.usedJSHeapSize") / 1e6, 1),
        "browser_mb": megabytes(children(os.getpid())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace, batch = labelled_workspace(Path(folder) / "work", given.faces, size=48)
        server = review_server(workspace, "bench")
        began = time.perf_counter()
        server._desk.wall("faces", batch.name)
        made = time.perf_counter() - began
        cache = sum(file.stat().st_size for file in (batch.path / "review").rglob("*.npy"))
        with server.background() as listening, browser(Path(folder) / "browser") as page:
            before = os.getloadavg()[0]
            widths = {str(width): scrolled(page, listening.link, width, given.seconds) for width in (1400, 400)}
            server_mb = megabytes([os.getpid()])
    write_json(
        HERE / "results" / "review_scroll.json",
        {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU; load {before:.1f} when it began",
            "ganfer": ganfer.__version__,
            "faces": given.faces,
            "seed": 0,
            "pixels_per_second": SPEED,
            "leaps": LEAPS,
            "thumbnails": {"seconds": round(made, 1), "mb_on_disk": round(cache / 1e6, 1)},
            "server_mb": server_mb,
            "widths": widths,
        },
    )
    print((HERE / "results" / "review_scroll.json").read_text())


if __name__ == "__main__":
    main()
