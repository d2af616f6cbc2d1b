"""A network from elsewhere as a generator: read as weights, fitted to the data, drawn by seed, steered."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganfer.errors import GanferError
from ganfer.gan.foreign import Fitted, generator_of, read_weights
from ganfer.generate.spaces import latent_space


class Tutorial(nn.Module):
    """A small DCGAN of the common kind: z (N, 8, 1, 1) to images (N, 3, 16, 16) in -1..1."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(8, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(True),
            nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(True),
            nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.main(z)
        return images


def network() -> nn.Module:
    torch.manual_seed(0)
    return Tutorial().eval()


def opened(size: int = 24, channels: int = 1):
    return generator_of(
        network(), name="tutorial", digest="d", latent_shape=(8, 1, 1), size=size, channels=channels, device="cpu"
    )


@pytest.mark.parametrize(("size", "channels"), [(24, 1), (16, 3), (12, 1)])
def test_it_draws_at_the_datas_size_and_channels(size: int, channels: int) -> None:
    generator = opened(size, channels)
    seeds = np.arange(40)
    images = generator.sample(seeds)
    assert images.shape == (40, channels, size, size)
    assert images.dtype == np.uint8
    assert np.array_equal(generator.sample(seeds[[7, 3]]), images[[7, 3]])  # a seed names an image
    assert generator.class_names is None
    assert len(np.unique(images.reshape(40, -1), axis=0)) == 40


def test_grey_is_luma_and_size_is_kept_where_it_fits() -> None:
    z = torch.randn(3, 8)
    plain = network()(z.view(3, 8, 1, 1))
    assert torch.equal(Fitted(network(), (8, 1, 1), 16, 3)(z), plain)
    grey = Fitted(network(), (8, 1, 1), 16, 1)(z)
    luma = 0.299 * plain[:, 0] + 0.587 * plain[:, 1] + 0.114 * plain[:, 2]
    assert torch.allclose(grey[:, 0], luma, atol=1e-6)


def test_it_can_be_steered_and_a_code_draws_its_face_again() -> None:
    generator = opened()
    space = latent_space(generator)
    codes = space.codes([3, 4]).requires_grad_(True)
    space.images(codes).sum().backward()
    assert codes.grad is not None
    assert codes.grad.abs().sum() > 0
    assert np.array_equal(space.final(codes.detach()).numpy(), generator.sample(np.array([3, 4])))


def test_weights_are_read_and_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    state = network().state_dict()
    torch.save({"netG_state_dict": state, "epoch": 3}, tmp_path / "good.tar")
    found = read_weights(tmp_path / "good.tar", "netG_state_dict")
    assert all(torch.equal(found[name], value) for name, value in state.items())
    with pytest.raises(GanferError, match="has no 'generator' \\(it has netG_state_dict, epoch\\)"):
        read_weights(tmp_path / "good.tar", "generator")
    with pytest.raises(GanferError, match="holds no state_dict there"):
        read_weights(tmp_path / "good.tar")
    with pytest.raises(GanferError, match="does not exist"):
        read_weights(tmp_path / "none.tar")

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    torch.save({"netG_state_dict": Trap()}, tmp_path / "trap.tar")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Trap()))
    (tmp_path / "damaged.tar").write_bytes((tmp_path / "good.tar").read_bytes()[:200])
    for name in ("trap.tar", "plain.pkl", "damaged.tar"):
        with pytest.raises(GanferError, match=r"holds more than weights|cannot be read"):
            read_weights(tmp_path / name, "netG_state_dict")
    assert not (tmp_path / "sprung").exists()


def test_what_makes_no_images_is_refused() -> None:
    class Loud(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z.view(-1, 1, 2, 4) + 255

    for wrong, shape, message in (
        (network(), (9, 1, 1), "does not take latents of"),
        (nn.Identity(), (8,), "which are no images"),
        (Loud(), (8,), "values outside -1..1"),
    ):
        with pytest.raises(GanferError, match=message):
            generator_of(wrong, name="n", digest="d", latent_shape=shape, size=16, channels=1, device="cpu")
