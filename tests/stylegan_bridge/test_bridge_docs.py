"""The page on StyleGAN2 says what is so: its settings and figures are the code's."""

import json
import re
from pathlib import Path

from ganfer.config import field_of
from stylegan_bridge import KNOWN_NETWORKS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "stylegan2.md").read_text(encoding="utf-8")


def test_its_scripts_exist() -> None:
    named = set(re.findall(r"benchmarks/[\w./]+\.(?:py|json)", PAGE))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_its_settings_and_defaults_are_the_codes() -> None:
    rows = re.findall(r"^\| `(steering\.\w+)` \| (\S+) \|", PAGE, re.MULTILINE)
    assert len(rows) >= 8
    for path, default in rows:
        own = field_of(path).default
        assert default == (str(own) if own != "" else "all") or float(default) == own, path


def test_it_names_every_known_network() -> None:
    assert all(f"`{name}`" in PAGE for name in KNOWN_NETWORKS)


def test_its_figures_are_the_results() -> None:
    exact = json.loads((ROOT / "benchmarks" / "results" / "stylegan_exactness.json").read_text())
    assert f"at most {exact['max_abs_difference']:.1e}".replace("e-0", "e-") in PAGE
    for threads in (1, 2):
        speed = json.loads((ROOT / f"benchmarks/results/stylegan_speed_cpu_256px_{threads}threads.json").read_text())
        low, high = speed["wall"]["median_ratio_95"]
        assert f"{speed['wall']['median_ratio']:.2f}" in PAGE
        assert f"[{low:.2f}, {high:.2f}]" in PAGE
