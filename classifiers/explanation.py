"""Why a classifier says what it says: Grad-CAM, and what its first layer sees."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers.calibration import softmax
from classifiers.errors import ClassifierError
from classifiers.prediction import Classifier
from classifiers.samples import check_images


@dataclass
class Explanation:
    """One image's explanation. `heat` (H, W) float32 in 0..1 is where evidence for `target` lies; all 0 where there is
    none. `feature_maps` (F, h, w) and `filters` (F, C, k, k) are the first convolution's, empty without one."""

    predicted: str
    target: str
    probabilities: dict[str, float]
    heat: np.ndarray
    feature_maps: np.ndarray
    filters: np.ndarray
    method: str
    notes: list[str] = field(default_factory=list)


def explain(classifier: Classifier, image: np.ndarray, target: str | None = None) -> Explanation:
    """Explain the prediction of one image, uint8 (C, H, W), or its evidence for the class `target`.

    Grad-CAM (Selvaraju et al. 2017) at the last convolutional planes; a network without convolutions gets the
    gradient's size per pixel instead, and the explanation says so.

    Example: `explain(classifier, image, target="sad")`.
    """
    images = np.asarray(image)[None]
    check_images(images, "the image", channels=classifier.channels, size=classifier.size)
    names, model = classifier.class_names, classifier.model
    if target is not None:
        require_class(classifier, target)

    planes: list[tuple[nn.Module, Tensor]] = []

    def keep(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        # In-place activations would overwrite what is kept; later ones are kept themselves.
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            planes.append((module, output))

    handles = [module.register_forward_hook(keep) for module in model.body.modules()]
    pixels = (torch.from_numpy(images).to(classifier.device).float() / 255).requires_grad_()
    try:
        logits = model(pixels)
    finally:
        for handle in handles:
            handle.remove()
    index = int(logits.argmax()) if target is None else names.index(target)
    convolutions = [(m, output) for m, output in planes if isinstance(m, nn.Conv2d)]
    notes = []
    if convolutions:
        heat, method = _grad_cam(logits[0, index], planes[-1][1]), "Grad-CAM"
    else:
        (gradient,) = torch.autograd.grad(logits[0, index], pixels)
        heat, method = gradient.abs().sum(1, keepdim=True), "gradient"
        notes.append("the network has no convolutional planes: the gradient's size per pixel is shown instead")
    heat = F.interpolate(heat, size=images.shape[2:], mode="bilinear", align_corners=False)[0, 0]
    heat = heat / heat.max().clamp_min(1e-12)
    first = convolutions[0] if convolutions else None
    probabilities = softmax(logits.detach().float().cpu().numpy(), classifier.temperature)[0]
    return Explanation(
        predicted=names[int(logits.argmax())],
        target=names[index],
        probabilities={name: float(p) for name, p in zip(names, probabilities, strict=True)},
        heat=heat.detach().float().cpu().numpy(),
        feature_maps=np.empty((0, 0, 0), np.float32) if first is None else _array(first[1][0]),
        filters=np.empty((0, 0, 0, 0), np.float32) if first is None else _array(first[0].weight),
        method=method,
        notes=notes,
    )


def require_class(classifier: Classifier, name: str) -> None:
    """ClassifierError unless the classifier knows the class."""
    if name not in classifier.class_names:
        raise ClassifierError(f"class '{name}': the classifier knows {', '.join(classifier.class_names)}")


def _grad_cam(score: Tensor, planes: Tensor) -> Tensor:
    """(1, 1, h, w): the planes weighted by their mean gradient, where they speak for the class."""
    (gradient,) = torch.autograd.grad(score, planes)
    return (gradient.mean((2, 3), keepdim=True) * planes).sum(1, keepdim=True).clamp_min(0)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy().copy()
