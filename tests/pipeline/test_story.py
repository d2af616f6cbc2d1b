"""The daily use, whole: three commands in an empty folder, with settings that take seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """# seconds instead of minutes
[data]
size = 32
[drawn]
total = 350
val = 70
test = 105
[gan]
steps = 12
snapshot_every = 6
base_channels = 8
batch_size = 16
[classifier]
model = "compact-small"
epochs = 2
tensorboard = false
[label]
min_confidence = "0"
require_match = false
manifold = 0.0
copies = false
diverse = false
[retrain]
seeds = 2
workers = 1
resamples = 100
"""


def ganfer(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "ganfer", *arguments, "--config", "fast.toml"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.long
def test_generate_label_retrain_in_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "fast.toml").write_text(SETTINGS)

    generated = ganfer(tmp_path, "generate", "--n", "35")
    assert generated.returncode == 0, generated.stderr
    assert "Plan: first draw 350 training faces (no data was added); then train the resgan" in generated.stderr
    batch = next((tmp_path / "ganfer-work" / "synthetic").iterdir())
    assert len(list((batch / "images").glob("*.png"))) == 35

    labelled = ganfer(tmp_path, "label")
    assert labelled.returncode == 0, labelled.stderr
    assert "Plan: first train the classifier (compact-small)" in labelled.stderr
    assert "entropy of the labels relative to uniform" in labelled.stdout

    retrained = ganfer(tmp_path, "retrain", "--json")
    assert retrained.returncode == 0, retrained.stderr
    results = json.loads(retrained.stdout)
    arms = {arm["name"]: arm for arm in results["arms"]}
    assert list(arms) == ["original", "oversample", "logit-adjusted", "synthetic", "synthetic+best"]
    assert sum(arms["synthetic"]["synthetic_counts"].values()) == 35
    assert results["recommendation"]["arm"] in arms
    assert sum(results["data"]["test"].values()) == 105
    # no drawn person is in two splits: faces that look alike are not called leaks
    assert "split nearer to the test" not in retrained.stderr + " ".join(results["data"]["notes"])
    assert (
        Path(results["path"] if Path(results["path"]).is_absolute() else tmp_path / results["path"]) / "index.html"
    ).is_file()

    again = ganfer(tmp_path, "retrain")
    assert "was already done" in again.stderr
    status = ganfer(tmp_path, "status")
    assert "index.html" in status.stdout


def test_a_plan_in_an_empty_folder_ends_with_what_was_asked_for(tmp_path: Path) -> None:
    from ganfer.config import load_config
    from ganfer.pipeline import Project

    def planned(*, conditional: bool = True, **asked: object) -> list[str]:
        project = Project(tmp_path / "empty", load_config(overrides={"gan.conditional": conditional}))
        found: list[str] = project.generate(**asked, dry_run=True).figures["plan"]  # type: ignore[arg-type]
        return found

    assert "generate 500 faces:" in planned()
    assert planned(n=200)[-1].split()[0::2] == ["all", "200"]
    assert "generate 200 faces:" in planned(conditional=False, n=200)
    assert any(line.startswith("generate 2 faces") for line in planned(conditional=False, seeds=[3, 4]))
    drawn, added, together = planned(balance=True)[-1].replace(",", "").split()[1:]
    assert int(drawn) + int(added) == int(together)
    assert not (tmp_path / "empty").exists()
