"""Export to ONNX: uint8 images in, calibrated probabilities out, checked against torch before the file appears."""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from classifiers.errors import ClassifierError
from classifiers.files import write_atomic
from classifiers.prediction import Classifier
from classifiers.samples import check_images

TOLERANCE = 1e-4


@dataclass(frozen=True)
class ExportResult:
    """`largest_difference` of any probability between ONNX Runtime and torch, over `num_images` images."""

    path: Path
    num_bytes: int
    num_images: int
    largest_difference: float


class _Calibrated(nn.Module):
    """The network with its calibration, as one graph."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.model = copy.deepcopy(classifier.model).to("cpu", memory_format=torch.contiguous_format)
        self.temperature = classifier.temperature

    def forward(self, images: Tensor) -> Tensor:
        return (self.model(images) / self.temperature).softmax(1)


def export_onnx(classifier: Classifier, path: str | Path, images: np.ndarray | None = None) -> ExportResult:
    """Write `path`: input "images" uint8 (N, C, H, W) with any N, output "probabilities" float32 (N, K).

    Checked on noise and on `images` uint8 (N, C, H, W), real ones if at hand. Class names, size and digest are in the
    model's metadata. Raises ClassifierError without the onnx packages, and when ONNX Runtime's answers differ from
    torch's by more than TOLERANCE; no file is left then.

    Example: `export_onnx(classifier, "faces.onnx", val_images)`.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError as error:
        raise ClassifierError(f"export needs {error.name}: pip install onnx onnxruntime onnxscript") from None
    path = Path(path)
    network = _Calibrated(classifier).eval()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (5, classifier.channels, classifier.size, classifier.size), np.uint8)
    if images is not None:
        check_images(images, "the images to check with", channels=classifier.channels, size=classifier.size)
    checked = [noise, noise[:1], *([] if images is None or not len(images) else [np.ascontiguousarray(images)])]
    with tempfile.TemporaryDirectory(prefix="classifiers-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about its internals
        file = Path(scratch) / "model.onnx"
        torch.onnx.export(
            network, (torch.from_numpy(noise),), str(file), dynamo=True, external_data=False, verbose=False,
            input_names=["images"], output_names=["probabilities"],
            dynamic_shapes={"images": {0: torch.export.Dim("N", min=1)}},
        )  # fmt: skip
        model = onnx.load(str(file))
    for key, value in {
        "class_names": json.dumps(classifier.class_names),
        "size": str(classifier.size),
        "channels": str(classifier.channels),
        "classifier_sha256": classifier.digest,
    }.items():
        model.metadata_props.add(key=key, value=value)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    difference = 0.0
    for batch in checked:
        (answer,) = session.run(None, {"images": batch})
        with torch.no_grad():
            expected = network(torch.from_numpy(batch)).numpy()
        difference = max(difference, float(np.abs(answer - expected).max()))
    if not difference <= TOLERANCE:
        raise ClassifierError(
            f"{path}: not written, ONNX Runtime's probabilities differ from torch's by {difference:.2g} "
            f"(allowed: {TOLERANCE:g}); try another version of onnxruntime"
        )
    write_atomic(path, data)
    return ExportResult(path, len(data), sum(map(len, checked)), difference)
