"""Passes over many images on the stand-in: the next one is launched before the last one's results are waited for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from fake_gpu import FakeCuda

Figures = dict[str, float]
AHEAD = ["pass", "pass", "wait", "pass", "wait", "wait"]  # three passes


@contextlib.contextmanager
def ordered(gpu: FakeCuda, owner: Any, name: str = "forward") -> Iterator[list[str]]:
    """The passes (calls of a method) and the waits while the block runs, in order."""
    seen, method, sync = list[str](), getattr(owner, name), gpu.log.sync

    def passing(*args: Any, **kwargs: Any) -> Any:
        seen.append("pass")
        return method(*args, **kwargs)

    def waiting(what: str) -> None:
        seen.append("wait")
        sync(what)

    with mock.patch.object(owner, name, passing), mock.patch.object(gpu.log, "sync", waiting):
        yield seen


def features(gpu: FakeCuda, folder: Path) -> Figures:
    """Features, codes, embeddings and probabilities of three batches."""
    from classifiers import Classifier, create_model
    from ganfer.gan.encoder import Encoder, EncoderNet
    from ganfer.metrics import features as conv
    from ganfer.metrics import identity
    from ganfer.metrics.identity import IdentityDistance, IdentityNet

    pixels = np.random.default_rng(0).integers(0, 256, (12, 1, 16, 16), np.uint8)
    model = create_model("compact-small", 3, 1, 16)
    classifier = Classifier(model, ["a", "b", "c"], device="cuda")
    alike = IdentityDistance(IdentityNet(1, 8).to("cuda"), np.zeros(1))
    encoder = Encoder(EncoderNet(1, 16, 3, 8, 8), "cuda")
    random_conv = conv.RandomConvFeatures(1, "cuda")
    cases: tuple[tuple[Any, str, Callable[[], np.ndarray]], ...] = (
        (random_conv, "pooled", lambda: random_conv(pixels)),
        (alike.network, "forward", lambda: alike.embed(pixels)),
        (encoder.network, "forward", lambda: encoder.encode(pixels, np.arange(12) % 3)),
        (model, "forward", lambda: classifier.logits(pixels, batch_size=4)),
    )
    small = [mock.patch.object(module, "_BATCH", 4) for module in (conv, identity)]
    small.append(mock.patch("ganfer.gan.encoder._BATCH", 4))
    with contextlib.ExitStack() as patched:
        for patch in small:
            patched.enter_context(patch)
        for owner, name, call in cases:
            with ordered(gpu, owner, name) as seen:
                found = call()
            assert len(found) == 12
            assert seen == AHEAD, (type(owner).__name__, seen)
    return {"syncs": 0.0}


def pairs(gpu: FakeCuda, folder: Path) -> Figures:
    """Pictures correlated pair by pair for the copy check."""
    from ganfer.metrics import pictures

    with mock.patch.object(pictures, "_AT_ONCE", 4):
        of = pictures.pictures(np.random.default_rng(0).integers(0, 256, (12, 1, 48, 48), np.uint8), "cuda")
        couples = np.stack([np.arange(12)] * 2, axis=1)
        with ordered(gpu, torch.fft, "irfft2") as seen:
            found = pictures.correlations(of, of, couples, np.zeros(12, bool))
    assert np.allclose(found, 1, atol=1e-4)
    assert seen == AHEAD, seen
    return {"syncs": 0.0}


def learning(gpu: FakeCuda, folder: Path) -> Figures:
    """Steps of the encoder and of the network that tells people apart, which get their images from the host."""
    from ganfer.config import load_config
    from ganfer.gan.encoder import EncoderNet, encoder_loss
    from ganfer.gan.identity import varied
    from ganfer.gan.networks import NetworkSpec, build_generator
    from ganfer.gan.sampling import GanGenerator
    from ganfer.metrics.identity import IdentityDistance, IdentityNet

    spec = NetworkSpec("resgan", 16, 1, 3, 8, 4)
    generator = GanGenerator(build_generator(spec), spec, ("a", "b", "c"), device="cuda")
    real, labels = np.random.default_rng(0).integers(0, 256, (9, 1, 16, 16), np.uint8), np.arange(9) % 3
    alike = IdentityDistance(IdentityNet(1, 8).to("cuda"), np.zeros(1))
    config = load_config(None, {"device": "cuda", "encoder.batch_size": 8})
    network = EncoderNet(1, 16, 3, 8, 8).to("cuda")
    loss = encoder_loss(network, generator, alike, real, labels, config)
    faces = torch.from_numpy(real).pin_memory().to("cuda", non_blocking=True).float()
    gpu.log.reset()
    for step in range(2):
        loss(step).backward()
    varied(faces, np.random.default_rng(0))
    return {"syncs": sum(gpu.log.syncs.values()) / 2}


def ahead(gpu: FakeCuda, folder: Path) -> Figures:
    """The next batch of images that don't fit on the device is on its way there before it is asked for."""
    from classifiers.device_set import DeviceSet

    pixels = np.random.default_rng(0).integers(0, 256, (9, 1, 16, 16), np.uint8)
    data = DeviceSet(pixels, np.eye(9, dtype=np.float32), torch.device("cuda", 0))
    assert data._images is None
    gpu.log.reset()
    for start in range(0, 9, 3):
        index = np.arange(start, start + 3)
        data.prefetch(index)
        assert data._ahead is not None
        sent, _ = data._ahead[1].result()
        images, targets = data.take(index)
        assert images is sent
        assert np.array_equal(images.cpu().numpy(), pixels[index])
        assert targets.cpu().numpy().argmax(1).tolist() == index.tolist()
    assert data.take(np.array([8, 0]))[0].cpu().numpy().tolist() == pixels[[8, 0]].tolist(), "one not read ahead"
    return {"syncs": sum(n for (what, _), n in gpu.log.syncs.items() if what != "copy to host")}


def encoded(gpu: FakeCuda, folder: Path) -> Figures:
    """A real face's latent, as the encoder has it without a search, is where the moves are made."""
    from types import SimpleNamespace

    from ganfer.generate.changing import Changer

    class Space:
        def codes(self, seeds: Any) -> torch.Tensor:
            return torch.randn(len(seeds), 2, 4).to("cuda")

        def gaussian(self, codes: torch.Tensor) -> torch.Tensor:
            return codes

        from_gaussian = gaussian

    encoder: Any = SimpleNamespace(encode=lambda faces, labels: np.zeros((len(faces), 1, 4), np.float32))
    config: Any = SimpleNamespace(transfer=SimpleNamespace(refine=0), seed=0)
    nothing: Any = None
    changer = Changer(*[nothing] * 2, encoder, *[nothing] * 5, config, 1.0)
    changer._spaces[-1] = Space()  # type: ignore[assignment]
    codes = changer._invert(np.zeros((3, 1, 8, 8), np.uint8), np.zeros(3, np.int64))
    assert codes.shape == (3, 2, 4)
    changer._restyled(changer._prior(0), codes, np.arange(3), np.arange(3))
    return {"syncs": 0.0}


def second(gpu: FakeCuda, folder: Path) -> Figures:
    """All that copies, records and waits on a GPU that is not the current one does so on that GPU's streams."""
    from classifiers import Classifier, create_model
    from classifiers.device_set import DeviceSet, on_host
    from ganfer.gan.networks import NetworkSpec, build_generator
    from ganfer.gan.sampling import GanGenerator
    from stylegan_bridge import Generator, GeneratorConfig

    pixels = np.random.default_rng(0).integers(0, 256, (9, 1, 16, 16), np.uint8)
    device = "cuda:1"
    classifier = Classifier(create_model("compact-small", 3, 1, 16), ["a", "b", "c"], device=device)
    assert len(classifier.logits(pixels, batch_size=4)) == 9
    spec = NetworkSpec("resgan", 16, 1, 3, 8, 4)
    own = GanGenerator(build_generator(spec), spec, ("a", "b", "c"), device=device)
    assert len(own.sample(np.arange(5), np.arange(5) % 3)) == 5
    config = GeneratorConfig.standard(32, channel_base=128, channel_max=8, z_dim=8, w_dim=8, mapping_layers=2)
    generator = Generator(config).to(device)
    eager = generator.sample(range(3))
    generator.cuda_graphs = True
    assert torch.equal(generator.sample(range(3)), eager)
    data = DeviceSet(pixels, np.eye(9, dtype=np.float32), torch.device(device))
    for start in range(0, 9, 3):
        data.prefetch(np.arange(start, start + 3))
        assert len(data.take(np.arange(start, start + 3))[0]) == 3
    assert on_host({"a": torch.ones(2, device=device)})["a"].tolist() == [1, 1]
    return {"syncs": 0.0}


def streams(gpu: FakeCuda, folder: Path) -> Figures:
    """Trainings at the same time share no stream, though torch hands out 32 in turn."""
    from classifiers import streams as of

    device = torch.device("cuda", 0)
    for _ in range(5):
        torch.cuda.Stream(device)
    lanes = [lane for lane in of.lanes(device, of.MOST_LANES) if lane is not None]
    assert len({stream.number for lane in lanes for stream in (lane.main, lane.record, lane.read)}) == 30  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="streams for 10"):
        of.lanes(device, of.MOST_LANES + 1)
    with of.lane(lanes[3], device):
        assert torch.cuda.current_stream() is lanes[3].main
        assert of.to_record(device) is lanes[3].record
        assert of.to_read(device) is lanes[3].read
    assert of.to_read(device) is not lanes[3].read, "outside of it"
    assert of.lanes(torch.device("cpu"), 2) == [None, None]
    return {"syncs": 0.0}


def kept(gpu: FakeCuda, folder: Path) -> Figures:
    """A state goes to the CPU with one wait, in the same layout, and is no longer the device's own memory."""
    from classifiers.device_set import on_host

    weight = torch.arange(48.0).reshape(2, 2, 3, 4).to("cuda").contiguous(memory_format=torch.channels_last)
    own = torch.ones(3)
    state = {"parts": [weight, (own, "text")], "step": torch.tensor(4.0, device="cuda")}
    gpu.log.reset()
    found = on_host(state)
    syncs = sum(gpu.log.syncs.values())
    assert syncs == 1, gpu.log.syncs
    copied = found["parts"][0]
    assert copied.stride() == weight.stride()
    assert torch.equal(copied, weight.cpu())
    weight.zero_()
    own.zero_()
    assert copied.sum() == sum(range(48))
    assert found["parts"][1][0].tolist() == [1.0] * 3
    assert (found["parts"][1][1], float(found["step"])) == ("text", 4.0)
    return {"syncs": 0.0}
