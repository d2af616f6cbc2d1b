"""The whole job on FER2013: add, check, train the GAN, generate 500 for balance, label, retrain. Resumes where it was.

    python benchmarks/fer2013.py fer2013.tar.xz --workspace fer-work

The archive holds class folders under train/ and test/ (the public test serves as the test split). Writes what was
found, without any picture, to benchmarks/results/fer2013.json. The settings are those of the config `fer2013-cpu`
(`--config` names another); the seconds are those of every stage's record.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from ganfer.config import load_config
from ganfer.pipeline import Project
from ganfer.workspace import Run

RESULT = Path(__file__).parent / "results" / "fer2013.json"


def main() -> None:
    """Run what is missing, then write the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="FER2013 as class folders below train/ and test/")
    parser.add_argument("--workspace", type=Path, default=Path("fer-work"))
    parser.add_argument("--config", default="fer2013-cpu")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", default="original,oversample,synthetic")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()

    config = load_config(options.config, {"retrain.seeds": options.seeds, "retrain.arms": options.arms})
    project = Project(options.workspace, config)
    project.add(options.archive)
    found = project.check(drop=True).figures
    data = project.need_data()
    gan = project.need_gan()
    batch = project.generate(500, balance=True)
    labels = project.label()
    report = project.retrain()
    print(report)

    results = report.figures
    summary = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU" if not _has_gpu() else "with a GPU",
        "load_average": os.getloadavg(),
        "config": options.config,
        "versions": results["run"]["versions"],
        "data": {"counts": results["data"]["train"], "test": results["data"]["test"], "check": _counts_only(found)},
        "gan": {
            name: gan.figures[name] for name in ("steps", "images", "best_step", "kid", "kid_by_class", "guide_recall")
        },
        "labelling": labels.figures,
        "verdict": results["verdict"],
        "arms": [
            {name: arm[name] for name in ("name", "train_counts", "synthetic_counts", "steps", "metrics", "per_class")}
            for arm in results["arms"]
        ],
        "comparisons": results["comparisons"],
        "seconds": {
            "add": _seconds(project.workspace.root / "data", "fer2013"),
            "train gan": gan.record["seconds"],
            "generate": Run(batch.path).record["seconds"] if batch.path else None,
            "label": Run(labels.path).record["seconds"] if labels.path else None,
            "train classifier": project.need_classifier().record["seconds"],
            "retrain": Run(report.path).record["seconds"] if report.path else None,
        },
        "set": data.name,
        "seeds": results["settings"]["seeds"],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(summary, indent=1) + "\n")
    print(f"\nwritten: {options.out}")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _seconds(folder: Path, prefix: str) -> float | None:
    """Seconds of the first import into a workspace."""
    runs = [Run(path) for path in sorted(folder.glob(f"{prefix}-*")) if "clean" not in path.name]
    return runs[0].record.get("seconds") if runs else None


def _counts_only(figures: Any) -> Any:
    """Numbers and short words of the check; no lists of files."""
    if isinstance(figures, dict):
        return {key: _counts_only(value) for key, value in figures.items() if not isinstance(value, list)}
    return figures


if __name__ == "__main__":
    main()
