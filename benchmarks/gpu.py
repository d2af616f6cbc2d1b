"""Every figure that needs a GPU, in order of worth, within 40 minutes; the same command again goes on.

    python benchmarks/gpu.py [--minutes 40] [--only NAME ...] [--dry]

Each goal runs in a process of its own, so that one that fails or hangs costs itself alone, and its outcome goes into
benchmarks/results/gpu.json at once; a finished goal is not run again (remove the file, or name it with --only). Long
trainings are kept in the folder named by --work and go on where they were. What needs FER2013 looks for it in the
folder named by --shared and is left out, with the reason, where it is absent. --dry runs every goal with tiny sizes, on
a drawn set of FER2013's layout, and writes no result: on a processor, or in the tests. StyleGAN2 beside NVIDIA's own
generate.py needs its code: benchmarks/stylegan_speed.py --reference DIR --device cuda --resolution 1024 --graphs.

The usual loop of the training goal is torchvision's ImageFolder and DataLoader with per-image transforms and AdamW; the
number of its workers is part of the goal. Images of the speed goals are smooth random textures: what they show does not
matter for speed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "gpu.json"
Figures = dict[str, Any]
EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@dataclass(frozen=True)
class Sizes:
    """How large everything is; `dry` ones only show that the goals run."""

    device: str
    model: str
    images: int
    batch: int
    epochs: int
    side: int
    repeats: int
    large: int  # side of the StyleGAN2
    gan_images: int


FULL = Sizes("cuda", "compact", 28_709, 512, 8, 48, 3, 1024, 5_000_000)
DRY = Sizes("cpu", "compact-small", 70, 16, 1, 16, 1, 32, 64)


@dataclass(frozen=True)
class Goal:
    """run(sizes, shared folder, scratch) gives figures; minutes: its share of the time at most.

    keeps: the name of a scratch folder that stays, where trainings go on; without, it is a fresh one.
    """

    run: Callable[[Sizes, Path, Path], Figures]
    minutes: float
    wanted: str
    keeps: str = ""


def textures(number: int, side: int, channels: int = 1) -> Any:
    """Smooth random images (number, channels, side, side) uint8."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    coarse = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (number, channels, 6, 6), np.uint8))
    parts = [F.interpolate(part.float(), size=(side, side), mode="bilinear").byte() for part in coarse.split(4096)]
    return torch.cat(parts).numpy()


def wait(device: str) -> float:
    """The time when the device has done everything."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


# --- goals, the most important first ----------------------------------------------------------------------------------


def blockers(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """Every network of the GAN in every precision, classifiers with every optimiser, StyleGAN2 in float16: it runs."""
    import numpy as np
    import torch
    from gan_common import workspace_of

    from classifiers import Samples, TrainConfig, train
    from ganfer.config import load_config
    from ganfer.gan import open_gan, train_gan
    from stylegan_bridge.config import GeneratorConfig
    from stylegan_bridge.generator import Generator

    images, labels = textures(200, 16), np.arange(200) % 4
    names = ("angry", "fear", "happy", "sad")
    precisions = ("bf16", "fp16", "fp32") if sizes.device == "cuda" else ("bf16",)
    done = 0
    for network in ("resgan", "dcgan", "stylegan2"):
        for precision in precisions if sizes.device == "cuda" or network == "resgan" else ():
            workspace, data = workspace_of(scratch / f"{network}-{precision}", images, labels, names)
            settings = {"network": network, "precision": precision, "base_channels": 4, "batch_size": 8, "steps": 12,
                        "snapshot_every": 12, "guide_epochs": 1, "latent_dim": 8}  # fmt: skip
            config = load_config(None, {"device": sizes.device, **{f"gan.{k}": v for k, v in settings.items()}})
            run = train_gan(workspace, config, data)
            open_gan(run.path, sizes.device).sample(np.arange(3), np.arange(3))
            done += 1
    losses: dict[str, float] = {}
    for optimizer in ("muon", "adamw", "sgd"):
        for recorded in ("auto", "off") if sizes.device == "cuda" else ("auto",):
            os.environ["CLASSIFIERS_CUDA_GRAPHS"] = recorded
            config = TrainConfig(model="compact-small", optimizer=optimizer, steps=12, batch_size=32, tensorboard=False)
            samples = Samples(images, labels)
            result = train(config, samples, samples, names, scratch / f"{optimizer}-{recorded}", device=sizes.device)
            losses[f"{optimizer}, graphs {recorded}"] = result.history[-1]["train_loss"]
            done += 1
    shape = GeneratorConfig.standard(sizes.large, num_fp16_res=4 if sizes.device == "cuda" else 0, conv_clamp=256.0)
    drawn = Generator(shape).to(sizes.device).sample(range(2)) if sizes.device == "cuda" else torch.zeros(1)
    return {"scenarios": done, "train_loss": losses, "drawn": list(drawn.shape)}


def training_speed(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """`compact` against the usual ImageFolder loop with 16 and with 8 workers, images per second."""
    import numpy as np
    import torch
    from classifier_speed import make_folder, usual_training

    from classifiers import Samples, TrainConfig, train

    folder = scratch / "images"
    make_folder(folder, sizes.images)
    samples = Samples(textures(sizes.images, 48), np.arange(sizes.images) % 7)
    names = [f"class-{k}" for k in range(7)]
    config = TrainConfig(
        model=sizes.model,
        epochs=sizes.epochs,
        batch_size=sizes.batch,
        validations=1,
        tensorboard=False,
        progressive=0.0,
    )  # fmt: skip
    few = Samples(samples.images[:64], samples.labels[:64])
    rates: list[float] = []
    for repeat in range(sizes.repeats + 1):  # the first one warms up
        began = wait(sizes.device)
        train(config, samples, few, names, scratch / f"ours-{repeat}", device=sizes.device)
        rates.append(sizes.images * sizes.epochs / (wait(sizes.device) - began))
    figures: Figures = {"images_per_second": rates[1:] or rates}
    for workers in (16, 8) if sizes.device == "cuda" else (2,):
        usual = usual_training(folder, 1, torch.device(sizes.device), sizes.model, workers=workers, batch=sizes.batch)
        figures[f"usual_with_{workers}_workers"] = usual
        figures[f"ratio_to_{workers}_workers"] = min(figures["images_per_second"]) / usual
    return figures


def ten_seeds(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """Ten trainings together over one alone, in time."""
    import numpy as np

    from classifiers import Job, Samples, TrainConfig, train_many

    samples = Samples(textures(sizes.images, sizes.side), np.arange(sizes.images) % 7)
    few = Samples(samples.images[:70], samples.labels[:70])
    config = TrainConfig(model=sizes.model, epochs=3 * sizes.epochs, batch_size=128 if sizes.epochs > 1 else 16,
                         validations=1, tensorboard=False)  # fmt: skip
    seconds = []
    for number in (1, 10 if sizes.device == "cuda" else 2):
        jobs = [Job(config, samples, few, [str(k) for k in range(7)], scratch / f"{number}-{n}", n)
                for n in range(number)]  # fmt: skip
        began = time.perf_counter()
        train_many(jobs, device=sizes.device)
        seconds.append(time.perf_counter() - began)
    return {"one": seconds[0], "together": seconds[1], "ratio": seconds[1] / seconds[0]}


def archive_of(sizes: Sizes, shared: Path, scratch: Path) -> Path | None:
    """FER2013 in the shared folder, if it is there; when dry a tiny set of the same layout."""
    if sizes is not DRY:
        archive = shared / "data" / "fer2013.tar.xz"
        return archive if archive.is_file() else None
    import numpy as np
    from PIL import Image

    folder = scratch / "fer2013"
    noise = np.random.default_rng(0).integers(0, 120, (24, len(EXPRESSIONS), 48, 48))
    for i, pictures in enumerate(noise):
        for k, name in enumerate(EXPRESSIONS):
            path = folder / ("test" if i % 4 == 0 else "train") / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pictures[k] + 20 * k).astype(np.uint8)).save(path)
    return folder


def fer2013(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """The 60-second recipe on FER2013's public test split, mirror averaged, by the shipped recipe."""
    import recipes

    archive = archive_of(sizes, shared, scratch)
    if archive is None:
        return {"left_out": f"no FER2013 in {shared}"}
    tiny = {"classifier.model": sizes.model, "classifier.steps": 2, "classifier.batch_size": 16}
    began = time.perf_counter()
    record = recipes.run(
        recipes.BY_NAME["fer2013-compact-minute"], {"fer": archive}, scratch / "work", short=False,
        also={"device": sizes.device, **(tiny if sizes is DRY else {})},
    )  # fmt: skip
    return {"seconds_with_data_and_start": time.perf_counter() - began, "recipe": record}


def drawing(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """Faces per second before they are written: the default network, and a wide one."""
    import numpy as np

    from ganfer.gan.networks import NetworkSpec, build_generator
    from ganfer.gan.sampling import GanGenerator

    figures: Figures = {}
    count = 100_000 if sizes.device == "cuda" else 64
    for width in (16, 64) if sizes.device == "cuda" else (4,):
        spec = NetworkSpec("resgan", 48, 1, 7, 100, width)
        generator = GanGenerator(build_generator(spec), spec, tuple("abcdefg"), device=sizes.device)
        labels = np.arange(count) % 7
        generator.sample(np.arange(512), labels[:512] if count >= 512 else np.arange(512) % 7)
        began = time.perf_counter()
        generator.sample(np.arange(count), labels)
        figures[f"faces_per_second_width_{width}"] = count / (time.perf_counter() - began)
    return figures


def gan_speed(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """The classic DCGAN on colour images against the usual loop with two loader workers, images per second."""
    import numpy as np
    import torch
    from gan_common import workspace_of
    from gan_usual_loop import usual_gan
    from PIL import Image

    from ganfer.config import load_config
    from ganfer.gan import train_gan
    from ganfer.gan.networks import NetworkSpec

    full = sizes.device == "cuda"
    side, width, batch, steps = (64, 64, 64, 1500) if full else (16, 4, 8, 4)
    images = textures(min(sizes.images, 8192), side, channels=3)
    for i, image in enumerate(images):
        path = scratch / "images" / "one" / f"{i:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    spec = NetworkSpec("dcgan", side, 3, 0, 100, width)
    usual = usual_gan(scratch / "images", spec, batch, steps // 5 if full else 2, torch.device(sizes.device))
    workspace, data = workspace_of(scratch / "work", images, np.zeros(len(images)), ["one"])
    given = {"classic": True, "base_channels": width, "batch_size": batch, "steps": steps, "snapshot_every": steps}
    config = load_config(None, {"device": sizes.device, **{f"gan.{name}": value for name, value in given.items()}})
    ours = train_gan(workspace, config, data).figures["images_per_second"]  # with its start and its snapshot
    return {"images_per_second": ours, "usual_with_2_workers": usual, "ratio": ours / usual}


def stylegan(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """StyleGAN2 at 1024 px in float16 (random weights: speed does not depend on them), plain and recorded."""
    from stylegan_bridge.config import GeneratorConfig
    from stylegan_bridge.generator import Generator

    config = GeneratorConfig.standard(sizes.large, num_fp16_res=4 if sizes.device == "cuda" else 0, conv_clamp=256.0)
    generator = Generator(config).to(sizes.device)
    count = 64 if sizes.device == "cuda" else 2
    figures: Figures = {}
    for recorded in (False, True):
        generator.cuda_graphs = recorded
        generator.sample(range(count if sizes.device == "cuda" else 1))
        began = time.perf_counter()
        generator.sample(range(count))
        figures["recorded" if recorded else "plain"] = count / (time.perf_counter() - began)
    return figures


def retraining(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """The time of 10 arms with 5 seeds: 50 trainings of `compact` for 30 epochs, as `ganfer retrain` runs them."""
    import numpy as np

    from classifiers import Job, Samples, TrainConfig, train_many

    samples = Samples(textures(sizes.images, sizes.side), np.arange(sizes.images) % 7)
    few = Samples(samples.images[:700], samples.labels[:700])
    full = sizes.device == "cuda"
    config = TrainConfig(model=sizes.model, epochs=30 if full else 1, batch_size=128 if full else 16, tensorboard=False)
    names = [str(k) for k in range(7)]
    jobs = [Job(config, samples, few, names, scratch / str(n), n) for n in range(50 if full else 2)]
    began = time.perf_counter()
    train_many(jobs, device=sizes.device)
    return {"trainings": len(jobs), "seconds": time.perf_counter() - began}


def snapshots(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """What a training waits for at a snapshot: KID by NumPy and on the device, the resume point at once and aside."""
    import gan_snapshots
    import torch

    return gan_snapshots.measure(torch.device(sizes.device), 5 if sizes.device == "cuda" else 1, scratch)


def _long_tail(sizes: Sizes, shared: Path, scratch: Path) -> Any:
    """A project of FER2013 thinned to a long tail, with the residual GAN's and the experiment's settings; or None."""
    from ganfer.config import load_config
    from ganfer.pipeline import Project

    dry = sizes is DRY
    batch = 8 if dry else 256
    settings: Figures = {
        "device": sizes.device, "gan.batch_size": batch, "gan.steps": sizes.gan_images // batch,
        "gan.snapshot_every": 2500, "retrain.arms": "quick", "retrain.seeds": 3,
    }  # fmt: skip
    if dry:
        settings |= {"data.size": 16, "gan.base_channels": 4, "gan.latent_dim": 8, "gan.guide_epochs": 1,
                     "retrain.seeds": 2, "classifier.model": sizes.model, "classifier.epochs": 1,
                     "classifier.batch_size": 16, "classifier.tensorboard": False, "label.require_match": False,
                     "label.min_confidence": "0", "label.manifold": 0.0, "label.copies": False}  # fmt: skip
    project = Project(scratch / "work", load_config(None, settings))
    if project.workspace.active_data is None:
        archive = archive_of(sizes, shared, scratch)
        if archive is None:
            return None
        project.add(archive)
        project.check(drop=True)
        project.thin(imbalance=2 if dry else 100)
    return project


def long_gan(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """The residual GAN for five million images of FER2013's long tail: its speed, snapshots included, and its KID."""
    project = _long_tail(sizes, shared, scratch)
    if project is None:
        return {"left_out": f"no FER2013 in {shared}"}
    result = project.train_gan()
    return {name: result.figures[name] for name in ("steps", "images", "images_per_second", "score", "alarms")}


def experiment(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """Whether that GAN's faces help: `ganfer retrain` on the long tail, the four arms that matter most, three seeds."""
    project = _long_tail(sizes, shared, scratch)
    if project is None:
        return {"left_out": f"no FER2013 in {shared}"}
    project.train_gan()  # found, or gone on with
    began = time.perf_counter()
    project.generate(to=20 if sizes is DRY else 3000)
    project.label(fill=sizes is not DRY)
    results = project.retrain().figures
    arms = {arm["name"]: arm["metrics"]["balanced_accuracy"] for arm in results["arms"]}
    return {"seconds": time.perf_counter() - began, "verdict": results["verdict"]["sentence"], "arms": arms,
            "comparisons": results["comparisons"]}  # fmt: skip


GOALS = {
    "blockers": Goal(blockers, 4, "all scenarios run"),
    "training": Goal(training_speed, 5, "ratio >= 12 with 16 workers, >= 20 with 8"),
    "fer2013": Goal(fer2013, 3, "public test >= 71.5% in 60 s", "minute"),
    "ten seeds": Goal(ten_seeds, 3, "ratio < 2"),
    "drawing": Goal(drawing, 1, ">= 50,000 faces a second"),
    "dcgan": Goal(gan_speed, 4, "ratio >= 5"),
    "stylegan2": Goal(stylegan, 2, "images a second at 1024 px"),
    "retrain": Goal(retraining, 6, "50 trainings in 300 s"),
    "snapshots": Goal(snapshots, 1, "what a training waits for at a snapshot"),
    "gan": Goal(long_gan, 5, "five million images", "long tail"),
    "experiment": Goal(experiment, 6, "FER2013's long tail with that GAN's faces", "long tail"),
}


def machine() -> Figures:
    """Where the figures come from."""
    import torch

    from ganfer.runtime.device import describe, resolve_device

    return {"device": describe(resolve_device("auto")), "torch": torch.__version__, "cuda": torch.version.cuda,
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()}  # fmt: skip


def one(name: str, sizes: Sizes, shared: Path, work: Path) -> Figures:
    """Run a goal in this process."""
    goal = GOALS[name]
    with tempfile.TemporaryDirectory(prefix="ganfer-gpu-") as scratch:
        folder = work / goal.keeps if goal.keeps else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        return goal.run(sizes, shared, folder)


def run_goals(names: list[str], minutes: float, shared: Path, work: Path, dry: bool) -> Figures:
    """Every goal not yet finished, as far as the time goes; what is known after each is written at once."""
    ends = time.monotonic() + 60 * minutes
    known: Figures = json.loads(RESULT.read_text()) if RESULT.is_file() and not dry else {"goals": {}}
    if not dry:
        known["machine"] = machine()
    for name in names:
        if "figures" in known["goals"].get(name, {}):
            continue
        left = min(ends - time.monotonic(), 60 * GOALS[name].minutes)
        if left < 10:
            print(f"{name}: no time left; run the same command again", file=sys.stderr)
            break
        began = time.monotonic()
        known["goals"][name] = outcome = {"wanted": GOALS[name].wanted, **_in_a_process(name, left, shared, work, dry)}
        outcome["seconds"] = round(time.monotonic() - began, 1)
        print(f"{name}: {json.dumps(outcome)}", file=sys.stderr)
        if not dry:
            RESULT.parent.mkdir(exist_ok=True)
            RESULT.write_text(json.dumps(known, indent=1) + "\n")
    return known


def _in_a_process(name: str, seconds: float, shared: Path, work: Path, dry: bool) -> Figures:
    places = ["--shared", str(shared), "--work", str(work)]
    command = [sys.executable, __file__, "--one", name, *places, *(["--dry"] if dry else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"not finished in {seconds:.0f} s"}
    if done.returncode:
        return {"error": done.stderr.strip()[-1500:]}
    return {"figures": json.loads(done.stdout.strip().splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--only", nargs="+", choices=GOALS, default=list(GOALS))
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--work", type=Path, default=ROOT / "ganfer-work" / "gpu", help="where long trainings are kept")
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--one", choices=GOALS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        figures = one(arguments.one, DRY if arguments.dry else FULL, arguments.shared, arguments.work)
        print(json.dumps(figures))  # the last line of stdout
        return
    import torch

    if not arguments.dry and not torch.cuda.is_available():
        sys.exit("No CUDA GPU here; --dry shows that everything runs.")
    with tempfile.TemporaryDirectory(prefix="ganfer-gpu-") as scratch:
        work = Path(scratch) if arguments.dry else arguments.work
        known = run_goals(arguments.only, arguments.minutes, arguments.shared, work, arguments.dry)
    failed = [name for name, outcome in known["goals"].items() if "error" in outcome]
    if arguments.dry:
        print(json.dumps(known))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
