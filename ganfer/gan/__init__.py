"""GANs: networks, training, sampling. Importing this loads no torch.

Read `train` (the command) and `loop` (forward, loss, backward, step) first. `plan` says what is trained on, `batches`
draws from it, `spec` and `networks` fix the networks (`resgan`, `dcgan`, `stylegan2`), `settle` what depends on the
device. `losses`, `diffaugment`, `ada`, `ema` and `guide` are what a step uses, `snapshots` and `overfitting` measure,
`alarms` warn, `history`, `checkpoint` and `model_card` write. `many` trains several GANs. `generator` is what any
generator offers, `latents` turns seeds into z, `sampling` opens a trained GAN, `foreign` a network from elsewhere.

To go on from another GAN, `parent` reads it, `convert` and `transfer` make its weights fit. For faces that are changed,
`encoder` finds latents and `identity` tells people apart; both train by `steps`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganfer.gan.generator import Generator, open_generator
    from ganfer.gan.sampling import open_gan
    from ganfer.gan.train import train_gan

__all__ = ["Generator", "open_gan", "open_generator", "train_gan"]

_HOME = {
    "Generator": "ganfer.gan.generator",
    "open_gan": "ganfer.gan.sampling",
    "open_generator": "ganfer.gan.generator",
    "train_gan": "ganfer.gan.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ganfer.gan' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
