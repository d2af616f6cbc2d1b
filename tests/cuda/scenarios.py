"""What a user of a GPU does first, on the stand-in. Each scenario returns figures; what must not happen is an error."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import scenarios_passes as passes
import scenarios_steering as steering
import torch
from fake_gpu import FakeCuda

NAMES = ("angry", "fear", "happy")
Figures = dict[str, float]


@dataclass(frozen=True)
class Scenario:
    """run(gpu, folder, **settings) on a GPU as `machine` (arguments of FakeCuda) says. graphs: auto records steps."""

    run: Callable[..., Figures]
    settings: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    graphs: str = "off"


class Meter:
    """Kernels and waits between the moments it is asked."""

    def __init__(self, gpu: FakeCuda) -> None:
        self.gpu, self.seen = gpu, list[tuple[int, int]]()
        self.libraries = set[tuple[bool, str]]()  # what was asked of them then

    def note(self) -> None:
        self.libraries.add((torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()))
        self.seen.append((self.gpu.log.kernels, sum(self.gpu.log.syncs.values())))

    def per_step(self, first: int, last: int) -> Figures:
        """The mean over the steps between two notes."""
        (kernels, syncs), (more_kernels, more_syncs) = self.seen[first], self.seen[last]
        steps = last - first
        return {"kernels": (more_kernels - kernels) / steps, "syncs": (more_syncs - syncs) / steps}


def samples(count: int, size: int = 24, seed: int = 0) -> Any:
    """`classifiers.Samples` of noise in three classes."""
    from classifiers import Samples

    rng = np.random.default_rng(seed)
    return Samples(rng.integers(0, 256, (count, 1, size, size), np.uint8), np.arange(count) % len(NAMES))


@contextlib.contextmanager
def metered_steps(gpu: FakeCuda) -> Iterator[Meter]:
    """A meter that notes the beginning of every step of a classifier's training."""
    from classifiers.state import Run

    meter, reseed = Meter(gpu), Run.reseed

    def noting(run: Run) -> np.random.Generator:
        meter.note()
        return reseed(run)

    with mock.patch.object(Run, "reseed", noting):
        yield meter


def made_ready(gpu: FakeCuda, meter: Meter) -> None:
    """What a training asks of the libraries, until its end; the other GPUs of the machine are left alone."""
    assert meter.libraries == {(True, "high")}, meter.libraries
    assert not torch.backends.cudnn.benchmark
    assert torch.get_float32_matmul_precision() == "highest"
    assert gpu.forked == {str(gpu.device)}, gpu.forked


def classifier(gpu: FakeCuda, folder: Path, *, sources: bool = False, device: str = "cuda", **settings: Any) -> Figures:
    """Train, calibrate, load, predict; kernels and waits of one step. sources: a third of the images is synthetic."""
    from classifiers import TrainConfig, load_classifier, train

    defaults = {"model": "compact-small", "steps": 6, "batch_size": 12, "validations": 1, "tensorboard": False}
    config = TrainConfig(**(defaults | settings))
    images = replace(samples(48), synthetic=np.arange(48) % 4 == 0) if sources else samples(48)
    gpu.forked.clear()
    with metered_steps(gpu) as meter:
        result = train(config, images, samples(12, seed=1), NAMES, folder, device=device)
    made_ready(gpu, meter)
    found = load_classifier(folder, device).probabilities(samples(5).images, tta="flip")
    assert np.allclose(found.sum(1), 1, atol=1e-3)
    return meter.per_step(3, 5) | {"micro_batches": result.card["micro_batches"]}


def recorded(gpu: FakeCuda, folder: Path, *, plain: int = 3, **settings: Any) -> Figures:
    """A step recorded as a graph is the plain step: the same weights after a training, in few launches.

    plain: the steps that are not replayed: three of each kind, and those that are like no other.
    """
    from classifiers import TrainConfig, recorder, train
    from classifiers.files import read_weights

    defaults = {"model": "compact-small", "steps": 12, "batch_size": 12, "tensorboard": False, "progressive": 0.0}
    config = TrainConfig(**(defaults | settings))
    assert config.steps is not None
    weights = []
    for plain_steps in (config.steps, 3):
        with mock.patch.object(recorder, "WARM_UP", plain_steps), metered_steps(gpu) as meter:
            train(config, samples(48), samples(12, seed=1), NAMES, folder / str(plain_steps), device="cuda")
        weights.append(read_weights(folder / str(plain_steps) / "model.safetensors")[0])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert gpu.log.launches["graph replay"] == config.steps - plain
    return meter.per_step(config.steps - 3, config.steps - 1)  # an epoch is four steps: nothing is validated there


def refused(gpu: FakeCuda, folder: Path) -> Figures:
    """A step that asks the device for a value is not recorded: it goes on plainly, and none is lost or doubled.

    Random numbers go on too, on the stream that was there before.
    """
    from classifiers.recorder import Recorder

    total, source = torch.zeros(3, device="cuda"), torch.Generator("cuda").manual_seed(1)
    recorder = Recorder(torch.device("cuda", 0), [source], active=True)

    def step(given: torch.Tensor) -> torch.Tensor:
        total.add_(given)
        drawn = torch.rand(1, device="cuda", generator=source)
        return torch.cat([total.sum(0, keepdim=True) * float(total[0]), drawn])

    expected = torch.rand(6, generator=torch.Generator().manual_seed(1))
    for number in range(6):
        found = recorder("kind", step, torch.ones(3, device="cuda")).tolist()
        assert found == [3 * (number + 1) ** 2, float(expected[number])]
    assert not recorder.active
    assert not gpu.stream_lost
    return {"syncs": 0.0}


@contextlib.contextmanager
def inside() -> Iterator[list[int]]:
    """Workers of `train_many` that are this process, which is on the stand-in; gives what they were limited to."""
    from classifiers import many, sharing
    from classifiers.tasks import Here

    limited = list[int]()

    class Inside(Here):
        overlaps = True

        def limit(self, workers: int) -> None:
            limited.append(workers)

    def opened(*_: Any, **__: Any) -> Any:
        return contextlib.nullcontext(Inside())

    with contextlib.ExitStack() as patched:
        patched.enter_context(mock.patch.object(many, "opened", opened))
        patched.enter_context(mock.patch.object(sharing, "Local", Inside))
        patched.enter_context(mock.patch.object(sharing, "_WINDOW", 0.1))
        patched.enter_context(mock.patch.object(many, "_default_workers", return_value=10))
        yield limited


def many(gpu: FakeCuda, folder: Path) -> Figures:
    """Trainings side by side: as many as fit into its memory, by a few steps of the one with the largest batch."""
    from classifiers import Job, TrainConfig, train_many

    said = list[str]()
    jobs = [
        Job(TrainConfig(model="compact-small", steps=3, batch_size=batch, tensorboard=False, freeze=0.5), samples(48),
            samples(12, seed=1), NAMES, folder / str(batch))
        for batch in (8, 12, 16, 9)
    ]  # fmt: skip
    with inside() as limited:
        done = train_many(jobs, device="cuda", say=said.append)
    assert [result.steps for result in done] == [3] * 4
    assert limited == [3]
    (line,) = said
    assert line == (
        "3 trainings at a time on the GPU of Fake H100; each takes 3.2 of 18.3 GB: at the same time, by NVIDIA's MPS."
    )
    return {"syncs": 0.0}


def in_turns(gpu: FakeCuda, folder: Path) -> Figures:
    """Trainings in one process, each on a stream of its own, are what they are alone; which way is measured.

    One that fails leaves the others alone, and the same call finds those that are done."""
    from classifiers import ClassifierError, Job, TrainConfig, sharing, train, train_many
    from classifiers.files import read_weights

    config = TrainConfig(
        model="compact-small", steps=8, batch_size=12, dropout=0.3, progressive=0.0, tensorboard=False
    )  # fmt: skip
    jobs = [Job(config, samples(48), samples(12, seed=1), NAMES, folder / f"{n}", n) for n in range(4)]
    bad = Job(config, replace(samples(48), labels=np.zeros(48, int)), samples(12, seed=1), NAMES, folder / "bad", 9)
    said = list[str]()
    with inside() as limited, mock.patch.dict(os.environ, {sharing.SWITCH: "streams"}):
        gpu.log.reset()
        with pytest.raises(ClassifierError, match=r"1 of 5 trainings failed.*all of one class"):
            train_many([*jobs, bad], device="cuda", say=said.append)
        replays = gpu.log.launches["graph replay"]
        assert [result.already_done for result in train_many(jobs, device="cuda")] == [True] * 4
    assert limited == [1]
    assert replays >= 4 * (8 - 3), replays
    assert said[0].startswith("4 trainings at a time"), said
    assert said[0].endswith("in turns in one process, each on a stream of its own."), said
    for job in jobs:
        train(*(job.config, job.train, job.val, NAMES, folder / f"alone {job.seed}"), seed=job.seed, device="cuda")
        one, other = (
            read_weights(Path(f) / "model.safetensors")[0] for f in (job.folder, folder / f"alone {job.seed}")
        )
        assert all(torch.equal(one[name], other[name]) for name in one), job.seed
    with inside() as limited, mock.patch.object(sharing, "LONG", 0.0):
        train_many([replace(job, folder=f"{job.folder} measured") for job in jobs], device="cuda", say=said.append)
    assert limited in ([1], [3]), limited
    assert re.search(r"\([\d,]+ steps a second on streams, [\d,]+ in processes\)\.$", said[1]), said[1]
    return {"syncs": 0.0}


class Stop(Exception):
    """Ends a training from outside."""


def resumed(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """Interrupt and resume: the optimiser must not wait for the device afterwards."""
    from classifiers import TrainConfig, state, train

    config = TrainConfig(
        model="compact-small", epochs=4, batch_size=12, tensorboard=False, checkpoint_seconds=0.0, **settings
    )
    arguments = (config, samples(48), samples(12, seed=1), NAMES, folder)
    seen: list[int] = []

    def watch(row: Any, total: int) -> None:
        seen.append(1)
        if len(seen) == 2:
            raise Stop

    with contextlib.suppress(Stop):
        train(*arguments, device="cuda", watch=watch)
    scale = state._read(folder / state.RESUME)["scale"].get("scale")  # of float16's gradients
    assert (scale is None) == (gpu.capability >= (8, 0))
    with metered_steps(gpu) as meter:
        train(*arguments, device="cuda")
    return meter.per_step(1, 2)  # of the third epoch, in which nothing is validated


def tiny_workspace(folder: Path) -> tuple[Any, Any]:
    """A workspace with 60 training images of noise, and its data."""
    from ganfer.data.imageset import ImageSet, save_set
    from ganfer.workspace import Workspace

    n, size = 60, 16
    pixels = np.random.default_rng(0).integers(0, 256, (n, 1, size, size), np.uint8)
    images = ImageSet(
        images=pixels, labels=np.arange(n) % len(NAMES), class_names=NAMES, split=np.full(n, "train"),
        group=np.full(n, ""), source=np.full(n, "real"), ids=np.array([f"{i}.png" for i in range(n)]),
    )  # fmt: skip
    workspace = Workspace(folder)
    data = workspace.run("data", "tiny", {})
    with data.work("data add"):
        data.finish(digest=save_set(data.path, images), figures={})
    return workspace, data


def gan(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """`ganfer train gan` with its own defaults, small; kernels and waits of one step; then draw."""
    import ganfer.gan.train as stage
    from ganfer.config import load_config
    from ganfer.gan import history, loop, open_gan, sampling, snapshots

    workspace, data = tiny_workspace(folder)
    small = {"base_channels": 4, "latent_dim": 8, "batch_size": 8, "steps": 9, "snapshot_every": 9, "guide_epochs": 1}
    config = load_config(None, {"device": "cuda", **{f"gan.{k}": v for k, v in small.items()}, **settings})
    meter = Meter(gpu)

    @contextlib.contextmanager
    def asked() -> Iterator[Callable[[], bool]]:
        def never() -> bool:
            meter.note()
            return False

        yield never

    with contextlib.ExitStack() as small:
        small.enter_context(mock.patch.object(history, "plot_losses"))
        small.enter_context(mock.patch.object(stage, "graceful_stop", asked))
        small.enter_context(mock.patch.dict(sampling._INTERNAL_BATCH, cuda=16))
        small.enter_context(mock.patch.object(snapshots, "_SAMPLES", 4))
        small.enter_context(mock.patch.object(loop, "_RECALIBRATION_BATCHES", 1))
        run = stage.train_gan(workspace, config, data)
        open_gan(run.path, "cuda").sample(np.arange(3), np.arange(3))
    made_ready(gpu, meter)
    facts = json.loads((run.path / "record.json").read_text())
    assert facts["device"] == "Fake H100"
    if len(meter.seen) > 10:
        return meter.per_step(8, 10)  # recorded by then
    return meter.per_step(3, 7)  # four steps: every one pays its share of the lazy penalties


def broken_gan(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """A recording that breaks off in the generator's half of a step: it goes on plainly, and trains the same."""
    from ganfer.gan.guide import Guide

    loss = Guide.loss

    def refusing(self: Guide, *given: Any) -> torch.Tensor:
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError("operation not permitted when stream is capturing")
        return loss(self, *given)

    with mock.patch.object(Guide, "loss", refusing):
        recorded_gan(gpu, folder, **settings)
    return {"syncs": 0.0}


def recorded_gan(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """Both kinds of steps, with penalties and without, recorded as graphs: the same generator, in few launches."""
    from classifiers import recorder
    from ganfer.gan import open_gan

    found = []
    for plain_steps in (99, 3):
        with mock.patch.object(recorder, "WARM_UP", plain_steps):
            figures = gan(gpu, folder / str(plain_steps), **settings)
        (path,) = (folder / str(plain_steps)).glob("gans/*/generator.safetensors")
        found.append(open_gan(path, "cpu").digest)
    assert found[0] == found[1], "a recorded step trains something else"
    return figures


def gan_out_of_memory(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """Memory that runs out in the GAN's training is one line that names the setting."""
    from ganfer.errors import GanferError

    with pytest.raises(GanferError, match="gan.batch_size = 8 .*Set a smaller gan.batch_size"):
        gan(gpu, folder, **settings)
    return {"syncs": 0.0}


def stylegan(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """Draw with float16 layers as NVIDIA's networks have them, and with the pass recorded as a graph."""
    from stylegan_bridge import mix_styles
    from stylegan_bridge.config import GeneratorConfig
    from stylegan_bridge.generator import Generator

    config = GeneratorConfig.standard(
        32, channel_base=512, channel_max=12, z_dim=8, w_dim=10, mapping_layers=2, num_fp16_res=2, conv_clamp=256.0
    )
    generator = Generator(config).to("cuda")
    generator.micro_batch = 4
    with passes.ordered(gpu, generator, "_pass") as seen:
        generator.sample(range(10), noise_mode="random")
    assert seen == passes.AHEAD, seen
    eager = generator.sample(range(6))
    torch.set_float32_matmul_precision("high")  # as a training leaves it
    precisions, generator.has_w_avg = list[str](), False
    hook = generator.mapping.register_forward_hook(lambda *_: precisions.append(torch.get_float32_matmul_precision()))
    mix_styles(generator, [1], [2], [3], truncation_psi=0.7)
    hook.remove()
    assert precisions == ["highest"] * 3, precisions
    generator.cuda_graphs = True
    assert torch.equal(generator.sample(range(6)), eager), "a recorded pass draws something else"
    generator.load_state_dict({name: value * 0.9 for name, value in generator.state_dict().items()})
    renewed = generator.sample(range(6))
    assert not torch.equal(renewed, eager)
    generator.cuda_graphs = False
    assert torch.equal(generator.sample(range(6)), renewed), "a recorded pass draws by weights that have gone"
    gpu.log.reset()
    generator.cuda_graphs = False
    generator.sample(range(8))
    one = gpu.log.kernels, sum(gpu.log.syncs.values())
    generator.sample(range(20))
    further = 5 - 2  # passes
    more = gpu.log.kernels - one[0], sum(gpu.log.syncs.values()) - one[1]
    return {"kernels": (more[0] - one[0]) / further, "syncs": (more[1] - one[1]) / further}


def drawing(gpu: FakeCuda, folder: Path) -> Figures:
    """A few faces are no pass of hundreds, and the same as among many; kernels and waits of one pass."""
    from ganfer.gan.networks import NetworkSpec, build_generator
    from ganfer.gan.sampling import GanGenerator

    spec = NetworkSpec("resgan", 16, 1, len(NAMES), 8, 4)
    generator = GanGenerator(build_generator(spec), spec, NAMES, device="cuda")
    sizes = list[int]()
    generator.network.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    few = generator.sample(np.arange(10), np.arange(10) % len(NAMES))
    with passes.ordered(gpu, generator, "render") as seen:
        many = generator.sample(np.arange(300), np.arange(300) % len(NAMES))
    assert seen == passes.AHEAD, seen
    assert np.array_equal(few, many[:10])
    assert sizes == [128] * 4
    gpu.log.reset()
    generator.sample(np.arange(5), np.arange(5) % len(NAMES))
    return {"kernels": gpu.log.kernels, "syncs": sum(gpu.log.syncs.values())}


def kid(gpu: FakeCuda, folder: Path) -> Figures:
    """KID on the device is KID."""
    from ganfer.metrics.kid import mmd2, mmd2_on

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 12)).astype(np.float32), rng.normal(0.3, 1, (30, 12)).astype(np.float32)
    assert abs(mmd2_on(x, y, "cuda") - mmd2(x, y)) < 1e-12
    return {"syncs": 0.0, "kernels": gpu.log.kernels}


def apple(gpu: FakeCuda, folder: Path, **settings: Any) -> Figures:
    """An Apple GPU: a classifier, a GAN with its snapshots and drawing, copies looked for, all in float32."""
    from classifiers import TrainConfig, load_classifier, train
    from ganfer.config import load_config
    from ganfer.gan import open_gan
    from ganfer.gan.train import train_gan
    from ganfer.metrics.copies import TrainingIndex
    from ganfer.metrics.precision_recall import Manifold

    config = TrainConfig(model="compact-small", steps=3, batch_size=12, mixup=0.2, tensorboard=False)
    made = train(config, samples(48), samples(12, seed=1), NAMES, folder / "classifier", device="mps")
    assert (made.card["precision"], made.card["device"].partition(":")[0]) == ("32-true", "mps")
    classifier = load_classifier(folder / "classifier", "mps")
    features = classifier.features(samples(24).images)
    Manifold.fit(features, device="mps").realism(features, device="mps")
    found = TrainingIndex.of(samples(24).images, features).look(samples(24).images, features, device="mps")
    assert found.index.tolist() == list(range(24))
    workspace, data = tiny_workspace(folder / "work")
    small = {"base_channels": 4, "latent_dim": 8, "batch_size": 8, "steps": 3, "snapshot_every": 3, "guide_epochs": 1}
    run = train_gan(workspace, load_config(None, {"device": "mps", **{f"gan.{k}": v for k, v in small.items()}}), data)
    assert open_gan(run.path, "mps").sample(np.arange(3), np.arange(3)).shape == (3, 1, 16, 16)
    return {"syncs": 0.0}


def serve(gpu: FakeCuda, folder: Path) -> Figures:
    """A served classifier is ready for every size of batch, and fills smaller ones up."""
    from classifiers import TrainConfig, train
    from classifiers.models import ImageClassifier
    from ganfer.serve.backend import GPU_BATCHES, open_predictor, warm

    config = TrainConfig(model="compact-small", steps=1, batch_size=12, tensorboard=False)
    train(config, samples(24), samples(12, seed=1), NAMES, folder, device="cpu")
    sizes, forward = list[int](), ImageClassifier.forward

    def noting(self: ImageClassifier, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return forward(self, images)

    with mock.patch.object(ImageClassifier, "forward", noting):
        predictor = open_predictor(folder / "model.safetensors", "torch", "cuda")
        warm(predictor)
        assert sizes == list(GPU_BATCHES)
        gpu.log.reset()
        found = predictor.probabilities(samples(5).images)
        assert sizes[-1] == 8
    assert found.shape == (5, len(NAMES))
    return {"syncs": sum(gpu.log.syncs.values())}


SCENARIOS = {
    "classifier": Scenario(classifier, {"model": "compact"}),
    "classifier recorded": Scenario(recorded, {"augment": "strong", "progressive": 0.5, "plain": 6}, graphs="auto"),
    "classifier recorded, mixed": Scenario(
        recorded, {"mixup": 0.2, "cutmix": 1.0, "augment": "none", "steps": 16, "plain": 6}, graphs="auto"
    ),
    "classifier recorded, thawed": Scenario(recorded, {"freeze": 0.25, "plain": 6}, graphs="auto"),
    "classifier recorded, refitted": Scenario(
        recorded, {"refit": 0.7, "rare_augment": "strong", "plain": 6}, graphs="auto"
    ),
    "classifier with weights that set in late": Scenario(classifier, {"loss": "class-weighted", "defer": 0.1}),
    "classifier with two sources": Scenario(
        classifier, {"sources": True, "auxiliary_norm": "affine", "cmo": 0.9, "clip_norm": 1.0}
    ),
    "classifier with two sources mixed": Scenario(classifier, {"sources": True, "mixup_across": 0.3, "steps": 6}),
    "classifier recorded, larger than the GPU": Scenario(recorded, {"steps": 8}, {"free_bytes": 1000}, graphs="auto"),
    "classifier recorded without bf16": Scenario(recorded, machine={"capability": (7, 5)}, graphs="auto"),
    "classifier recorded without bf16, SGD": Scenario(
        recorded, {"optimizer": "sgd", "clip_norm": 0.0, "steps": 8}, {"capability": (7, 5)}, graphs="auto"
    ),
    "classifier recorded AdamW": Scenario(recorded, {"optimizer": "adamw", "dropout": 0.3}, graphs="auto"),
    "classifier not to be recorded": Scenario(refused),
    "classifiers in turns": Scenario(in_turns, machine={"free_bytes": 16 << 30}, graphs="auto"),
    "classifiers side by side": Scenario(many, machine={"free_bytes": 16 << 30}, graphs="auto"),
    "classifier AdamW": Scenario(classifier, {"optimizer": "adamw"}),
    "classifier SGD": Scenario(classifier, {"optimizer": "sgd"}, {"devices": 8}),
    "classifier without bf16": Scenario(classifier, machine={"capability": (7, 5)}),
    "classifier all augmentation": Scenario(
        classifier, {"augment": "randaugment", "mixup": 0.2, "cutmix": 1.0, "loss": "focal"}
    ),
    "classifier out of memory": Scenario(classifier, machine={"oom_above": 6}),
    "classifier out of cuDNN's memory": Scenario(
        classifier, machine={"oom_above": 6, "oom_words": "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"}
    ),
    "classifier larger than the GPU": Scenario(classifier, machine={"free_bytes": 1000}),
    "resumed AdamW": Scenario(resumed, {"optimizer": "adamw"}),
    "resumed Muon": Scenario(resumed, {"optimizer": "muon"}),
    "resumed without bf16": Scenario(resumed, machine={"capability": (7, 5)}),
    "resgan": Scenario(gan),
    "resgan recorded": Scenario(
        recorded_gan, {"gan.r1_interval": 2, "gan.steps": 12, "gan.snapshot_every": 12}, graphs="auto"
    ),
    "resgan not to be recorded": Scenario(
        broken_gan, {"gan.r1_interval": 2, "gan.steps": 12, "gan.snapshot_every": 12}, graphs="auto"
    ),
    "stylegan2 recorded": Scenario(
        recorded_gan, {"gan.network": "stylegan2", "gan.r1_interval": 20, "gan.guidance": 0.0}, graphs="auto"
    ),
    "dcgan": Scenario(gan, {"gan.network": "dcgan", "gan.guidance": 0.0}, {"devices": 8}),
    "dcgan larger than the GPU": Scenario(gan, {"gan.network": "dcgan", "gan.guidance": 0.0}, {"free_bytes": 1000}),
    "dcgan out of memory": Scenario(gan_out_of_memory, {"gan.network": "dcgan", "gan.guidance": 0.0}, {"oom_above": 4}),
    "stylegan2": Scenario(gan, {"gan.network": "stylegan2", "gan.guidance": 0.0}),
    "resgan fp16": Scenario(gan, {"gan.precision": "fp16", "gan.guidance": 0.0}),
    "resgan fp16 recorded": Scenario(
        recorded_gan,
        {"gan.precision": "fp16", "gan.guidance": 0.0, "gan.steps": 12, "gan.snapshot_every": 12},
        graphs="auto",
    ),
    "resgan fp32": Scenario(gan, {"gan.precision": "fp32", "gan.guidance": 0.0}),
    "StyleGAN2 drawing": Scenario(stylegan),
    "drawing": Scenario(drawing),
    "features": Scenario(passes.features),
    "pairs": Scenario(passes.pairs),
    "learning to encode": Scenario(passes.learning),
    "reading ahead": Scenario(passes.ahead, machine={"free_bytes": 1000}),
    "keeping": Scenario(passes.kept),
    "faces encoded": Scenario(passes.encoded),
    "the second GPU": Scenario(passes.second, machine={"devices": 2, "index": 1, "free_bytes": 1000}),
    "classifier on the second GPU": Scenario(
        classifier, {"device": "cuda:1"}, machine={"devices": 2, "index": 1}, graphs="auto"
    ),
    "streams of lanes": Scenario(passes.streams),
    "steering": Scenario(steering.campaign),
    "steering a GAN": Scenario(steering.campaign_of_a_gan),
    "steering, Apple": Scenario(steering.campaign, machine={"kind": "mps"}),
    "steering, ascent": Scenario(steering.ascent),
    "steering, evolution": Scenario(steering.evolution),
    "inversion": Scenario(steering.inversion),
    "serving": Scenario(serve),
    "KID": Scenario(kid),
    "Apple": Scenario(apple, machine={"kind": "mps"}, graphs="auto"),
}
