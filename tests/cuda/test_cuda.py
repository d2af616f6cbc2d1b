"""The CUDA path on the stand-in: it runs, it never waits for the device inside a loop, it launches little."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_hooks
import pytest
from scenarios import SCENARIOS

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(fake_hooks.why_not()), reason=fake_hooks.why_not() or "here it can be"),
    pytest.mark.timeout(600),  # all scenarios run before the first test: 40 s on a quiet core
]

# launches per step at most; the GANs' at 16 px; resgan with the guide
LIMITS = {
    "classifier": 300,
    "classifier AdamW": 260,
    "classifier SGD": 250,
    "classifier recorded": 20,
    "classifier recorded AdamW": 20,
    "classifier recorded, mixed": 20,
    "classifier recorded, larger than the GPU": 20,
    "classifier recorded without bf16": 20,
    "classifier recorded without bf16, SGD": 20,
    "classifier recorded, thawed": 20,
    "classifier recorded, refitted": 20,
    "resgan recorded": 20,
    "resgan fp16 recorded": 20,
    "stylegan2 recorded": 20,
    "resgan": 860,
    "resgan fp32": 575,
    "dcgan": 390,
    "stylegan2": 1270,
    "drawing": 45,
    "drawing, recorded": 12,
    "StyleGAN2 drawing": 260,
}
# rows of the table in docs/speed.md: the scenario of a plain step, and of a recorded one
TABLE = {
    "`compact` with Muon": ("classifier", "classifier recorded"),
    "`compact-small` with AdamW": ("classifier AdamW", "classifier recorded AdamW"),
    "`compact-small` with mixup and CutMix": (None, "classifier recorded, mixed"),
    "`resgan`, defaults, 16 px": ("resgan", "resgan recorded"),
    "`stylegan2` without the guide, 16 px": ("stylegan2", "stylegan2 recorded"),
}
# per step, pass of a drawing, or image of a steering, where there is anything to wait for
WAITS = {
    "dcgan larger than the GPU": 1,  # which images to send
    "serving": 1,  # the answer
    "drawing": 1,  # the pixels
    "drawing, recorded": 1,
    "StyleGAN2 drawing": 1,
    "steering": 0.5,  # of an image: margins, pixels and codes that are shown to the judge, in batches
    "steering a GAN": 0.3,
    "steering, Apple": 1.3,  # whose memory is not pinned
    "steering, ascent": 1,  # how many still climb
    "steering, evolution": 1,  # the children's margins
}


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    """What every scenario says; all run in one process of their own, whose driver stays replaced."""
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": str(here.parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(here / "run_scenarios.py")], env=environment, capture_output=True, text=True, timeout=580
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_runs_without_a_wait_per_step(answers, name):
    answer = answers[name]
    assert "error" not in answer, answer["error"]
    assert answer["figures"]["syncs"] <= WAITS.get(name, 0)


@pytest.mark.parametrize("name", LIMITS)
def test_a_step_launches_few_kernels(answers, name):
    assert 3 < answers[name]["figures"]["kernels"] <= LIMITS[name]


def test_the_documents_say_how_many(answers):
    text = (Path(__file__).parents[2] / "docs" / "speed.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    found = {cells[0].strip(): [cell.strip().replace(",", "") for cell in cells[1:]] for cells in rows}
    for name, scenarios in TABLE.items():
        for cell, scenario in zip(found[name], scenarios, strict=True):
            assert bool(cell) == bool(scenario), name
            if scenario:
                assert float(cell) == pytest.approx(answers[scenario]["figures"]["kernels"], rel=0.005), scenario


def test_memory_that_runs_out_splits_the_batch(answers):
    for name in ("classifier out of memory", "classifier out of cuDNN's memory"):
        assert answers[name]["figures"]["micro_batches"] == 2
    assert answers["classifier"]["figures"]["micro_batches"] == 1
