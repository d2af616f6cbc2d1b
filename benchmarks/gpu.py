"""Every figure that needs a GPU, in order of worth, within 40 minutes; the same command again goes on.

    python benchmarks/gpu.py [--minutes 40] [--only NAME ...] [--shared DIR] [--result FILE] [--dry]

Each goal runs in a process of its own, so that one that fails or hangs costs itself alone. Its outcome (figures, each
target met or missed, the card it ran on, the GPU memory it took) goes into --result at once. A finished goal is not
run again, but for --only NAME; one that failed, was cut off or lacked its data is. Where the time is short, for
example three calls of ten minutes (--minutes 9.5), a goal that would not be over is left to the next call, and a
shorter one runs. Long trainings are kept in --work, save what they have when their time is up, and go on there.
What needs FER2013 (fer2013, gan, experiment) looks for DIR/data/fer2013.tar.xz. --dry runs every goal with tiny sizes,
on a drawn set of FER2013's layout, and writes no result: on a processor, or in the tests.

"Usual" loops are torchvision's ImageFolder and DataLoader with per-image transforms and plain PyTorch; the number of
loader workers is part of the goal. Rates are of the loop itself, both sides after their start. StyleGAN2's usual loop
draws one image after the other with the same network and writes it with Pillow, as NVIDIA's generate.py does; beside
NVIDIA's own code: benchmarks/stylegan_speed.py --reference DIR --device cuda --resolution 1024 --graphs. Images of the
speed goals are smooth random textures: what they show does not matter for speed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from importlib import metadata
from pathlib import Path

from gpu_fer2013 import DATA
from gpu_goals import GOALS
from gpu_sizes import DRY, FULL, Figures, Sizes

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "gpu.json"
_GRACE = 20.0  # seconds that a goal has to save what it has, when its time is up
_LEAST = 45.0  # seconds below which even a goal that goes on later is not begun


def machine() -> Figures:
    """Where figures come from: card, memory, driver, versions."""
    import torch

    from classifiers.scheduler import cores
    from ganfer.runtime.device import describe, resolve_device

    found: Figures = {
        "device": describe(resolve_device("auto")), "cores": cores(), "python": platform.python_version(),
        "torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
        "mps": shutil.which("nvidia-cuda-mps-control") is not None,
    }  # fmt: skip
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["torchvision"] = metadata.version("torchvision")
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found |= {"memory_gb": round(card.total_memory / 1e9, 1), "capability": f"{card.major}.{card.minor}"}
        found["multiprocessors"] = card.multi_processor_count
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        query = ["nvidia-smi", "--query-gpu=driver_version,power.limit", "--format=csv,noheader", "--id=0"]
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
        if said.returncode == 0:
            found["driver"], found["power_limit"] = (part.strip() for part in said.stdout.partition(",")[::2])
    return found


def missing_packages() -> list[str]:
    """Dependencies of ganfer that are not installed here; opencv under any of its names."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    there = {str(found.metadata["Name"]).lower().replace("_", "-") for found in metadata.distributions()}
    names = [text.partition(">")[0].strip() for text in wanted]
    return [name for name in names if name not in there and not any(known.startswith(f"{name}-") for known in there)]


def one(name: str, sizes: Sizes, shared: Path, work: Path) -> Figures:
    """Run a goal in this process."""
    import torch

    goal = GOALS[name]
    with tempfile.TemporaryDirectory(prefix="ganfer-gpu-") as scratch:
        folder = work / goal.keeps if goal.keeps else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        figures = goal.run(sizes, shared, folder)
    if sizes.device == "cuda" and torch.cuda.is_initialized():  # of this process: workers have their own
        figures["gpu_memory_gb"] = round(torch.cuda.max_memory_reserved() / 1e9, 2)
    return figures


def run_goals(
    names: list[str], minutes: float, shared: Path, work: Path, dry: bool, *, result: Path = RESULT, again: bool = False
) -> Figures:
    """Every goal not yet finished (again: these too), as far as the time goes; what is known is written after each."""
    ends = time.monotonic() + 60 * minutes
    known: Figures = {"goals": {}} if dry else read_result(result)
    here = {} if dry else machine()
    if not dry:
        known["machine"] = here
    later, begun = list[str](), False
    for name in names:
        goal = GOALS[name]
        if not again and "figures" in known["goals"].get(name, {}):
            continue
        left = ends - time.monotonic()
        if left < _LEAST or (begun and not goal.keeps and left < 60 * goal.minutes):
            later.append(name)  # the first one of a call takes what time there is
            continue
        began, begun = time.monotonic(), True
        outcome = {"wanted": goal.wanted, **_in_a_process(name, min(left, 60 * goal.minutes), shared, work, dry)}
        outcome |= {"seconds": round(time.monotonic() - began, 1), "card": here.get("device", "")}
        if "figures" in outcome and not dry:
            outcome["targets"] = [target.verdict(outcome["figures"]) for target in goal.targets]
        known["goals"][name] = outcome
        print(f"{name}: {json.dumps(outcome)}", file=sys.stderr, flush=True)
        if not dry:
            write_result(result, known)
    if later:
        print(f"not begun, for lack of time: {', '.join(later)}; the same command goes on", file=sys.stderr)
    return known


def read_result(file: Path) -> Figures:
    """What is known so far."""
    if not file.is_file():
        return {"goals": {}}
    try:
        known: Figures = json.loads(file.read_text())
        known["goals"].items()
    except (ValueError, KeyError, AttributeError, TypeError):
        sys.exit(f"{file} is damaged: move it away, and everything is measured anew.")
    return known


def write_result(file: Path, known: Figures) -> None:
    """Whole or not at all: the time may be up at any moment."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(known, indent=1) + "\n")
    part.replace(file)


def _in_a_process(name: str, seconds: float, shared: Path, work: Path, dry: bool) -> Figures:
    places = ["--shared", str(shared), "--work", str(work)]
    command = [sys.executable, __file__, "--one", name, *places, *(["--dry"] if dry else [])]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])  # also of its workers
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            command, stdout=out, stderr=errors, env=os.environ | {"PYTHONPATH": paths}, start_new_session=True
        )
        in_time = _ended(child, seconds)
        out.seek(0), errors.seek(0)
        said, complaints = out.read().strip(), errors.read().strip()
    if not in_time:
        kept = "; what it has is kept" if GOALS[name].keeps else ""
        return {"unfinished": f"not over in {seconds:.0f} s{kept}"}
    if child.returncode:
        return {"error": complaints[-1500:] or f"ended with code {child.returncode}"}
    figures = json.loads(said.splitlines()[-1])
    return figures if "left_out" in figures else {"figures": figures}


def _ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it ended by itself in time; else it, and all that it started, is asked to save and then ended."""
    try:
        child.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(patience)
        return False
    except BaseException:  # Ctrl-C: the child has a session of its own
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        raise


def table(known: Figures) -> str:
    """All goals in a few lines: what was wanted, what came of it."""
    lines = []
    for name, goal in GOALS.items():
        outcome = known["goals"].get(name)
        if outcome is None:
            lines.append(f"{name}: not run yet ({goal.wanted})")
            continue
        kind = next((k for k in ("error", "unfinished", "left_out") if k in outcome), "")
        if kind:
            lines.append(f"{name}: {kind.replace('_', ' ')}: {str(outcome[kind]).splitlines()[-1][:160]}")
            continue
        found = [f"{t['figure']} {t['found']} ({t['wanted']}: {t['verdict']})" for t in outcome.get("targets", [])]
        lines.append(f"{name}: {', '.join(found) or 'measured'} [{outcome['card']}, {outcome['seconds']} s]")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=40.0, help="for all goals of this call")
    parser.add_argument("--only", nargs="+", choices=GOALS, help="these goals, also where they are finished")
    parser.add_argument("--shared", type=Path, help="the folder that holds data/fer2013.tar.xz")
    parser.add_argument("--work", type=Path, default=ROOT / "ganfer-work" / "gpu", help="where long trainings are kept")
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--one", choices=GOALS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))  # also where ganfer is not installed
    places = [ROOT / "shared", ROOT.parent / "shared"]
    shared = arguments.shared or next((place for place in places if (place / DATA).is_file()), places[-1])
    if arguments.one:
        figures = one(arguments.one, DRY if arguments.dry else FULL, shared, arguments.work)
        print(json.dumps(figures, default=float))  # the last line of stdout
        return
    if missing := missing_packages():
        print(f"not installed here, so that goals may fail: {', '.join(missing)}", file=sys.stderr)
    import torch

    if not arguments.dry and not torch.cuda.is_available():
        sys.exit("No CUDA GPU here; --dry shows that everything runs.")
    names = arguments.only or list(GOALS)
    if not arguments.dry and not (shared / DATA).is_file():
        left = [name for name in names if GOALS[name].data]
        print(f"no {shared / DATA}: left out are {', '.join(left)}; give its folder with --shared", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="ganfer-gpu-") as scratch:
        work = Path(scratch) if arguments.dry else arguments.work
        known = run_goals(
            names, arguments.minutes, shared, work, arguments.dry, result=arguments.result, again=bool(arguments.only)
        )
    print(json.dumps(known) if arguments.dry else table(known))
    if failed := [name for name, outcome in known["goals"].items() if "error" in outcome]:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
