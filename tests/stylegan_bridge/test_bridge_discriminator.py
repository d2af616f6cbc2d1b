"""The discriminator: read from both trainers' files, and its halving filters as the papers' do."""

import pickle

import numpy as np
import pytest
import torch
from bridge_checkpoints import (
    rosinality_discriminator,
    tiny_config,
    tiny_discriminator,
    tiny_generator,
    write_nvidia_torch,
    write_rosinality,
)
from scipy.signal import convolve2d

from stylegan_bridge import BridgeError, read_discriminator
from stylegan_bridge.discriminator import Conv


@pytest.mark.parametrize("write", [write_nvidia_torch, write_rosinality])
def test_both_trainers_files_give_the_same_tensors(tmp_path, write):
    config = tiny_config(16)
    judge = tiny_discriminator(config)
    found = read_discriminator(write(tiny_generator(config), tmp_path / "faces.pkl", judge=judge))
    wanted = judge.state_dict()
    assert found.tensors is not None
    assert found.tensors.keys() == wanted.keys()
    assert all(np.array_equal(found.tensors[name], wanted[name].numpy()) for name in wanted)


def test_a_file_without_one_says_so(tmp_path):
    found = read_discriminator(write_rosinality(tiny_generator(), tmp_path / "faces.pt"))
    assert found.tensors is None
    assert found.note == "the file holds no discriminator"


@pytest.mark.parametrize("kernel", [1, 3])
def test_halving_filters_first_and_takes_every_second_pixel(kernel):
    torch.manual_seed(0)
    layer = Conv(1, 1, kernel, halve=True, active=False)
    image = torch.randn(8, 8)
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    pad = 1 + kernel // 2
    blurred = convolve2d(np.pad(image.numpy(), pad), taps, mode="valid")
    weight = layer.weight.detach().numpy()[0, 0] * layer.gain
    wanted = convolve2d(blurred, weight[::-1, ::-1], mode="valid")[::2, ::2]
    with torch.no_grad():
        assert np.allclose(layer(image[None, None])[0, 0].numpy(), wanted, atol=1e-5)


def test_a_damaged_one_is_refused(tmp_path):
    config = tiny_config(16)
    judge = tiny_discriminator(config)
    judge.b4.out.bias.data[:] = float("nan")
    file = write_rosinality(tiny_generator(config), tmp_path / "faces.pt", judge=judge)
    with pytest.raises(BridgeError, match=r"faces\.pt: the discriminator's b4\.out\.bias"):
        read_discriminator(file)
    state = rosinality_discriminator(tiny_discriminator(config))
    state["convs.99.conv1.0.weight"] = state["convs.1.conv1.0.weight"]
    torch.save({"g_ema": {}, "d": state}, file)
    with pytest.raises(BridgeError, match="99 blocks"):
        read_discriminator(file)
    (tmp_path / "other.pkl").write_bytes(pickle.dumps([1, 2]))
    assert read_discriminator(tmp_path / "other.pkl").tensors is None
