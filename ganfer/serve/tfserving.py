"""TensorFlow Serving's REST API (tensorflow.org/tfx/serving/api_rest): predict, model status, metadata."""

from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from ganfer.serve import pixels
from ganfer.serve.errors import Refused, shown
from ganfer.serve.schemas import JSON_ERRORS, json_body, named
from ganfer.serve.service import Answer, Service, floats
from ganfer.serve.store import Served

DEFAULT, LABELS = "serving_default", "labels"
SIGNATURES = (DEFAULT, LABELS)
_INPUT_NAMES = ("images", "image_bytes")  # TensorFlow's names of encoded inputs end in _bytes

_PREDICT = """Scores of ready face crops.

`instances` (row format) or `inputs` (columnar): every image as `{"b64": "..."}` (a JPEG or PNG file, any size) or as
nested lists of pixels 0 to 255 in the model's size. The answer has one list of calibrated probabilities per image, in
the order of the model's `class_names` (see its metadata); with `"signature_name": "labels"` it has names."""


def router(service: Service) -> APIRouter:
    """The routes below /v1/models."""
    api = APIRouter(prefix="/v1/models", tags=["TensorFlow Serving"])

    async def predict(request: Request, name: str, version: str | None) -> Answer:
        async with service.intake(request) as intake:
            with service.store.get(name, version) as served:
                wanted = await service.json(intake.body)
                signature = _signature(wanted)
                images = await service.images(intake, await service.run(_images, wanted, served), served)
                probabilities = await service.classify(intake, served, list(images))
        return Answer(_answer(probabilities, served, signature, columnar="inputs" in wanted))

    predict_docs: dict[str, Any] = {
        "description": _PREDICT,
        "responses": {200: named("Predictions"), **JSON_ERRORS},
        "openapi_extra": json_body("PredictRequest"),
    }

    @api.post("/{name}:predict", summary="Predict", **predict_docs)
    async def predict_newest(request: Request, name: str) -> Answer:
        return await predict(request, name, None)

    @api.post("/{name}/versions/{version}:predict", summary="Predict with one version", **predict_docs)
    async def predict_version(request: Request, name: str, version: str) -> Answer:
        return await predict(request, name, version)

    status_docs: dict[str, Any] = {"responses": {200: named("ModelStatus"), **JSON_ERRORS}}

    @api.get("/{name}", summary="Status of a model", **status_docs)
    async def status(name: str) -> Answer:
        return Answer(_status(service.store.get(name)))

    @api.get("/{name}/versions/{version}", summary="Status of one version", **status_docs)
    async def status_version(name: str, version: str) -> Answer:
        return Answer(_status(service.store.get(name, version)))

    metadata_docs: dict[str, Any] = {"responses": {200: named("ModelMetadata"), **JSON_ERRORS}}

    @api.get("/{name}/metadata", summary="Inputs and outputs of a model", **metadata_docs)
    async def metadata(name: str) -> Answer:
        return Answer(_metadata(service.store.get(name)))

    @api.get("/{name}/versions/{version}/metadata", summary="Inputs and outputs of one version", **metadata_docs)
    async def metadata_version(name: str, version: str) -> Answer:
        return Answer(_metadata(service.store.get(name, version)))

    return api


def _signature(wanted: dict[str, Any]) -> str:
    signature = wanted.get("signature_name", DEFAULT)
    if signature == "":  # protobuf's default; /metadata has it too
        return DEFAULT
    if not isinstance(signature, str) or signature not in SIGNATURES:
        raise Refused(400, f"signature_name {shown(signature)}: known are {', '.join(SIGNATURES)}.")
    return signature


def _images(wanted: dict[str, Any], served: Served) -> np.ndarray | list[bytes]:
    """(N, C, S, S) uint8 of a request, or its encoded images. Refused (400) with what is wrong."""
    if ("instances" in wanted) == ("inputs" in wanted):
        raise Refused(400, "Give either 'instances' (row format) or 'inputs' (columnar format).")
    key = "instances" if "instances" in wanted else "inputs"
    value = wanted[key]
    if key == "inputs" and isinstance(value, dict) and "b64" not in value:
        value = _unnamed(value, "inputs")
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise Refused(400, f"'{key}' must be a list of images.")
    if not value:
        raise Refused(400, f"'{key}' is empty. Give at least one image.")
    if key == "instances":
        value = [
            _unnamed(item, f"instance {index}") if isinstance(item, dict) and "b64" not in item else item
            for index, item in enumerate(value)
        ]
    encoded = [isinstance(item, dict) for item in value]
    if all(encoded):
        return pixels.from_base64([item.get("b64") for item in value], "image")
    if any(encoded):
        raise Refused(400, f"'{key}' mixes encoded images and lists of pixels. Send one kind.")
    return pixels.from_lists(value, served.shape, key)


def _unnamed(value: dict[str, Any], what: str) -> Any:
    """The value of the one named input. Refused (400) when it has another name or company."""
    names = list(value)
    if len(names) != 1 or names[0] not in _INPUT_NAMES:
        given = ", ".join(name[:40] for name in names[:4]) or "nothing"
        raise Refused(400, f"{what} has {given}; the model has one input, 'images' (or {{'b64': ...}}).")
    return value[names[0]]


def _answer(probabilities: np.ndarray, served: Served, signature: str, *, columnar: bool) -> dict[str, Any]:
    if signature == DEFAULT:
        return {"outputs" if columnar else "predictions": floats(probabilities)}
    names = served.class_names
    labels = [names[index] for index in probabilities.argmax(axis=1)]
    confidence = floats(probabilities.max(axis=1))
    if columnar:
        return {"outputs": {"label": labels, "confidence": confidence, "scores": floats(probabilities)}}
    rows = [
        {"label": label, "confidence": sure, "scores": dict(zip(names, row, strict=True))}
        for label, sure, row in zip(labels, confidence, floats(probabilities), strict=True)
    ]
    return {"predictions": rows}


def _status(served: Served) -> dict[str, Any]:
    state = {"version": served.version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return {"model_version_status": [state]}


def _metadata(served: Served) -> dict[str, Any]:
    channels, size, _ = served.shape
    images = {"images": _tensor("images", "DT_UINT8", [-1, size, size, channels])}
    classes = len(served.class_names)
    scores = {"probabilities": _tensor("probabilities", "DT_FLOAT", [-1, classes])}
    named_scores = {
        "label": _tensor("label", "DT_STRING", [-1]),
        "confidence": _tensor("confidence", "DT_FLOAT", [-1]),
        "scores": _tensor("scores", "DT_FLOAT", [-1, classes]),
    }
    method = "tensorflow/serving/predict"
    signatures = {
        DEFAULT: {"inputs": images, "outputs": scores, "method_name": method},
        LABELS: {"inputs": images, "outputs": named_scores, "method_name": method},
    }
    return {
        "model_spec": {"name": served.name, "signature_name": "", "version": served.version},
        "metadata": {"signature_def": {"signature_def": signatures}, "class_names": served.class_names},
    }


def _tensor(name: str, dtype: str, shape: list[int]) -> dict[str, Any]:
    sizes = [{"size": str(side), "name": ""} for side in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": sizes, "unknown_rank": False}, "name": name}
