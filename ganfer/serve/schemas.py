"""The OpenAPI schemas of requests and answers: what the routes take and give, in JSON Schema."""

from typing import Any

Schema = dict[str, Any]

_STRING: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_NAMES: Schema = {"type": "array", "items": _STRING}
_SCORES: Schema = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}}


def _object(properties: dict[str, Schema], *optional: str, **more: Any) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_ENCODED = _object({"b64": {"type": "string", "contentEncoding": "base64", "description": "a JPEG or PNG file"}})
_PIXELS = _list({}, description="nested lists of numbers 0 to 255: (S, S), (S, S, C) or (C, S, S)", minItems=1)
_IMAGE = {"anyOf": [_ENCODED, _PIXELS, _object({"images": {"anyOf": [_ENCODED, _PIXELS]}})]}
_SIGNATURE = {"type": "string", "enum": ["serving_default", "labels"], "default": "serving_default"}
_LABELLED = _object({"label": _STRING, "confidence": _NUMBER, "scores": _SCORES})
_COLUMNS = _object({"label": _NAMES, "confidence": _list(_NUMBER), "scores": _list(_list(_NUMBER))})
_TENSOR_SHAPE = _list({"type": "integer", "minimum": 1}, minItems=1, maxItems=4)
_PARAMETERS = {"type": "object", "additionalProperties": True}
_INPUT = _object(
    {
        "name": {"type": "string", "enum": ["images"]},
        "shape": _TENSOR_SHAPE,
        "datatype": {"type": "string", "enum": ["UINT8", "INT32", "FP32", "BYTES"]},
        "data": _list({}),
        "parameters": _PARAMETERS,
    },
    "data",
    "parameters",
)
_OUTPUT = _object(
    {"name": _STRING, "shape": _list({"type": "integer"}), "datatype": _STRING, "data": _list({})}, "data"
)
_TENSOR_METADATA = _object({"name": _STRING, "datatype": _STRING, "shape": _list({"type": "integer"})})
_BOX = _list(_NUMBER, minItems=4, maxItems=4, description="x, y, width, height in pixels of the upright picture")
_FACE = _object(
    {
        "box": _BOX,
        "detection": {"type": "number", "minimum": 0, "maximum": 1},
        "landmarks": {"anyOf": [_list(_list(_NUMBER, minItems=2, maxItems=2)), {"type": "null"}]},
        "models": {"type": "object", "additionalProperties": _LABELLED},
        "gaze": {"anyOf": [_object({"yaw": _NUMBER, "pitch": _NUMBER, "closed": _NUMBER}), {"type": "null"}]},
    },
    "gaze",
)
_MODEL = _object(
    {
        "name": _STRING,
        "version": _STRING,
        "note": _STRING,
        "class_names": _NAMES,
        "size": {"type": "integer"},
        "channels": {"type": "integer"},
    }
)

SCHEMAS: dict[str, Schema] = {
    "Error": _object({"error": _STRING}),
    "PredictRequest": {
        "type": "object",
        "properties": {
            "signature_name": _SIGNATURE,
            "instances": _list(_IMAGE, minItems=1),
            "inputs": {"anyOf": [_list(_IMAGE, minItems=1), _object({"images": _list(_IMAGE, minItems=1)})]},
        },
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    },
    "Predictions": {
        "anyOf": [
            _object({"predictions": _list({"anyOf": [_list(_NUMBER), _LABELLED]})}),
            _object({"outputs": {"anyOf": [_list(_list(_NUMBER)), _COLUMNS]}}),
        ]
    },
    "ModelStatus": _object(
        {"model_version_status": _list(_object({"version": _STRING, "state": _STRING, "status": _PARAMETERS}))}
    ),
    "ModelMetadata": _object({"model_spec": _PARAMETERS, "metadata": _PARAMETERS}),
    "InferRequest": _object(
        {
            "id": _STRING,
            "inputs": _list(_INPUT, minItems=1, maxItems=1),
            "outputs": _list(
                _object(
                    {"name": {"type": "string", "enum": ["probabilities", "label"]}, "parameters": _PARAMETERS},
                    "parameters",
                )
            ),
            "parameters": _PARAMETERS,
        },
        "id",
        "outputs",
        "parameters",
    ),
    "InferResponse": _object(
        {"model_name": _STRING, "model_version": _STRING, "id": _STRING, "outputs": _list(_OUTPUT)}, "id"
    ),
    "Live": _object({"live": {"type": "boolean"}}),
    "Ready": _object({"ready": {"type": "boolean"}}),
    "ServerMetadata": _object({"name": _STRING, "version": _STRING, "extensions": _NAMES}),
    "ModelMetadataV2": _object(
        {
            "name": _STRING,
            "versions": _NAMES,
            "platform": _STRING,
            "inputs": _list(_TENSOR_METADATA),
            "outputs": _list(_TENSOR_METADATA),
            "parameters": _PARAMETERS,
        }
    ),
    "ModelReady": _object({"name": _STRING, "ready": {"type": "boolean"}}),
    "Analysis": _object(
        {
            "width": {"type": "integer"},
            "height": {"type": "integer"},
            "faces": _list(_FACE),
            "milliseconds": _object({"total": _NUMBER, "detect": _NUMBER}),
        }
    ),
    "Models": _object(
        {
            "models": _list(_MODEL),
            "colours": {"type": "object", "additionalProperties": _STRING},
            "detector": _STRING,
            "attention": {"type": "boolean"},
            "max_upload_mb": _NUMBER,
        }
    ),
}


def named(name: str) -> Schema:
    """An answer whose schema is `SCHEMAS[name]`, as a route's `responses` want it."""
    assert name in SCHEMAS
    return {"description": name, "content": {"application/json": {"schema": _ref(name)}}}


def json_body(name: str) -> Schema:
    """A JSON request body whose schema is `SCHEMAS[name]`, as `openapi_extra`."""
    assert name in SCHEMAS
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _ref(name)}}}}


def infer_body() -> Schema:
    """The body of an inference: JSON; with the header Inference-Header-Content-Length, binary tensors behind it."""
    header = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "required": False,
        "schema": {"type": "integer", "minimum": 0},
        "description": "bytes of JSON before binary tensors",
    }
    return {**json_body("InferRequest"), "parameters": [header]}


_WHY = {
    400: "The request is wrong; the error says what.",
    401: "The token is missing or wrong.",
    403: "Another site's page asked.",
    404: "No such model, version or page.",
    408: "The body did not arrive in time.",
    413: "Too large.",
    415: "Not a body this takes.",
    429: "Busy; come back after Retry-After seconds.",
    503: "Not ready, or no result in time.",
}
JSON_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": why, "content": {"application/json": {"schema": _ref("Error")}}}
    for status, why in _WHY.items()
}


def picture_body() -> Schema:
    """The body of an analysis: an image file, or a form with one."""
    file = {"schema": {"type": "string", "format": "binary"}}
    form = {"schema": {"type": "object", "properties": {"image": {"type": "string", "format": "binary"}}}}
    kinds = dict.fromkeys(("image/jpeg", "image/png", "application/octet-stream"), file)
    return {"requestBody": {"required": True, "content": {**kinds, "multipart/form-data": form}}}
