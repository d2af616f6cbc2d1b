"""Drawing: image i depends on seed i alone, requests are checked, crops are antialiased, files are whole."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from bridge_checkpoints import tiny_config, tiny_generator
from PIL import Image

from stylegan_bridge import BridgeError, face_crop, mix_styles, save_pngs, stream
from stylegan_bridge.exact import exact
from stylegan_bridge.generator import Generator, default_micro_batch, latents, to_uint8
from stylegan_bridge.sampling import FFHQ_FACE


@pytest.fixture(scope="module")
def generator() -> Generator:
    return tiny_generator(tiny_config(32))


@pytest.fixture(scope="module")
def conditional() -> Generator:
    return tiny_generator(tiny_config(16, c_dim=3, architecture="resnet"))


@pytest.mark.parametrize("noise_mode", ["const", "random", "none"])
@pytest.mark.parametrize("micro_batch", [None, 4])
def test_an_image_does_not_depend_on_its_company(
    generator: Generator, noise_mode: str, micro_batch: int | None
) -> None:
    seeds = [5, 3, 11, 7, 2**32 - 1, 3, 0]
    generator.micro_batch = micro_batch
    try:
        together = generator.sample(seeds, truncation_psi=0.8, noise_mode=noise_mode)
        alone = [generator.sample([seed], truncation_psi=0.8, noise_mode=noise_mode) for seed in seeds]
        backwards = generator.sample(seeds[::-1], truncation_psi=0.8, noise_mode=noise_mode)
    finally:
        generator.micro_batch = None
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(together, backwards.flip(0))
    assert torch.equal(together[1], together[5])
    assert not torch.equal(together[0], together[1])


def test_batches_of_a_stream_are_the_images_of_one_call(generator: Generator) -> None:
    for batch_size in (1, 3, 100):
        images = stream(generator, range(7), batch_size=batch_size)
        assert len(images) == -(-7 // batch_size)
        assert images.num_images == 7
        for _ in range(2):  # it can be gone through again
            batches = list(images)
            assert [s for b in batches for s in b.seeds] == list(range(7))
            assert torch.equal(torch.cat([b.images for b in batches]), generator.sample(range(7)))


def test_a_stream_draws_when_asked(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(Generator, "sample", lambda self, seeds, *rest: drawn.append(len(seeds)) or torch.zeros(1))
    batches = iter(stream(generator, range(10**6), batch_size=4))
    assert drawn == []
    next(batches)
    assert drawn == [4]


def test_noise_modes_differ_and_random_noise_is_the_seeds_own(generator: Generator) -> None:
    const, none, random = (generator.sample([1, 2], noise_mode=mode) for mode in ("const", "none", "random"))
    assert not torch.equal(const, none)
    assert not torch.equal(random, const)
    assert torch.equal(random, generator.sample([1, 2], noise_mode="random"))
    noises = generator.noises("random", [1, 2])
    assert [tuple(n.shape) for n in noises] == [(2, 1, s, s) for s in (4, 8, 8, 16, 16, 32, 32)]
    assert abs(torch.cat([n.flatten() for n in noises]).std() - 1) < 0.05
    assert not torch.equal(noises[0][0], noises[0][1])


def test_classes_by_image(conditional: Generator) -> None:
    mixed = conditional.sample([4, 4, 5], [2, 0, 1])
    assert torch.equal(mixed[0], conditional.sample([4], 2)[0])
    assert torch.equal(mixed[1], conditional.sample([4], 0)[0])
    assert not torch.equal(mixed[0], mixed[1])
    assert torch.equal(conditional.sample([5], np.int64(1))[0], mixed[2])
    batches = list(stream(conditional, [4, 4, 5], np.array([2, 0, 1]), batch_size=2))
    assert torch.equal(torch.cat([b.images for b in batches]), mixed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1],), "choose class_index from 0..2"),
        (([1], 3), "class_index 3 is outside"),
        (([1], [0, 1]), "2 class indices for 1 seeds"),
        (([-1], 0), "seed -1 is outside"),
        (([2**32], 0), "outside 0..4294967295"),
        ((["a"], 0), "whole numbers"),
        (([1.5], 0), "whole numbers"),
        (([1], 0, float("nan")), "truncation_psi must be a finite"),
        (([1], 0, 1.0, "loud"), "noise_mode 'loud'"),
    ],
)
def test_requests_that_cannot_be_met(conditional: Generator, arguments: tuple, message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        conditional.sample(*arguments)


def test_requests_are_checked_before_the_first_image(generator: Generator) -> None:
    with pytest.raises(BridgeError, match="unconditional"):
        stream(generator, [1], 0)
    with pytest.raises(BridgeError, match="batch_size"):
        stream(generator, [1], batch_size=0)
    with pytest.raises(BridgeError, match="box"):
        stream(generator, [1], box=(0.5, 0, 0.4, 1))


def test_nothing_asked_for_is_an_empty_answer(generator: Generator) -> None:
    assert generator.sample([]).shape == (0, 3, 32, 32)
    assert list(stream(generator, [])) == []


def test_values_that_are_not_finite_are_not_drawn() -> None:
    broken = tiny_generator()
    broken.synthesis.blocks[-1].torgb.bias.data.fill_(float("nan"))
    with pytest.raises(BridgeError, match="precision='float32'"):
        broken.sample([0])


def test_rounding_is_nvidias() -> None:
    values = torch.tensor([-2.0, -1.0, -0.00393, 0.0, 0.9961, 1.0, 7.0])
    assert to_uint8(values).tolist() == [0, 0, 127, 128, 255, 255, 255]


def test_mixing_takes_the_layers_of_the_other(generator: Generator) -> None:
    last = generator.config.num_ws
    assert torch.equal(mix_styles(generator, [1, 2], [3, 4], []), generator.sample([1, 2]))
    assert torch.equal(mix_styles(generator, [1, 2], [3, 4], range(last)), generator.sample([3, 4]))
    mixed = mix_styles(generator, [1], [3], range(4, last), truncation_psi=0.7)
    ws = generator.map(latents([1], 8), truncation_psi=0.7)
    ws[:, 4:] = generator.map(latents([3], 8), truncation_psi=0.7)[:, 4:]
    assert torch.equal(mixed, to_uint8(generator.render(ws)))
    with pytest.raises(BridgeError, match="in pairs"):
        mix_styles(generator, [1], [2, 3], [0])
    with pytest.raises(BridgeError, match=f"layer {last} is outside"):
        mix_styles(generator, [1], [2], [last])
    with pytest.raises(BridgeError, match="ws of shape"):
        generator.sample_ws(torch.zeros(1, 2, 10))


def test_the_micro_batch_never_changes_within_a_device() -> None:
    assert default_micro_batch(tiny_config(), torch.device("cpu")) == 1
    sizes = [default_micro_batch(tiny_config(r), torch.device("cuda")) for r in (32, 256, 1024)]
    assert sizes == [32, 32, 8]


def test_crops_are_antialiased() -> None:
    """A checkerboard of single pixels becomes even grey; a plain resampler would keep black or white."""
    board = ((torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255).to(torch.uint8).expand(1, 3, 64, 64)
    small = face_crop(board, 8, 1, box=None)
    assert small.shape == (1, 1, 8, 8)
    assert (small.int() - 128).abs().max() <= 3


def test_crops_cut_the_box_and_weigh_the_colours() -> None:
    images = torch.zeros(1, 3, 20, 20, dtype=torch.uint8)
    images[:, 0, 5:15, 4:8] = 200
    cut = face_crop(images, 10, 3, box=(0.2, 0.25, 0.7, 0.75))
    assert torch.equal(cut, images[:, :, 5:15, 4:14])
    grey = face_crop(images, 20, 1, box=None)
    assert grey[0, 0, 6, 5] == round(0.299 * 200)
    assert torch.equal(face_crop(grey, 20, 3, box=None), grey.expand(-1, 3, -1, -1))
    left, top, right, bottom = FFHQ_FACE
    assert right - left == pytest.approx(bottom - top)  # a square stays a square


def test_crops_match_pillows_antialiasing() -> None:
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    ours = face_crop(image[None], 24, 3, box=None)[0].permute(1, 2, 0).numpy().astype(int)
    pillow = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((24, 24), Image.Resampling.BICUBIC)
    assert np.abs(ours - np.asarray(pillow).astype(int)).max() <= 2


@pytest.mark.parametrize("arguments", [((0, 1), {}), ((8, 2), {}), ((8, 1), {"box": (0.0, 0.0, 1.5, 1.0)})])
def test_crops_that_cannot_be(arguments: tuple) -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(BridgeError):
        face_crop(images, *arguments[0], **arguments[1])
    with pytest.raises(BridgeError, match="uint8"):
        face_crop(images.float(), 8, 1)


def test_streams_crop_to_the_wanted_size(generator: Generator) -> None:
    (batch,) = stream(generator, [1, 2], size=12, channels=1, box=FFHQ_FACE)
    assert torch.equal(batch.images, face_crop(generator.sample([1, 2]), 12, 1))


def test_pngs_hold_the_images_and_their_text(generator: Generator, tmp_path: Path) -> None:
    counts: list[int] = []
    images = stream(generator, range(9), batch_size=2, channels=1)
    paths = save_pngs(images, tmp_path / "a" / "b", text=lambda seed: {"seed": str(seed)}, progress=counts.append)
    assert [p.name for p in paths] == [f"seed{seed:010d}.png" for seed in range(9)]
    assert counts == [2, 4, 6, 8, 9]
    expected = torch.cat([b.images for b in images])
    for seed, path in enumerate(paths):
        with Image.open(path) as image:
            assert image.mode == "L"
            assert image.text == {"seed": str(seed)}
            np.testing.assert_array_equal(np.asarray(image), expected[seed, 0].numpy())
    assert sorted(tmp_path.rglob("*.tmp")) == []


def test_pngs_that_cannot_be_written(generator: Generator, tmp_path: Path) -> None:
    (tmp_path / "seed0000000001.png").mkdir()
    with pytest.raises(BridgeError, match="cannot write"):
        save_pngs(stream(generator, [1]), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["seed0000000001.png"]


def test_recording_is_for_cuda_alone(generator: Generator) -> None:
    expected = generator.sample([1, 2])
    generator.cuda_graphs = True
    try:
        assert torch.equal(generator.sample([1, 2]), expected)
    finally:
        generator.cuda_graphs = False


def test_threads_on_a_gpu_keep_exact_arithmetic_to_their_end() -> None:
    """And what was set before is set again behind the last."""

    def short_or_long(seconds: float) -> bool:
        with exact(torch.device("cuda")):
            time.sleep(seconds)
            return torch.backends.cudnn.deterministic and not torch.backends.cudnn.allow_tf32

    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(short_or_long, (0.05, 0.1))) == [True, True]
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32) == before


def test_threads_that_replay_draw_their_own_images(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorded pass writes its images where the one before has its own."""
    expected = [generator.sample([seed]) for seed in range(4)]
    place, draw, to_pixels = torch.empty(1, 3, 32, 32), generator.render, to_uint8

    def replay(ws: torch.Tensor, noise_mode: str, seeds: list[int]) -> torch.Tensor:
        return place.copy_(draw(ws))

    def later(images: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05)
        return to_pixels(images)

    monkeypatch.setattr(generator, "_pass", replay)
    monkeypatch.setattr(generator, "cuda_graphs", True)
    monkeypatch.setattr("stylegan_bridge.generator.to_uint8", later)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: generator.sample([seed]), range(4)))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_recorded_pass_draws_the_same() -> None:
    generator = tiny_generator(tiny_config(32, num_fp16_res=2, conv_clamp=256)).to("cuda")
    plain = [generator.sample(range(70), noise_mode=mode) for mode in ("const", "none", "random")]
    generator.cuda_graphs = True
    again = [generator.sample(range(70), noise_mode=mode) for mode in ("const", "none", "random")]
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    generator.synthesis.blocks[-1].torgb.bias.data.add_(1.0)
    assert not torch.equal(generator.sample([1], noise_mode="const"), plain[0][1:2])  # weights are read where they lie
