"""The goals of gpu.py, the most important first, and those that need no data: what each measures and is to reach."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from gpu_fer2013 import experiment, fer2013, long_gan, paces
from gpu_sizes import Clock, Figures, Goal, Sizes, Target, textures, wait


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
            assert run.path is not None
            open_gan(run.path, sizes.device).sample(np.arange(3), np.arange(3))
            done += 1
    losses: dict[str, float] = {}
    for optimizer in ("muon", "adamw", "sgd"):
        for recorded in ("auto", "off") if sizes.device == "cuda" else ("auto",):
            os.environ["CLASSIFIERS_CUDA_GRAPHS"] = recorded
            recipe = TrainConfig(model="compact-small", optimizer=optimizer, steps=12, batch_size=32, tensorboard=False)
            samples = Samples(images, labels)
            result = train(recipe, samples, samples, names, scratch / f"{optimizer}-{recorded}", device=sizes.device)
            losses[f"{optimizer}, graphs {recorded}"] = result.history[-1]["train_loss"]
            done += 1
    shape = GeneratorConfig.standard(sizes.large, num_fp16_res=4 if sizes.device == "cuda" else 0, conv_clamp=256.0)
    drawn = Generator(shape).to(sizes.device).sample(range(2)) if sizes.device == "cuda" else torch.zeros(1)
    return {"scenarios": done, "train_loss": losses, "drawn": list(drawn.shape)}


def training_speed(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """`compact` against the usual ImageFolder loop with 16 and with 8 workers, images per second, round by round."""
    import numpy as np
    import torch
    from classifier_speed import make_folder, usual_training

    from classifiers import Samples, TrainConfig, train
    from classifiers.parts import total_steps

    folder = scratch / "images"
    make_folder(folder, sizes.images)
    samples = Samples(textures(sizes.images, 48), np.arange(sizes.images) % 7)
    names = [f"class-{k}" for k in range(7)]
    config = TrainConfig(
        model=sizes.model, epochs=sizes.epochs, batch_size=sizes.batch, validations=1, tensorboard=False,
        progressive=0.0,
    )  # fmt: skip
    few = Samples(samples.images[:64], samples.labels[:64])
    full = sizes.device == "cuda"
    rates: dict[str, list[float]] = {}
    for repeat in range(sizes.repeats):
        clock, began = Clock(sizes.device, total_steps(config, sizes.images)), wait(sizes.device)
        train(config, samples, few, names, scratch / f"ours-{repeat}", device=sizes.device, progress=clock)
        rates.setdefault("whole call", []).append(sizes.images * sizes.epochs / (wait(sizes.device) - began))
        rates.setdefault("ours", []).append(clock.steps_per_second * min(sizes.batch, sizes.images))
        for workers in (16, 8):
            rates.setdefault(f"usual, {workers} workers", []).append(
                usual_training(
                    folder,
                    4 if full else 1,
                    torch.device(sizes.device),
                    sizes.model,
                    workers if full else 1,
                    sizes.batch,
                )
            )
    figures: Figures = {"batch": sizes.batch, "model": sizes.model, "images_per_second": rates}
    for workers in (16, 8):
        pairs = zip(rates["ours"], rates[f"usual, {workers} workers"], strict=True)
        each = [ours / usual for ours, usual in pairs]
        figures[f"ratio_to_{workers}_workers"] = statistics.median(each)
        figures[f"ratios_to_{workers}_workers"] = each
    return figures


def ten_seeds(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """Ten trainings together over one alone, in time: in the way that measures better, and in both ways."""
    import numpy as np

    from classifiers import Job, Samples, TrainConfig, sharing, train_many

    samples = Samples(textures(sizes.images, sizes.side), np.arange(sizes.images) % 7)
    few = Samples(samples.images[:70], samples.labels[:70])
    config = TrainConfig(model=sizes.model, epochs=sizes.epochs, batch_size=128 if sizes.epochs > 1 else 16,
                         validations=1, tensorboard=False)  # fmt: skip
    found, said = Figures(), list[str]()
    for name, number, way in (("one", 1, ""), ("together", 10, ""), ("streams", 10, "streams"),
                              ("processes", 10, "processes")):  # fmt: skip
        number = number if sizes.device == "cuda" else min(number, 2)
        jobs = [Job(config, samples, few, [str(k) for k in range(7)], scratch / f"{name}-{n}", n)
                for n in range(number)]  # fmt: skip
        began = time.perf_counter()
        with mock.patch.dict(os.environ, {sharing.SWITCH: way}):
            train_many(jobs, device=sizes.device, say=said.append)
        found[name] = time.perf_counter() - began
    return found | {"ratio": found["together"] / found["one"], "how": said}


def drawing(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """Faces per second before they are written: the default network, and a wide one; plainly, and as a recording."""
    import numpy as np

    from ganfer.gan.networks import NetworkSpec, build_generator
    from ganfer.gan.sampling import GanGenerator

    figures: Figures = {}
    full = sizes.device == "cuda"
    count = 50_000 if full else 64
    for width in (16, 64) if full else (16,):
        spec = NetworkSpec("resgan", 48, 1, 7, 100, width if full else 4)
        network, labels, drawn = build_generator(spec), np.arange(count) % 7, list[np.ndarray]()
        for way, before in (("plain_", -1), ("", 0)):
            generator = GanGenerator(network, spec, tuple("abcdefg"), device=sizes.device)
            generator.plain_passes = before if full else -1
            drawn.append(generator.sample(np.arange(min(count, 4096)), labels[:4096]))
            began = time.perf_counter()
            generator.sample(np.arange(count), labels)
            figures[f"{way}faces_per_second_width_{width}"] = count / (time.perf_counter() - began)
        figures[f"same_pixels_width_{width}"] = bool(np.array_equal(drawn[0], drawn[1]))
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
    side, width, batch, steps = (64, 64, 64, 8000) if full else (16, 4, 8, 4)
    images = textures(min(sizes.images, 8192), side, channels=3)
    for i, image in enumerate(images):
        path = scratch / "images" / "one" / f"{i:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    spec = NetworkSpec("dcgan", side, 3, 0, 100, width)
    usual = usual_gan(scratch / "images", spec, batch, 400 if full else 2, torch.device(sizes.device))
    workspace, data = workspace_of(scratch / "work", images, np.zeros(len(images)), ["one"])
    given = {"classic": True, "base_channels": width, "batch_size": batch, "steps": steps, "snapshot_every": steps}
    config = load_config(None, {"device": sizes.device, **{f"gan.{name}": value for name, value in given.items()}})
    ours = train_gan(workspace, config, data).figures["images_per_second"]  # with its start and its snapshot
    return {"images_per_second": ours, "usual_with_2_workers": usual, "ratio": ours / usual}


def stylegan(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """StyleGAN2 at 1024 px in float16 (random weights: speed does not depend on them), drawn and written as PNG files:
    one image after the other, and in batches by all cores, plain and recorded. Images per second."""
    from PIL import Image

    from classifiers.scheduler import cores
    from stylegan_bridge import save_pngs, stream
    from stylegan_bridge.config import GeneratorConfig
    from stylegan_bridge.generator import Generator

    full = sizes.device == "cuda"
    config = GeneratorConfig.standard(sizes.large, num_fp16_res=4 if full else 0, conv_clamp=256.0)
    usual, ours = (Generator(config).to(sizes.device) for _ in range(2))
    usual.micro_batch = 1
    count, batch, single = (128, 64, 32) if full else (2, 2, 1)
    (scratch / "usual").mkdir()

    def one_by_one(number: int) -> None:
        for seed in range(number):
            (image,) = usual.sample([seed], truncation_psi=0.7).permute(0, 2, 3, 1).numpy()
            Image.fromarray(image).save(scratch / "usual" / f"seed{seed:04d}.png")

    def in_batches(number: int) -> None:
        save_pngs(stream(ours, range(number), truncation_psi=0.7, batch_size=batch), scratch / "ours")

    def rate(work: Callable[[int], None], number: int) -> float:
        work(min(number, batch))  # libraries choose, the pass is recorded
        began = time.perf_counter()
        work(number)
        return number / (time.perf_counter() - began)

    figures: Figures = {"one_by_one": rate(one_by_one, single)}
    for recorded in (False, True):
        ours.cuda_graphs = recorded
        began = time.perf_counter()
        ours.sample(range(count))
        figures["drawn_recorded" if recorded else "drawn"] = count / (time.perf_counter() - began)
        figures["written_recorded" if recorded else "written"] = rate(in_batches, count)
    best = max(figures["written"], figures["written_recorded"])
    return {**figures, "cores": cores(), "ratio": best / figures["one_by_one"]}


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
    began, said = time.perf_counter(), list[str]()
    train_many(jobs, device=sizes.device, say=said.append)
    return {"trainings": len(jobs), "seconds": time.perf_counter() - began, "how": said}


def snapshots(sizes: Sizes, shared: Path, scratch: Path) -> Figures:
    """What a training waits for at a snapshot: KID by NumPy and on the device, the resume point at once and aside."""
    import gan_snapshots
    import torch

    return gan_snapshots.measure(torch.device(sizes.device), 5 if sizes.device == "cuda" else 1, scratch)


GOALS = {
    "blockers": Goal(blockers, 3, "all scenarios run", (Target(("scenarios",), least=15),)),
    "training": Goal(
        training_speed, 3, "`compact` against the usual loop: >= 12x with 16 workers, >= 20x with 8",
        (Target(("ratio_to_16_workers",), least=12), Target(("ratio_to_8_workers",), least=20)),
    ),
    "fer2013": Goal(
        fer2013, 3, "public test >= 71.5% in 60 s",
        (Target(("recipe", "figures", "test accuracy"), least=0.715), Target(("recipe", "seconds"), most=60)),
        "minute", data=True,
    ),
    "ten seeds": Goal(ten_seeds, 3, "ten trainings in less than twice the time of one", (Target(("ratio",), most=2),)),
    "retrain": Goal(retraining, 6, "10 arms x 5 seeds in 300 s", (Target(("seconds",), most=300),)),
    "dcgan": Goal(gan_speed, 4, ">= 5x the usual loop", (Target(("ratio",), least=5),)),
    "drawing": Goal(
        drawing, 1, ">= 50,000 faces of 48 px a second before writing",
        (Target(("faces_per_second_width_16",), least=50_000),),
    ),
    "stylegan2": Goal(stylegan, 3, "1024 px, written: >= 8x one image after the other", (Target(("ratio",), least=8),)),
    "snapshots": Goal(snapshots, 1, "what a training waits for at a snapshot"),
    "gan": Goal(
        long_gan, 5, "a residual GAN for five million images", (Target(("images",), least=4_999_000),), "long tail",
        data=True,
    ),
    "experiment": Goal(experiment, 6, "FER2013's long tail with that GAN's faces", (), "long tail", data=True),
    "paces": Goal(paces, 2, "how long the recipes on FER2013 take", data=True),
}  # fmt: skip
