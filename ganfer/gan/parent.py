"""The GAN that a training goes on from: read from a run, a workspace or a StyleGAN2 file, weights by name."""

import hashlib
import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from classifiers.files import unseal
from ganfer.config import GanConfig
from ganfer.errors import GanferError
from ganfer.gan.sampling import FILE, open_gan
from ganfer.gan.spec import NetworkSpec
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_of
from ganfer.workspace import Workspace
from stylegan_bridge import KNOWN_NETWORKS, BridgeError, fetch, inspect, read_discriminator
from stylegan_bridge.loading import check_memory, read_checkpoint

PARENT = "parent.json"  # what a GAN goes on from, in its folder
_CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Parent:
    """Weights to start from. discriminator: None where there is none to take over, and `note` says why.

    digest: of all that is taken over. class_names: None for a generator that knows no classes, "" each where it does
    not name them. regulariser: what its discriminator was kept smooth by; that decides the names of its weights.
    """

    name: str
    path: Path
    spec: NetworkSpec
    class_names: tuple[str, ...] | None
    generator: dict[str, Tensor]
    discriminator: dict[str, Tensor] | None
    digest: str
    regulariser: str
    note: str = ""


def open_parent(workspace: Workspace, config: GanConfig) -> Parent:
    """The GAN that `gan.parent` names. GanferError when it is missing, damaged, or another network than `gan.network`.

    A name that is no path is a run of this workspace; a workspace's folder stands for its newest GAN.
    """
    path = Path(config.parent)
    if is_distant(config.parent):
        try:
            path = fetch(config.parent, announce=say)
        except BridgeError as error:
            raise GanferError(f"--from {config.parent}: {error}.", "Give a file that is here.") from error
    elif not path.exists():
        path = _named(workspace, config.parent)
    elif path.is_dir() and not (path / FILE).is_file():
        newest = Workspace(path).latest("gans") if (path / "gans").is_dir() else None
        if newest is None:
            raise GanferError(f"--from {path}: the folder holds no trained GAN.", "Give a run's folder or a file.")
        path = newest.path
    own = path / FILE if path.is_dir() else path
    found = _own(own, config) if own.name == FILE or _is_own(own) else _foreign(own, config)
    if found.spec.network != config.network:
        raise GanferError(
            f"gan.network = {config.network!r}, but {config.parent} is a {found.spec.network}.",
            f"Leave --network out, or give --network {found.spec.network}.",
        )
    return found


def is_distant(parent: str) -> bool:
    """Whether it is a URL or the name of a published network, which is downloaded (once)."""
    return not Path(parent).exists() and ("://" in parent or parent in KNOWN_NETWORKS)


def _named(workspace: Workspace, name: str) -> Path:
    runs = [run for run in workspace.runs("gans") if run.complete]
    if any(run.name.startswith(name) for run in runs) and not Path(name).is_absolute():
        return workspace.find("gans", name).path
    raise GanferError(
        f"--from {name}: no such file or folder, and no finished GAN of {workspace.root} is called so.",
        f"Give a StyleGAN2 file, a run of this workspace, the folder of another one, or {', '.join(KNOWN_NETWORKS)}.",
    )


def _is_own(file: Path) -> bool:
    """Whether a file is one of ganfer's own generators, under whatever name."""
    try:
        with file.open("rb") as stream:
            return b'"ganfer-generator-' in stream.read(65_536)
    except OSError:
        return False


def _own(file: Path, config: GanConfig) -> Parent:
    """A GAN that ganfer trained; its discriminator is in the resume point beside it."""
    if config.parent_classes:
        raise GanferError("gan.parent_classes: ganfer's own GANs name their classes.", "Leave it out.")
    gan = open_gan(file, "cpu")
    weights = {name: value.detach().clone() for name, value in gan.network.state_dict().items()}
    discriminator, note = _resume_point(file.parent / _CHECKPOINT)
    digest = hashlib.sha256(gan.digest.encode())
    for name in sorted(discriminator or {}):
        assert discriminator is not None
        digest.update(name.encode())
        digest.update(discriminator[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    settings = gan.card.get("config")
    regulariser = settings.get("regulariser") if isinstance(settings, dict) else ""
    return Parent(
        file.parent.name if file.name == FILE else file.stem, file, gan.spec, gan.class_names, weights, discriminator,
        digest.hexdigest(), str(regulariser), note,
    )  # fmt: skip


def _resume_point(file: Path) -> tuple[dict[str, Tensor] | None, str]:
    """The discriminator's weights of a training, and where there are none, why."""
    try:
        content = torch.load(io.BytesIO(unseal(file.read_bytes())), map_location="cpu", weights_only=True)
        return dict(content["discriminator"]), ""
    except FileNotFoundError:
        return None, f"there is no {file.name} beside the generator, which would hold its discriminator"
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise GanferError(
            f"{file} is damaged ({(str(error) or type(error).__name__).splitlines()[0][:120]}).",
            "Copy it again, or remove it: the discriminator then starts anew.",
        ) from error


def _foreign(file: Path, config: GanConfig) -> Parent:
    """A StyleGAN2 file of any format that the bridge reads."""
    try:
        found = read_checkpoint(file)
        check_memory(found.config, file)
        judged = read_discriminator(file)
        digest = inspect(file).sha256 if not file.is_dir() else digest_of(file)
    except BridgeError as error:
        raise GanferError(str(error) + ".", "Give another file with --from.") from error
    layout = found.config
    if layout.mapping_activation != "lrelu":
        raise GanferError(
            f"{file}: its mapping network uses {layout.mapping_activation}, which is not trained here.",
            "Take a StyleGAN2 with leaky ReLUs, as all releases have.",
        )
    generator = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in found.tensors.items()}
    generator.setdefault("mapping.w_avg", torch.zeros(layout.w_dim))
    if found.format == "rosinality":  # its weights come scaled by 1 / sqrt(fan-in); demodulation takes any scale
        for name, value in generator.items():
            if value.ndim == 4 and "torgb" not in name and "skip" not in name:
                generator[name] = value * value[0].numel() ** 0.5
    discriminator = None
    if judged.tensors is not None:
        discriminator = {
            f"trunk.{name}": torch.from_numpy(np.array(t, np.float32)) for name, t in judged.tensors.items()
        }
        if discriminator.get("trunk.b4.out.weight", torch.zeros(1)).shape[0] != 1:  # of a conditional network
            discriminator = {n: t for n, t in discriminator.items() if not n.startswith("trunk.b4.out")}
    spec = NetworkSpec(
        "stylegan2", layout.resolution, layout.img_channels, layout.c_dim, layout.z_dim, layout.channels[-1],
        layout=layout.to_dict(), filtered=True,
    )  # fmt: skip
    names = _names(file, layout.c_dim, config)
    return Parent(file.stem, file, spec, names, generator, discriminator, digest, "", judged.note)


def _names(file: Path, count: int, config: GanConfig) -> tuple[str, ...] | None:
    """The classes of a conditional network, as `gan.parent_classes` names them; "" each where it does not."""
    given = tuple(name.strip().lower() for name in config.parent_classes.split(",") if name.strip())
    if not count:
        if given:
            raise GanferError(f"gan.parent_classes: {file} knows no classes.", "Leave it out.")
        return None
    if given and (len(given) != count or len(set(given)) < count):
        raise GanferError(
            f"gan.parent_classes names {len(set(given))} classes, {file} has {count}.",
            "Name each once, in the network's own order.",
        )
    return given or ("",) * count
