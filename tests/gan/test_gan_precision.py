"""Mixed precision: every network trains with every regulariser in bfloat16 and in float16, as a GPU would run it."""

import numpy as np
import pytest
import torch
from gan_tiny import NAMES
from lightning_fabric import Fabric

from ganfer.gan.networks import NetworkSpec, build_generator
from ganfer.gan.sampling import open_gan
from ganfer.gan.train import train_gan

NETWORKS = ["resgan", "dcgan", "stylegan2"]
REGULARISERS = ["spectral", "r1", "r1r2", "none"]


@pytest.mark.parametrize("regulariser", REGULARISERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_trains_with_every_regulariser_in_bfloat16(workspace, data, make_config, network, regulariser):
    config = make_config(
        gan__network=network, gan__regulariser=regulariser, gan__precision="bf16", gan__augment="color,translation",
        gan__r1_interval=1, gan__steps=2, gan__snapshot_every=2, gan__ada_target=0.6, gan__guidance=0.0,
    )  # fmt: skip
    result = train_gan(workspace, config, data)
    assert result.figures["steps"] == 2
    state = open_gan(result.path, "cpu")._network.state_dict()
    assert all(value.dtype != torch.bfloat16 for value in state.values())


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_trains_in_float16(workspace, data, make_config, network, monkeypatch):
    # Fabric keeps float16 for GPUs; a processor's autocast runs the same casts
    monkeypatch.setattr(Fabric, "autocast", lambda self: torch.autocast("cpu", torch.float16))
    config = make_config(
        gan__network=network, gan__regulariser="r1r2", gan__precision="bf16", gan__r1_interval=1, gan__steps=2,
        gan__snapshot_every=2,
    )  # fmt: skip
    assert train_gan(workspace, config, data).figures["steps"] == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_stylegan2_is_modulated_and_normalised_in_float32(dtype):
    torch.manual_seed(0)
    network = build_generator(NetworkSpec("stylegan2", 16, 1, len(NAMES), 8, 8)).train()
    seen = []
    for name, module in network.named_modules():
        if name.endswith("affine"):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    z, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    with torch.autocast("cpu", dtype):
        network(z, labels)
        w = network._w(z, labels, 1.0)
    assert seen
    assert {styles.dtype for styles in seen} == {torch.float32}
    assert torch.allclose(w, network._w(z, labels, 1.0), rtol=1e-6, atol=1e-6), "the mapping itself stays in float32"
    assert np.isfinite(network.mapping.w_avg.numpy()).all()
