"""What computes: torch, or ONNX Runtime on a graph exported from the same weights and checked against torch."""

import tempfile
from pathlib import Path

import numpy as np

from classifiers import Classifier, ClassifierError, Predictor, load_classifier
from classifiers.prediction import Tta

GPU_BATCHES = (1, 8, 32, 128)  # batches are filled up to these there


class OnnxPredictor(Predictor):
    """A classifier computed by ONNX Runtime. Made from safetensors; a foreign .onnx file is never opened."""

    def __init__(self, file: Path, device: str) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ClassifierError("backend onnx needs ONNX Runtime: pip install 'ganfer[export]'") from error
        from classifiers import export_onnx

        classifier = load_classifier(file, "cpu")
        self.class_names, self.size, self.channels = classifier.class_names, classifier.size, classifier.channels
        self.temperature, self.digest = classifier.temperature, classifier.digest
        with tempfile.TemporaryDirectory(prefix="ganfer-") as folder:
            graph = export_onnx(classifier, Path(folder) / "model.onnx").path.read_bytes()
        wanted = [] if device == "cpu" else ["CUDAExecutionProvider"]
        there = set(onnxruntime.get_available_providers())
        providers = [name for name in (*wanted, "CPUExecutionProvider") if name in there]
        self._session = onnxruntime.InferenceSession(graph, providers=providers)

    def probabilities(self, images: np.ndarray, *, tta: Tta = "none", batch_size: int = 512) -> np.ndarray:
        """Calibrated probabilities, float32 (N, K), of uint8 (N, C, S, S)."""
        if tta != "none":
            raise ClassifierError(f"tta = {tta!r}: ONNX Runtime computes the image as it is; use backend torch")
        parts = [
            self._session.run(None, {"images": np.ascontiguousarray(images[start : start + batch_size])})[0]
            for start in range(0, len(images), batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.class_names)), np.float32)

    def logits(self, images: np.ndarray, *, tta: Tta = "none", batch_size: int = 512) -> np.ndarray:
        """Logarithms of the calibrated probabilities times the temperature: equal to logits up to a constant."""
        probabilities = self.probabilities(images, tta=tta, batch_size=batch_size)
        return np.log(np.maximum(probabilities, 1e-12)) * self.temperature


def open_predictor(file: Path, backend: str, device: str) -> Predictor:
    """The classifier in a safetensors file, ready to compute. ClassifierError when it cannot be read."""
    predictor = OnnxPredictor(file, device) if backend == "onnx" else load_classifier(file, device)
    if isinstance(predictor, Classifier) and predictor.device.type == "cuda":
        predictor.pad_to = GPU_BATCHES  # every other size would be a first time for the libraries
    return predictor


def warm(predictor: Predictor) -> None:
    """A pass of each size, in the thread that is to compute: the libraries plan for every thread anew, and no client
    should wait for that."""
    on_gpu = isinstance(predictor, Classifier) and predictor.device.type == "cuda"
    for size in GPU_BATCHES if on_gpu else (1,):
        predictor.probabilities(np.zeros((size, predictor.channels, predictor.size, predictor.size), np.uint8))
