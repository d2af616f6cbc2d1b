"""From a parent's weights to a child's: classes, colours and size made to fit, so that the child first draws the same.

New classes start from the mean of the parent's; a class that the parent knows by name keeps its embedding. FreezeD
(Mo, Cho & Shin 2020): the discriminator's lowest stages, which look at the image, stay as the parent's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ganfer.config import GanConfig
from ganfer.data.imageset import ImageSet
from ganfer.errors import GanferError
from ganfer.gan.convert import cut_blocks, discriminator_tensors, generator_tensors
from ganfer.gan.parent import Parent
from ganfer.gan.spec import NetworkSpec

_SIDES = tuple(2**k for k in range(3, 11))  # that a StyleGAN2 can be cut to


@dataclass(frozen=True)
class Start:
    """What a training begins with. new: parts of either network that start anew. frozen: discriminator parameters."""

    parent: Parent
    generator: Mapping[str, Tensor]
    discriminator: Mapping[str, Tensor]
    stages: int
    lines: tuple[str, ...]
    frozen: frozenset[str]

    def fill(self, generator: nn.Module, discriminator: nn.Module) -> None:
        """Put the weights into fresh networks of the child's spec."""
        for network, weights in ((generator, self.generator), (discriminator, self.discriminator)):
            network.load_state_dict({**network.state_dict(), **weights})
        release(discriminator, self.frozen)


def release(discriminator: nn.Module, frozen: frozenset[str]) -> None:
    """Let all parameters learn but the frozen ones."""
    for name, parameter in discriminator.named_parameters():
        parameter.requires_grad_(name not in frozen)


def child_spec(parent: Parent, images: ImageSet, num_classes: int, config: GanConfig) -> NetworkSpec:
    """The networks' shape of a child for these images. GanferError where the parent cannot be made to fit them."""
    spec, size = parent.spec, images.size
    if spec.num_classes and not num_classes:
        raise GanferError(
            f"{parent.name} draws by class, and gan.conditional=false asks for a GAN without classes.",
            "Leave that setting out, or take a parent without classes.",
        )
    if spec.network != "stylegan2":
        if config.resolution not in (0, spec.size):
            raise GanferError(
                f"gan.resolution = {config.resolution}: {parent.name} is a {spec.network} of {spec.size} pixels, and "
                "only a StyleGAN2 can be cut to another size.",
                "Leave --resolution out.",
            )
        if spec.size != size:
            raise GanferError(
                f"{parent.name} draws {spec.size}×{spec.size} pixels; the data is {size}×{size}.",
                f"Add the data again with --size {spec.size}; only a StyleGAN2 can be cut to another size.",
            )
        return replace(spec, channels=images.channels, num_classes=num_classes)
    fitting = next((side for side in _SIDES if side >= size), _SIDES[-1])
    side = config.resolution or min(fitting, spec.size)
    if side not in _SIDES or side > min(fitting, spec.size):
        raise GanferError(
            f"gan.resolution = {side}: {parent.name} draws {spec.size} pixels and the data is {size} pixels.",
            f"Give a power of two from {_SIDES[0]} to {min(fitting, spec.size)}, or leave it out.",
        )
    if side < size and not config.resolution:
        raise GanferError(
            f"{parent.name} draws {spec.size}×{spec.size} pixels, which is less than the data's {size}×{size}.",
            f"Add the data again with --size {spec.size}, or take it as it is: --set gan.resolution={spec.size}.",
        )
    from ganfer.gan.stylegan2 import bridge_config

    layout = bridge_config(spec)
    if side < spec.size:
        layout = cut_blocks(layout, side, parent.name)
    changed = replace(
        layout,
        img_channels=images.channels,
        c_dim=num_classes,
        embed_features=(layout.embed_features or layout.w_dim) if num_classes else 0,
    )
    own = replace(spec, size=side, channels=images.channels, num_classes=num_classes, draws=size if size != side else 0)
    if not spec.layout and side == spec.size:
        return own  # as any StyleGAN2 of ganfer's
    return replace(own, layout=changed.to_dict(), base_channels=changed.channels[-1])


def prepare(
    parent: Parent, spec: NetworkSpec, class_names: Sequence[str] | None, generator: nn.Module,
    discriminator: nn.Module, config: GanConfig,
) -> Start:  # fmt: skip
    """The weights for networks of the child's spec, which `generator` and `discriminator` are, fresh ones."""
    names = tuple(class_names or ())
    made = generator_tensors(parent, spec, names)
    weights = _fitting(made, generator, parent)
    judging: dict[str, Tensor] = {}
    note = parent.note
    if parent.discriminator is not None:
        offered = discriminator_tensors(parent, spec, names)
        own = discriminator.state_dict()
        judging = {name: t for name, t in offered.items() if name in own and own[name].shape == t.shape}
        note = note or ("" if judging else "its weights do not fit: another gan.regulariser made them")
    frozen, stages = _lowest(discriminator, judging, config.freeze_d)
    lines = [
        f"From {parent.name} ({parent.path}, {parent.digest[:12]}): {_words(parent.spec)} to {_words(spec)}.",
        f"  generator: {_count(weights):,} of {_count(generator.state_dict()):,} numbers taken over; "
        f"new: {_new(generator, weights)}.",
        *_class_lines(parent, names),
        f"  discriminator: {_count(judging):,} of {_count(discriminator.state_dict()):,} numbers taken over; "
        f"new: {_new(discriminator, judging)}." if judging else f"  discriminator: starts anew ({note}).",
        f"  frozen: {', '.join(stages)}." if stages else "  frozen: nothing.",
    ]  # fmt: skip
    if spec.draws:
        lines.append(f"  images are brought to {spec.size} pixels for the training, and drawn at {spec.draws}.")
    return Start(parent, weights, judging, len(stages), tuple(lines), frozen)


def _fitting(made: Mapping[str, Tensor], network: nn.Module, parent: Parent) -> dict[str, Tensor]:
    """The converted weights, all of the network's shapes; a wrong one is damage that nobody noticed before."""
    own = network.state_dict()
    wrong = [name for name, value in made.items() if name not in own or own[name].shape != value.shape]
    if wrong:
        raise GanferError(f"{parent.path}: {wrong[0]} does not fit the network.", "Take another file.")
    return dict(made)


def stages_of(discriminator: nn.Module) -> list[str]:
    """Prefixes of the discriminator's stages, from the image upwards."""
    found: list[str] = []
    for name, _ in discriminator.named_parameters():
        parts = name.split(".")
        depth = 1 if parts[0] == "stem" else 2
        prefix = ".".join(parts[:depth]) + "."
        if parts[0] in ("stem", "halvings", "blocks", "downs", "trunk") and prefix not in found:
            found.append(prefix)
    return [prefix for prefix in found if prefix != "trunk.b4."]


def _lowest(discriminator: nn.Module, taken: Mapping[str, Tensor], count: int) -> tuple[frozenset[str], list[str]]:
    """Parameters of the lowest `count` stages that were taken over, and those stages in words."""
    frozen, stages = set[str](), []
    for prefix in stages_of(discriminator)[:count]:
        mine = {name for name, _ in discriminator.named_parameters() if name.startswith(prefix)}
        old = {name for name in mine if name in taken}
        frozen |= old
        if old:
            stages.append(prefix.rstrip(".") + (" (but for what is new in it)" if old < mine else ""))
    return frozenset(frozen), stages


def _class_lines(parent: Parent, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    known = [name for name in names if name in (parent.class_names or ())]
    new = [name for name in names if name not in known]
    lines = []
    if known:
        lines.append(f"  classes that keep what the parent knows of them: {', '.join(known)}")
    if new:
        start = "the mean of the parent's classes" if parent.class_names else "what the parent draws"
        lines.append(f"  new classes, which start from {start}: {', '.join(new)}")
    gone = [name for name in parent.class_names or () if name and name not in names]
    if gone:
        lines.append(f"  classes of the parent that the data has not: {', '.join(gone)}")
    return lines


def _words(spec: NetworkSpec) -> str:
    classes = f"{spec.num_classes} classes" if spec.num_classes else "no classes"
    return f"{spec.network}, {spec.channels} × {spec.size} × {spec.size}, {classes}"


def _count(weights: Mapping[str, Tensor]) -> int:
    return sum(value.numel() for value in weights.values())


def _new(network: nn.Module, taken: Mapping[str, Tensor]) -> str:
    """The parts without a taken weight, in short."""
    parts = dict.fromkeys(name.rpartition(".")[0] or name for name in network.state_dict() if name not in taken)
    return ", ".join(parts) or "nothing"
