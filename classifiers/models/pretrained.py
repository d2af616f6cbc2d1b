"""torchvision's and timm's networks, adapted to small grey faces, from scratch or with pretrained weights."""

from __future__ import annotations

import difflib
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from classifiers.errors import ClassifierError
from classifiers.files import read_foreign
from classifiers.models.base import ImageClassifier

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The last planes should keep about this many pixels a side, or nothing is left to tell mouths from eyes.
MIN_MAP = 5


class Adapted(ImageClassifier):
    """A network made for 224-pixel colour photographs, its stem, strides and head changed for small faces.

    `pretrained` is None, "imagenet" or a file of weights (.pth, .safetensors) in the library's own naming.
    """

    def __init__(
        self,
        name: str,
        num_classes: int,
        in_channels: int,
        size: int,
        dropout: float | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        make = _from_timm if name.startswith("timm:") else _from_torchvision
        body, width = make(name, in_channels, size, pretrained)
        self.body = body
        linear = nn.Linear(width, num_classes)
        nn.init.normal_(linear.weight, std=0.01)
        nn.init.zeros_(linear.bias)
        self.head = nn.Sequential(nn.Dropout(dropout), linear) if dropout else linear
        if pretrained:
            self.own_normalisation = True
            mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
            self.mean.copy_(mean if in_channels == 3 else mean.mean())
            self.std.copy_(std if in_channels == 3 else std.mean())


def _from_torchvision(name: str, in_channels: int, size: int, pretrained: str | None) -> tuple[nn.Module, int]:
    """The network without its head, and the width of its features."""
    from torchvision import models

    if name.startswith("vgg") and size < 160:
        return _small_vgg(name, in_channels, pretrained), 512
    options: dict[str, Any] = {}
    if name.startswith("vit_"):
        options = {"image_size": size}
    elif name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": pretrained is None}
    try:
        net = models.get_model(name, weights=None, **options)
    except (ValueError, AssertionError, RuntimeError) as error:
        raise ClassifierError(f"torchvision's {name} can't be made for {size}-pixel images ({error})") from None
    if pretrained:
        _load(net, _state_dict(name, pretrained), name)
    for attribute in ("transform_input",):  # inception's and googlenet's own normalisation; ours replaces it
        if hasattr(net, attribute):
            setattr(net, attribute, False)
    _set_channels(net, in_channels)
    _soften_strides(net, in_channels, size)
    width = _cut_head(net, name)
    return net, _checked(net, name, in_channels, size, width)


def _small_vgg(name: str, in_channels: int, pretrained: str | None) -> nn.Module:
    """VGG's convolutions, then the mean over the plane. Its five poolings would leave one pixel of 48, and 120
    million weights in its dense layers for it: the last pooling and those layers go."""
    from torchvision.models import vgg

    letter = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}[name.removesuffix("_bn")]
    features = vgg.make_layers(vgg.cfgs[letter], batch_norm=name.endswith("_bn"))
    net = nn.Sequential(OrderedDict(features=features))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):  # torchvision's own initialisation
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.constant_(module.bias, 0.0)  # type: ignore[arg-type]
    if pretrained:
        _load(net, _state_dict(name, pretrained), name)
    _set_channels(net, in_channels)
    features[-1] = nn.Identity()
    net.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
    return net


def _from_timm(name: str, in_channels: int, size: int, pretrained: str | None) -> tuple[nn.Module, int]:
    try:
        import timm
    except ImportError:
        raise ClassifierError(f"model '{name}' needs timm: pip install timm") from None
    plain = name.removeprefix("timm:")
    if not timm.is_model(plain):
        near = difflib.get_close_matches(plain, timm.list_models(), n=1)
        raise ClassifierError(f"no model '{plain}' in timm{f'; did you mean {near[0]!r}?' if near else ''}")
    options: dict[str, Any] = {"in_chans": in_channels, "num_classes": 0, "pretrained": pretrained == "imagenet"}
    try:
        with tempfile.TemporaryDirectory(prefix="ganfer-") as folder:
            if pretrained and pretrained != "imagenet":
                options |= {"pretrained": True, "pretrained_cfg_overlay": {"file": _tensors_alone(pretrained, folder)}}
            try:
                net = timm.create_model(plain, img_size=size, **options)
            except TypeError:  # convolutional networks take any size and don't know the argument
                net = timm.create_model(plain, **options)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ClassifierError(f"timm's {plain} can't be had for {size}-pixel images ({reason})") from None
    _soften_strides(net, in_channels, size)  # with pretrained weights, too: the card's network has no other strides
    return net, _checked(net, name, in_channels, size, net.num_features)


def _tensors_alone(source: str, folder: str) -> str:
    """The weights as safetensors in `folder`: timm opens files by their ending, and would unpickle another one."""
    if not Path(source).is_file():
        raise ClassifierError(f"pretrained = '{source}': must be 'none', 'imagenet' or an existing file of weights")
    file = Path(folder, "weights.safetensors")
    save_file({name: t.contiguous().clone() for name, t in read_foreign(Path(source)).items()}, file)
    return str(file)


def _checked(net: nn.Module, name: str, in_channels: int, size: int, width: int) -> int:
    """The true width of the features, from one image; ClassifierError when the network can't take that size."""
    try:
        shape = _shape(net, in_channels, size)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ClassifierError(f"{name} can't take {size}-pixel images ({reason}); use a larger size") from None
    return shape[1] if len(shape) == 2 else width


def _shape(net: nn.Module, in_channels: int, size: int) -> torch.Size:
    """The shape of what comes out for one image."""
    with torch.no_grad():
        shape = net.eval()(torch.zeros(1, in_channels, size, size)).shape
    net.train()
    return shape


def _set_channels(net: nn.Module, in_channels: int) -> None:
    """Give the first convolution `in_channels` inputs; grey weights are the colours' sum, so a grey image gives
    the same answer as the three equal channels it stands for."""
    first = next(m for m in net.modules() if isinstance(m, nn.Conv2d))
    if first.in_channels != in_channels:
        first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))
        first.in_channels = in_channels


def _soften_strides(net: nn.Module, in_channels: int, size: int) -> None:
    """Take the first halvings away (two at most), until the last planes keep MIN_MAP pixels."""
    halvings = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d) and _stride(m) == 2]
    shrink = 32  # what these families shrink an image by
    for module in halvings[:2]:
        if size / shrink >= MIN_MAP:
            return
        before = (module.stride, module.kernel_size, module.padding)
        module.stride = (1, 1)
        if isinstance(module, nn.MaxPool2d):
            module.kernel_size, module.padding = 1, 0
        try:
            _shape(net, in_channels, size)
        except RuntimeError:  # one of two parallel branches: they no longer meet
            module.stride, module.kernel_size, module.padding = before
            return
        shrink //= 2


def _stride(module: nn.Conv2d | nn.MaxPool2d) -> int:
    return module.stride if isinstance(module.stride, int) else module.stride[0]


def _cut_head(net: nn.Module, name: str) -> int:
    """Replace the last linear layer by the identity; returns its number of inputs."""
    linears = [(n, m) for n, m in net.named_modules() if isinstance(m, nn.Linear)]
    if not linears:
        raise ClassifierError(f"torchvision's {name} has no linear head to replace; choose another model")
    where, last = linears[-1]
    _replace(net, where, nn.Identity())
    return last.in_features


def _replace(net: nn.Module, where: str, module: nn.Module) -> None:
    parent, _, child = where.rpartition(".")
    setattr(net.get_submodule(parent), child, module)


def _state_dict(name: str, source: str) -> Mapping[str, Tensor]:
    """The pretrained weights, from torchvision's cache or site ("imagenet") or from a file."""
    if source == "imagenet":
        from torchvision import models

        weights = models.get_model_weights(name).DEFAULT
        try:
            return weights.get_state_dict(progress=False, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:
            cache = Path(torch.hub.get_dir()) / "checkpoints"
            raise ClassifierError(
                f"the ImageNet weights of {name} can't be fetched ({error}): put {weights.url} into {cache}, or give "
                "pretrained the path of the file"
            ) from None
    path = Path(source)
    if not path.is_file():
        raise ClassifierError(f"pretrained = '{source}': must be 'none', 'imagenet' or an existing file of weights")
    return read_foreign(path)


def _load(net: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load what fits. The head may differ; anything else that is missing is an error."""
    own = net.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    head = next(reversed([n for n, m in net.named_modules() if isinstance(m, nn.Linear)]), "no head")
    missing = [k for k in own if k not in fitting and not k.startswith(head) and "num_batches_tracked" not in k]
    if missing:
        raise ClassifierError(
            f"the weights aren't {name}'s: {len(missing)} tensors don't fit, the first is {missing[0]}"
        )
    net.load_state_dict(fitting, strict=False)
