"""Open Inference Protocol v2 over HTTP (github.com/kserve/open-inference-protocol), with Triton's binary tensors."""

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from ganfer.serve import pixels, tensors
from ganfer.serve.errors import Refused, shown
from ganfer.serve.schemas import JSON_ERRORS, infer_body, named
from ganfer.serve.service import Answer, Service, parse_json
from ganfer.serve.store import Served
from ganfer.version import __version__

_PLATFORMS = {"torch": "pytorch", "onnx": "onnxruntime_onnx"}
_OUTPUTS = ("probabilities", "label")

_INFER = """Scores of ready face crops.

One input, `images`: datatype UINT8 with shape [N, C, S, S] (or [N, S, S, C]), values 0 to 255; or datatype BYTES with
shape [N], every element a JPEG or PNG file (base64 in JSON). Outputs: `probabilities` FP32 [N, K] in the order of the
model's class names, and `label` BYTES [N]. Tensors may come and go in binary (extension `binary_tensor_data`)."""


def router(service: Service) -> APIRouter:
    """The routes below /v2."""
    api = APIRouter(prefix="/v2", tags=["Open Inference Protocol v2"])

    @api.get("/health/live", summary="Whether the server runs", responses={200: named("Live")})
    async def live() -> Answer:
        return Answer({"live": True})

    @api.get("/health/ready", summary="Whether it can be asked", responses={200: named("Ready"), 503: named("Ready")})
    async def ready() -> Answer:
        return Answer({"ready": service.store.ready}, 200 if service.store.ready else 503)

    @api.get("", summary="The server", responses={200: named("ServerMetadata")})
    async def server() -> Answer:
        return Answer(
            {"name": "ganfer", "version": __version__, "extensions": ["binary_tensor_data", "classification"]}
        )

    async def infer(request: Request, name: str, version: str | None) -> Response:
        async with service.intake(request) as intake:
            with service.store.get(name, version) as served:
                length = request.headers.get("inference-header-content-length")
                head, blob = _split(intake.body, length)
                wanted = await service.run(parse_json, head)
                if not isinstance(wanted, dict):
                    raise Refused(400, "Give 'inputs' as a list with one input, 'images'.")
                outputs = _wanted_outputs(wanted)
                images = await service.images(intake, await service.run(_images, wanted, blob, served), served)
                probabilities = await service.classify(intake, served, list(images))
        return _answer(wanted, served, outputs, probabilities)

    metadata_docs: dict[str, Any] = {"responses": {200: named("ModelMetadataV2"), **JSON_ERRORS}}

    @api.get("/models/{name}", summary="Inputs and outputs of a model", **metadata_docs)
    async def metadata(name: str) -> Answer:
        return Answer(_metadata(service.store.get(name), service.config.backend))

    @api.get("/models/{name}/versions/{version}", summary="Inputs and outputs of one version", **metadata_docs)
    async def metadata_version(name: str, version: str) -> Answer:
        return Answer(_metadata(service.store.get(name, version), service.config.backend))

    ready_docs: dict[str, Any] = {"responses": {200: named("ModelReady"), **JSON_ERRORS}}

    @api.get("/models/{name}/ready", summary="Whether a model can be asked", **ready_docs)
    async def model_ready(name: str) -> Answer:
        return Answer({"name": service.store.get(name).name, "ready": True})

    @api.get("/models/{name}/versions/{version}/ready", summary="Whether one version can be asked", **ready_docs)
    async def version_ready(name: str, version: str) -> Answer:
        return Answer({"name": service.store.get(name, version).name, "ready": True})

    infer_docs: dict[str, Any] = {
        "description": _INFER,
        "responses": {200: named("InferResponse"), **JSON_ERRORS},
        "openapi_extra": infer_body(),
    }

    @api.post("/models/{name}/infer", summary="Infer", **infer_docs)
    async def infer_newest(request: Request, name: str) -> Response:
        return await infer(request, name, None)

    @api.post("/models/{name}/versions/{version}/infer", summary="Infer with one version", **infer_docs)
    async def infer_version(request: Request, name: str, version: str) -> Response:
        return await infer(request, name, version)

    return api


def _split(body: bytes, length: str | None) -> tuple[bytes, bytes]:
    """The JSON and the binary tensors behind it."""
    if length is None:
        return body, b""
    if not length.isdecimal() or int(length) > len(body):
        raise Refused(400, f"Inference-Header-Content-Length {length[:20]!r}: the body has {len(body)} bytes.")
    return body[: int(length)], body[int(length) :]


def _images(wanted: dict[str, Any], blob: bytes, served: Served) -> np.ndarray | list[bytes]:
    """(N, C, S, S) uint8 of a request, or its encoded images. Refused (400) with what is wrong."""
    inputs = wanted.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refused(400, "Give 'inputs' as a list with one input, 'images'.")
    given = inputs[0]
    if given.get("name") != "images":
        raise Refused(400, f"Unknown input {shown(given.get('name'))}. The model has one, 'images'.")
    tensor = tensors.read(given, blob)
    if isinstance(tensor, list):
        if all(isinstance(item, str) for item in tensor):
            return pixels.from_base64(tensor, "image")
        return tensor
    return pixels.from_array(tensor, served.shape, "images")


def _wanted_outputs(wanted: dict[str, Any]) -> list[tuple[str, bool, int]]:
    """(name, whether in binary, of how many classes or 0 for the output itself) of every output to return."""
    binary = _flag(wanted, "binary_data_output")
    asked = wanted.get("outputs") or [{"name": name} for name in _OUTPUTS]
    if not isinstance(asked, list) or not all(isinstance(item, dict) for item in asked):
        raise Refused(400, "'outputs' must be a list of objects with a name.")
    outputs: list[tuple[str, bool, int]] = []
    for item in asked:
        name = item.get("name")
        if name not in _OUTPUTS:
            raise Refused(400, f"Unknown output {shown(name)}. The model has {' and '.join(_OUTPUTS)}.")
        if name in (before for before, *_ in outputs):
            raise Refused(400, f"The output {name} is asked for twice.")
        classes = _classes(item)
        if classes and name != "probabilities":
            raise Refused(400, f"classification is for the output probabilities, not for {name}.")
        outputs.append((str(name), _flag(item, "binary_data", binary), classes))
    return outputs


def _classes(holder: dict[str, Any]) -> int:
    """The parameter `classification` (tritonclient's class_count); 0 when it is not there."""
    parameters = holder.get("parameters") or {}
    count = parameters.get("classification", 0) if isinstance(parameters, dict) else 0
    if type(count) is not int or not 0 <= count < 2**31:
        raise Refused(400, "'parameters': classification must be a number of classes.")
    return count


def _flag(holder: dict[str, Any], name: str, default: bool = False) -> bool:
    parameters = holder.get("parameters") or {}
    if not isinstance(parameters, dict) or not isinstance(parameters.get(name, default), bool):
        raise Refused(400, f"'parameters' must be an object, {name} in it true or false.")
    return bool(parameters.get(name, default))


def _answer(
    wanted: dict[str, Any], served: Served, outputs: list[tuple[str, bool, int]], probabilities: np.ndarray
) -> Response:
    names = served.class_names
    values = {
        "probabilities": tensors.floats(probabilities),
        "label": tensors.strings([names[index] for index in probabilities.argmax(axis=1)]),
    }
    answer: dict[str, Any] = {"model_name": served.name, "model_version": served.version}
    if isinstance(wanted.get("id"), str):
        answer["id"] = wanted["id"]
    described, blobs = [], []
    for name, binary, classes in outputs:
        tensor = tensors.classified(probabilities, names, classes) if classes else values[name]
        described.append({"name": name, **tensor.described(binary=binary)})
        if binary:
            blobs.append(tensor.binary)
    answer["outputs"] = described
    response = Answer(answer)
    if not blobs:
        return response
    head = bytes(response.body)
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return Response(b"".join([head, *blobs]), media_type="application/octet-stream", headers=headers)


def _metadata(served: Served, backend: str) -> dict[str, Any]:
    return {
        "name": served.name,
        "versions": [served.version],
        "platform": _PLATFORMS[backend],
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, *served.shape]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(served.class_names)]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {"class_names": served.class_names},
    }
