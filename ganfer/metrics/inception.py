"""Inception features through torch-fidelity, those of the published FID, where their weights are at hand.

Nothing is downloaded: the file is looked for where torch-fidelity keeps it, or named.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from classifiers.device_set import to_device
from classifiers.prediction import arriving
from ganfer.errors import GanferError

FILE = "weights-inception-2015-12-05-6726825d.pth"
SOURCE = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
NAME = "inception"
_LAYER = "2048"
_BATCH = 64


class InceptionFeatures:
    """The pool3 features of the 2015 Inception network: images uint8 to (N, 2048) float32."""

    name = NAME

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        require_known(path)
        self.device = torch.device(device)
        self.network = FeatureExtractorInceptionV3(
            "inception-v3-compat", [_LAYER], feature_extractor_weights_path=str(path)
        ).to(self.device)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(N, C, H, W) uint8, C = 1 or 3, to (N, 2048) float32."""
        batches = (self._batch(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH))
        return np.concatenate([np.empty((0, int(_LAYER)), np.float32), *(part.numpy() for part in arriving(batches))])

    def _batch(self, images: np.ndarray) -> Tensor:
        x = to_device(torch.from_numpy(np.ascontiguousarray(images)), self.device)
        features: Tensor = self.network(x.expand(-1, 3, -1, -1))[0]
        return features.float()


def find_inception(path: str = "") -> Path | None:
    """The weights' file: the named one (GanferError when it is missing), else torch's cache, else None."""
    if path:
        if not Path(path).is_file():
            raise GanferError(f"{path}: no such file.", f"Inception's weights are {SOURCE}{FILE}.")
        return Path(path)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    return cached if cached.is_file() else None


def missing_note() -> str:
    """What to say when the weights are not at hand."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return (
        f"Inception's weights are not in {folder}: there is no published FID, classifier features stand alone. "
        f"Put {SOURCE}{FILE} there, or name the file with --set quality.inception=FILE."
    )


def require_known(path: Path) -> None:
    """GanferError unless the file is the published one: torch-fidelity unpickles it, which could run code."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:  # the whole of it: the eight digits in the name are found by minutes of trying
        raise GanferError(
            f"{path} is damaged or another file: its SHA-256 is {digest}, not {SHA256}.",
            f"Fetch {SOURCE}{FILE} again.",
        )
