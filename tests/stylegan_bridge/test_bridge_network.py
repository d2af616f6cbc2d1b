"""The network computes what the papers define: each operation against its definition written out plainly."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bridge_checkpoints import tiny_config, tiny_generator

from stylegan_bridge import winograd
from stylegan_bridge.config import ACTIVATION_GAINS, GeneratorConfig
from stylegan_bridge.errors import BridgeError
from stylegan_bridge.generator import Generator, latents
from stylegan_bridge.network import Linear
from stylegan_bridge.ops import Derived, modulated_conv2d, upsample2d


def low_pass(x: torch.Tensor, taps: torch.Tensor, gain: float) -> torch.Tensor:
    """A true convolution with the 2-D filter, zero padding chosen by the caller."""
    kernel = torch.outer(taps, taps).flip(0, 1) * gain
    return torch.stack([F.conv2d(image[:, None], kernel[None, None])[:, 0] for image in x])


def spread(x: torch.Tensor) -> torch.Tensor:
    """Zeros between the pixels."""
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1, 2, 1], [1.0], [1, 2], [1, 4, 6, 4, 1], [1, 2, 0, 5, 1, 3]])
def test_upsampling_is_zero_insertion_and_the_filter(taps: list[float]) -> None:
    f = torch.tensor(taps, dtype=torch.float32)
    f = f / f.sum()
    x = torch.randn(2, 3, 5, 7)
    before, after = (len(taps) + 1) // 2, (len(taps) - 2) // 2
    expected = low_pass(F.pad(spread(x), (before, after, before, after)), f, 4)
    torch.testing.assert_close(upsample2d(x, f), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("taps", [None, [1, 3, 3, 1], [1, 2, 1], [1.0], [1, 2, 0, 5, 1, 3]])
@pytest.mark.parametrize(
    "shape", [(1, 5, 16), (1, 40, 4), (3, 5, 8)]
)  # folded into the weights, and onto the activations
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_by_its_definition(
    taps: list[float] | None, shape: tuple[int, int, int], demodulate: bool
) -> None:
    batch, inputs, side = shape
    x, weight = torch.randn(batch, inputs, side, side), torch.randn(6, inputs, 3, 3)
    styles, bias = torch.randn(batch, inputs), torch.randn(6)
    f = None if taps is None else torch.tensor(taps, dtype=torch.float32) / sum(taps)
    expected = []
    for image, style in zip(x, styles, strict=True):
        w = weight * style[None, :, None, None]
        if demodulate:
            w = w / (w.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if f is None:
            y = F.conv2d(image[None], w, padding=1)
        else:  # upsample first, with the padding of both filters at once, then convolve
            before, after = 1 + (len(taps) + 1) // 2, 1 + (len(taps) - 2) // 2
            wide = low_pass(F.pad(spread(image[None]), (before, after, before, after)), f, 4)
            y = F.conv2d(wide, w.flip(2, 3))
        expected.append(y * 1.5 + bias[None, :, None, None])
    x = x.contiguous(memory_format=torch.channels_last)
    found = modulated_conv2d(x, weight, styles, demodulate=demodulate, gain=1.5, bias=bias, taps=f)
    torch.testing.assert_close(found, torch.cat(expected), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize(("resolution", "c_dim"), [(4, 0), (8, 3), (32, 0)])
def test_tensors_are_as_the_config_says(architecture: str, resolution: int, c_dim: int) -> None:
    config = tiny_config(resolution, architecture=architecture, c_dim=c_dim)
    generator = tiny_generator(config)
    assert {name: tuple(t.shape) for name, t in generator.state_dict().items()} == config.shapes()
    image = generator.sample([1], 0 if c_dim else None)
    assert image.shape == (1, 3, resolution, resolution)
    assert image.float().std() > 0


def test_a_published_size_has_its_published_number_of_parameters() -> None:
    # StyleGAN2 config F at 1024 px: 30.0 million weights, plus noise images (2.8 million) and w_avg.
    shapes = GeneratorConfig.standard(1024).shapes()
    trained = sum(int(np.prod(s)) for n, s in shapes.items() if not n.endswith(("noise_const", "w_avg")))
    assert trained == 30_370_060


@pytest.mark.parametrize("activation", sorted(ACTIVATION_GAINS))
def test_every_activation_keeps_the_gain_outside_the_clamp(activation: str) -> None:
    """conv1 at 4 px against its definition: activation, gain, clamp, in that order."""
    generator = tiny_generator(tiny_config(4, activation=activation, conv_clamp=0.7))
    layer = generator.synthesis.blocks[0].conv1
    w, x = torch.randn(2, 10), torch.randn(2, 12, 4, 4)
    found = layer(x, w, torch.ones(4, 4), generator.synthesis.taps, gain=0.5)
    plain = modulated_conv2d(x, layer.weight, layer.affine(w), demodulate=True, gain=1.0, bias=None, taps=None)
    y = plain + layer.noise_strength + layer.bias[None, :, None, None]
    functions = {
        "linear": lambda t: t,
        "lrelu": lambda t: F.leaky_relu(t, 0.2),
        "swish": F.silu,
        **{name: getattr(F, name) for name in ("relu", "elu", "selu", "softplus")},
        **{name: getattr(torch, name) for name in ("tanh", "sigmoid")},
    }
    expected = (functions[activation](y) * ACTIVATION_GAINS[activation] * 0.5).clamp(-0.35, 0.35)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_latents_are_nvidias() -> None:
    expected = np.stack([np.random.RandomState(seed).randn(1, 8)[0] for seed in (7, 0, 2**32 - 1)]).astype(np.float32)
    np.testing.assert_array_equal(latents([7, 0, 2**32 - 1], 8).numpy(), expected)


def test_truncation_pulls_towards_the_centre_up_to_the_cutoff() -> None:
    generator = tiny_generator()
    z = latents([3, 4], 8)
    full, half = generator.map(z), generator.map(z, truncation_psi=0.5, truncation_cutoff=2)
    centre = generator.w_average()
    torch.testing.assert_close(half[:, :2], (full[:, :2] + centre) / 2)
    torch.testing.assert_close(half[:, 2:], full[:, 2:])
    torch.testing.assert_close(generator.map(z, truncation_psi=0.0), centre.expand_as(full))


def test_without_a_stored_centre_it_is_the_mean_over_the_first_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylegan_bridge.generator.W_AVG_SEEDS", 50)
    generator = tiny_generator()
    generator.has_w_avg = False
    expected = generator.mapping(latents(range(50), 8)).mean(dim=0)
    torch.testing.assert_close(generator.w_average(), expected)


def test_the_image_is_differentiable_in_w() -> None:
    generator = tiny_generator()
    ws = generator.map(latents([1, 2], 8)).requires_grad_()
    generator.render(ws).square().sum().backward()
    assert ws.grad is not None
    assert bool((ws.grad.abs().amax(dim=(0, 2)) > 0).all())  # every layer has its say


def test_a_batch_renders_as_its_rows_do() -> None:
    for architecture in ("skip", "resnet"):
        generator = tiny_generator(tiny_config(32, architecture=architecture))
        ws = generator.map(latents(range(5), 8))
        rows = torch.cat([generator.render(ws[i : i + 1]) for i in range(5)])
        torch.testing.assert_close(generator.render(ws), rows, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 48}, "power of two"),
        ({"resolution": 2048}, "power of two"),
        ({"channels": (8, 8)}, "blocks"),
        ({"channels": (8, 0, 8)}, "lowest channels"),
        ({"channels": (8, 10**9, 8)}, "channels = 1000000000"),
        ({"c_dim": 3}, "contradict"),
        ({"architecture": "vgg"}, "architecture 'vgg'"),
        ({"activation": "gelu"}, "activation 'gelu'"),
        ({"resample_filter": (1.0, -1.0)}, "resample_filter"),
        ({"resample_filter": (float("nan"),)}, "resample_filter"),
        ({"conv_clamp": -1.0}, "conv_clamp"),
        ({"mapping_lr_multiplier": 0.0}, "mapping_lr_multiplier"),
        ({"num_fp16_res": -1}, "num_fp16_res"),
        ({"mapping_layers": 10_000}, "mapping_layers"),
        ({"img_channels": 9}, "img_channels"),
    ],
)
def test_impossible_layouts_are_refused(changes: dict, message: str) -> None:
    values = tiny_config().to_dict() | changes
    with pytest.raises(BridgeError, match=message):
        GeneratorConfig(**values)


def test_float16_blocks_are_the_highest_and_never_the_first() -> None:
    config = tiny_config(64, num_fp16_res=2)
    assert [r for r in config.block_resolutions if config.is_fp16(r)] == [32, 64]
    config = tiny_config(16, num_fp16_res=9)
    assert [r for r in config.block_resolutions if config.is_fp16(r)] == [8, 16]
    assert not any(tiny_config(16).is_fp16(r) for r in (4, 8, 16))


def test_float16_stays_near_float32_even_with_huge_styles() -> None:
    """Styles and weights are brought to 1 before float16, which ends at 65504."""
    x = torch.randn(2, 8, 8, 8)
    weight, styles = torch.randn(4, 8, 3, 3) * 300, torch.randn(2, 8) * 3000
    args = {"demodulate": True, "gain": 1.0, "bias": torch.randn(4), "taps": None}
    half = modulated_conv2d(x.half(), weight, styles, **args)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), modulated_conv2d(x, weight, styles, **args), atol=0.02, rtol=0.02)


def test_precision_must_be_known() -> None:
    with pytest.raises(BridgeError, match="precision 'int4'"):
        Generator(tiny_config(), precision="int4")


def wide_layer() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 130, 36, 32), torch.randn(128, 130, 3, 3), torch.randn(2, 130)


def test_winograd_is_nearly_as_exact_as_the_direct_form() -> None:
    x, weight, styles = wide_layer()
    args = {"demodulate": True, "gain": 1.3, "bias": torch.randn(128), "taps": None}
    with torch.no_grad():
        assert winograd.applies(x, weight)
        fast = modulated_conv2d(x, weight, styles, **args)
        w = weight.double() * styles.double()[:, None, :, None, None]
        w = w / (w.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt() * 1.3
        exact = torch.cat([F.conv2d(x[i : i + 1].double(), w[i], padding=1) for i in range(2)])
        exact = exact + args["bias"][:, None, None]
    assert (fast - exact).abs().max() < 2e-5  # float32 with the usual points errs by 6e-5
    assert (fast - exact).abs().mean() < 2e-6


def test_winograd_leaves_gradients_to_the_direct_form() -> None:
    x, weight, styles = wide_layer()
    assert not winograd.applies(x, weight)  # gradients are on
    styles.requires_grad_()
    args = {"demodulate": True, "gain": 1.0, "bias": None, "taps": None}
    slow = modulated_conv2d(x, weight, styles, **args)
    slow.sum().backward()
    with torch.no_grad():
        torch.testing.assert_close(modulated_conv2d(x, weight, styles, **args), slow, atol=1e-4, rtol=1e-4)


def test_what_is_kept_of_the_weights_follows_them() -> None:
    x, weight, styles = wide_layer()
    derived = Derived()
    args = {"demodulate": True, "gain": 1.0, "bias": None, "taps": None}
    with torch.no_grad():
        modulated_conv2d(x, weight, styles, derived=derived, **args)
        weight[:, :50] *= 2
        found = modulated_conv2d(x, weight, styles, derived=derived, **args)
        torch.testing.assert_close(found, modulated_conv2d(x, weight, styles, **args))
        weight = weight.clone() + 1
        found = modulated_conv2d(x, weight, styles, derived=derived, **args)
        torch.testing.assert_close(found, modulated_conv2d(x, weight, styles, **args))


def test_gradients_work_after_sampling() -> None:
    """What sampling keeps must not be bound to its inference mode."""
    generator = tiny_generator()
    generator.sample([0])
    ws = generator.map(latents([1], 8)).requires_grad_()
    generator.render(ws).sum().backward()
    assert ws.grad is not None


@pytest.mark.parametrize("batch", [1, 3])  # folded into the weights, and onto the activations
def test_float16_layers_draw_in_inference_mode_what_float32_draws(batch: int) -> None:
    generator = tiny_generator(tiny_config(32, num_fp16_res=2, conv_clamp=256))
    ws = generator.map(latents(range(batch), generator.config.z_dim))
    noises = generator.noises("const")
    with torch.inference_mode():
        half = generator.synthesis(ws, noises, allow_fp16=True)
        again = generator.synthesis(ws, noises, allow_fp16=True)
    whole = generator.synthesis(ws, noises)
    assert half.dtype == torch.float32
    assert torch.equal(half, again)
    torch.testing.assert_close(half, whole, atol=0.02 * float(whole.abs().max()), rtol=0.02)


def test_what_follows_from_the_weights_follows_a_change_of_them() -> None:
    derived, weight = Derived(), torch.randn(4, 3, 3, 3)
    for _ in range(2):
        normalised = derived.normalised(weight)
        assert normalised is derived.normalised(weight), "made once"
        torch.testing.assert_close(normalised.abs().amax((1, 2, 3)), torch.full((4,), 27**-0.5))
        torch.testing.assert_close(derived.normalised_energy(weight), normalised.square().sum((2, 3)))
        torch.testing.assert_close(derived.energy(weight), weight.square().sum((2, 3)))
        weight.mul_(torch.rand(4, 3, 3, 3))
    with torch.inference_mode():
        unversioned = torch.randn(4, 3, 3, 3)
        before = derived.energy(unversioned)
        unversioned.mul_(2)
        torch.testing.assert_close(derived.energy(unversioned), 4 * before)


def test_a_layer_stays_in_float32_under_autocast() -> None:
    layer, x = Linear(8, 4), torch.randn(5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), layer.float()(x))
        assert layer(x.bfloat16()).dtype == torch.float32
