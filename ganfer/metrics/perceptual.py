"""Perceptual distance of image pairs: LPIPS (Zhang et al. 2018), or a stand-in without a backbone's weights.

Nothing is downloaded. The backbone is looked for where torchvision keeps its weights (or in a given file); LPIPS's own
small weights come with the `lpips` package. The stand-in, distances of fixed random convolutions, says what it is.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers.device_set import to_device
from ganfer.errors import GanferError
from ganfer.metrics.features import RandomConvFeatures
from stylegan_bridge import BridgeError, read_tensors

# the file of torchvision's download by LPIPS's name of the network; the first one that is there is used
BACKBONES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
    "vgg": "vgg16-397923af.pth",
}
SOURCE = "https://download.pytorch.org/models/"
_SMALLEST_SIDE = 64  # of the pairs that LPIPS was fitted on; smaller images are enlarged
_BATCH = 128


@dataclass(frozen=True)
class Perceptual:
    """A distance of image pairs. name: what figures made with it are called. note: why it is not LPIPS, or empty.

    between: the same distance (N,) of tensors (N, C, H, W) float32 0..255, differentiable.
    """

    name: str
    note: str
    compare: Callable[[np.ndarray, np.ndarray], np.ndarray]
    between: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Distances (N,) float64 of (N, C, H, W) uint8 images, C = 1 or 3, pair by pair."""
        assert first.shape == second.shape
        parts = [self.compare(first[i : i + _BATCH], second[i : i + _BATCH]) for i in range(0, len(first), _BATCH)]
        return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)


def open_perceptual(weights: str = "", *, channels: int = 1, device: torch.device | str = "cpu") -> Perceptual:
    """LPIPS with the backbone in the file `weights`, else with one in torchvision's cache, else the stand-in.

    GanferError when a file was named and is missing, damaged or holds none of the backbones.
    """
    if weights:
        state = _state_dict(Path(weights))
        return _lpips(kind_of(state, Path(weights)), state, device)
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for kind, name in BACKBONES.items():
        if (folder / name).is_file():
            return _lpips(kind, _state_dict(folder / name), device)
    note = (
        f"LPIPS needs a backbone's weights, and {folder} holds none: distances are of random convolutions instead. "
        f"Put {SOURCE}{BACKBONES['alex']} there, or name a file with --set quality.lpips=FILE."
    )
    features = RandomConvFeatures(channels, device)

    def compare(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        difference = features(first).astype(np.float64) - features(second)
        distances: np.ndarray = np.sqrt(np.square(difference).mean(axis=1))
        return distances

    def between(first: Tensor, second: Tensor) -> Tensor:
        difference = features.pooled(first / 127.5 - 1) - features.pooled(second / 127.5 - 1)
        return (difference.square().mean(dim=1) + 1e-12).sqrt()

    return Perceptual("random-conv distance", note, compare, between)


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    """The file's tensors, by the reader that runs nothing and unpacks nothing beyond its size."""
    try:
        arrays = read_tensors(path)
    except BridgeError as error:
        raise GanferError(f"{error}; it cannot be read as weights.", f"Fetch one of {SOURCE} again.") from error
    return {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in arrays.items()}


def kind_of(state: Mapping[str, Tensor], path: Path) -> str:
    """Which backbone the weights are of, by their first layer."""
    shapes = {"alex": (64, 3, 11, 11), "squeeze": (64, 3, 3, 3), "vgg": (64, 3, 3, 3)}
    first = tuple(state["features.0.weight"].shape) if "features.0.weight" in state else ()
    is_fire = any(".squeeze." in name for name in state)
    for kind, shape in shapes.items():
        if first == shape and is_fire == (kind == "squeeze"):
            return kind
    raise GanferError(f"{path} is none of LPIPS's backbones.", f"Known: {', '.join(BACKBONES.values())}.")


def _lpips(kind: str, state: Mapping[str, Tensor], device: torch.device | str) -> Perceptual:
    import lpips

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it asks torchvision in an outdated way
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net=kind, pnet_rand=True, verbose=False)
    _fill(network.net, state, kind)
    network = network.to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    def compare(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        distances: np.ndarray = network(_prepared(first, device), _prepared(second, device)).flatten().cpu().numpy()
        return distances

    def between(first: Tensor, second: Tensor) -> Tensor:
        distances: Tensor = network(_enlarged(first / 127.5 - 1), _enlarged(second / 127.5 - 1)).flatten()
        return distances

    return Perceptual(f"LPIPS ({kind})", "", compare, between)


def _fill(backbone: nn.Module, state: Mapping[str, Tensor], kind: str) -> None:
    """Put torchvision's weights into LPIPS's copy of the network, whose slices keep the layers' numbers."""
    own = backbone.state_dict()
    wanted = {name: f"features.{name.partition('.')[2]}" for name in own}
    missing = [theirs for theirs in wanted.values() if theirs not in state]
    wrong = [t for name, t in wanted.items() if t in state and own[name].shape != state[t].shape]
    if missing or wrong:
        raise GanferError(
            f"The {kind} weights lack or differ in {(missing + wrong)[0]}.", f"Fetch {SOURCE}{BACKBONES[kind]} again."
        )
    backbone.load_state_dict({name: state[theirs] for name, theirs in wanted.items()})


def _prepared(images: np.ndarray, device: torch.device | str) -> Tensor:
    """(N, C, H, W) uint8 to (N, 3, S, S) float32 in -1..1, S >= 64."""
    pixels = to_device(torch.from_numpy(np.ascontiguousarray(images)), torch.device(device))
    return _enlarged(pixels.float().div_(127.5).sub_(1.0))


def _enlarged(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, 3, S, S), S >= 64."""
    if min(x.shape[-2:]) < _SMALLEST_SIDE:
        x = F.interpolate(x, size=(_SMALLEST_SIDE, _SMALLEST_SIDE), mode="bilinear", align_corners=False)
    return x.expand(-1, 3, -1, -1)
