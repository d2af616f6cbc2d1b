"""What a user of a GPU does first, on the stand-in. Each scenario returns figures; what must not happen is an error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import scenarios_gan as gans
import scenarios_many as together
import scenarios_passes as passes
import scenarios_steering as steering
import torch
from fake_gpu import FakeCuda
from scenarios_common import NAMES, Figures, made_ready, metered_steps, samples


@dataclass(frozen=True)
class Scenario:
    """run(gpu, folder, **settings) on a GPU as `machine` (arguments of FakeCuda) says. graphs: auto records steps."""

    run: Callable[..., Figures]
    settings: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    graphs: str = "off"


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


def many_drawn(gpu: FakeCuda, folder: Path) -> Figures:
    """Of many faces the passes are replayed, and are the same; also when the weights have changed."""
    from ganfer.gan import sampling
    from ganfer.gan.networks import NetworkSpec, build_generator
    from ganfer.gan.sampling import GanGenerator

    meter: Figures = {}
    for network, names in (("resgan", NAMES), ("dcgan", None)):
        spec = NetworkSpec(network, 16, 1, len(names or ()), 8, 4)
        torch.manual_seed(0)
        generator = GanGenerator(build_generator(spec), spec, names, device="cuda")
        with torch.no_grad():
            for weight in generator.network.parameters():  # of an untrained network: else its images are all grey
                weight.mul_(4 if weight.dim() > 1 else 1)
        generator.plain_passes = sampling._PLAIN_PASSES  # as of one that is opened

        def draw(count: int, generator: GanGenerator = generator, conditional: bool = bool(names)) -> np.ndarray:
            return generator.sample(np.arange(count), np.arange(count) % len(NAMES) if conditional else None)

        few = [draw(128 * sampling._PLAIN_PASSES)]
        assert not gpu.log.launches["graph replay"]
        again = draw(128 * sampling._PLAIN_PASSES)
        assert gpu.log.launches["graph replay"] == sampling._PLAIN_PASSES
        assert np.array_equal(few[0], again)
        with torch.no_grad():
            for weight in generator.network.parameters():
                weight.mul_(1.5)
        renewed = draw(10)
        assert not np.array_equal(renewed, again[:10])
        generator.plain_passes = -1
        assert np.array_equal(draw(10), renewed), "a recorded pass draws by weights that have gone"
        generator.plain_passes = 0
        gpu.log.reset()
        draw(5)
        meter = {"kernels": gpu.log.kernels, "syncs": sum(gpu.log.syncs.values())}
        gpu.log.reset()
    return meter


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
    workspace, data = gans.tiny_workspace(folder / "work")
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
    "classifiers in turns": Scenario(together.in_turns, machine={"free_bytes": 16 << 30}, graphs="auto"),
    "classifiers side by side": Scenario(together.many, machine={"free_bytes": 16 << 30}, graphs="auto"),
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
    "resgan": Scenario(gans.gan),
    "resgan recorded": Scenario(
        gans.recorded_gan, {"gan.r1_interval": 2, "gan.steps": 12, "gan.snapshot_every": 12}, graphs="auto"
    ),
    "resgan not to be recorded": Scenario(
        gans.broken_gan, {"gan.r1_interval": 2, "gan.steps": 12, "gan.snapshot_every": 12}, graphs="auto"
    ),
    "stylegan2 recorded": Scenario(
        gans.recorded_gan, {"gan.network": "stylegan2", "gan.r1_interval": 20, "gan.guidance": 0.0}, graphs="auto"
    ),
    "dcgan": Scenario(gans.gan, {"gan.network": "dcgan", "gan.guidance": 0.0}, {"devices": 8}),
    "dcgan larger than the GPU": Scenario(
        gans.gan, {"gan.network": "dcgan", "gan.guidance": 0.0}, {"free_bytes": 1000}
    ),
    "dcgan out of memory": Scenario(
        gans.gan_out_of_memory, {"gan.network": "dcgan", "gan.guidance": 0.0}, {"oom_above": 4}
    ),
    "stylegan2": Scenario(gans.gan, {"gan.network": "stylegan2", "gan.guidance": 0.0}),
    "resgan fp16": Scenario(gans.gan, {"gan.precision": "fp16", "gan.guidance": 0.0}),
    "resgan fp16 recorded": Scenario(
        gans.recorded_gan,
        {"gan.precision": "fp16", "gan.guidance": 0.0, "gan.steps": 12, "gan.snapshot_every": 12},
        graphs="auto",
    ),
    "resgan fp32": Scenario(gans.gan, {"gan.precision": "fp32", "gan.guidance": 0.0}),
    "StyleGAN2 drawing": Scenario(stylegan),
    "drawing": Scenario(drawing),
    "drawing, recorded": Scenario(many_drawn, graphs="auto"),
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
