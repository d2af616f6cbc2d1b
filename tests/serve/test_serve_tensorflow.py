"""TensorFlow Serving's REST API, with the request shapes of its documentation."""

import base64

import httpx
import numpy as np
import pytest
from PIL import Image
from serving import NAMES, SIZE, encoded, faces

from classifiers import Classifier


def b64(image: np.ndarray) -> dict[str, str]:
    return {"b64": base64.b64encode(encoded(Image.fromarray(image[0]))).decode()}


@pytest.fixture
def images() -> np.ndarray:
    return faces(3)


@pytest.mark.parametrize("layout", ["grey", "last", "first", "named", "encoded", "encoded-named"])
def test_row_format_gives_the_classifiers_probabilities(
    client: httpx.Client, classifier: Classifier, images: np.ndarray, layout: str
) -> None:
    instances = {
        "grey": images[:, 0].tolist(),
        "last": images.transpose(0, 2, 3, 1).tolist(),
        "first": images.tolist(),
        "named": [{"images": image[0].tolist()} for image in images],
        "encoded": [b64(image) for image in images],
        "encoded-named": [{"image_bytes": b64(image)} for image in images],
    }[layout]
    answer = client.post("/v1/models/expression:predict", json={"instances": instances})
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["predictions"]
    np.testing.assert_allclose(answer.json()["predictions"], classifier.probabilities(images), atol=2e-6)


@pytest.mark.parametrize("named", [True, False])
def test_columnar_format(client: httpx.Client, classifier: Classifier, images: np.ndarray, named: bool) -> None:
    inputs = {"images": images.tolist()} if named else images.tolist()
    answer = client.post("/v1/models/expression:predict", json={"inputs": inputs}).json()
    np.testing.assert_allclose(answer["outputs"], classifier.probabilities(images), atol=2e-6)


def test_labels_signature_names_the_classes(client: httpx.Client, classifier: Classifier, images: np.ndarray) -> None:
    body = {"signature_name": "labels", "instances": images.tolist()}
    rows = client.post("/v1/models/expression:predict", json=body).json()["predictions"]
    wanted = classifier.probabilities(images)
    assert [row["label"] for row in rows] == [NAMES[i] for i in wanted.argmax(1)]
    assert list(rows[0]["scores"]) == list(NAMES)
    assert rows[1]["confidence"] == pytest.approx(wanted[1].max(), abs=2e-6)
    body = {"signature_name": "labels", "inputs": images.tolist()}
    columns = client.post("/v1/models/expression:predict", json=body).json()["outputs"]
    assert columns["label"] == [row["label"] for row in rows]


def test_status_metadata_and_versions(client: httpx.Client, images: np.ndarray) -> None:
    (state,) = client.get("/v1/models/expression").json()["model_version_status"]
    assert state["state"] == "AVAILABLE"
    assert state["status"] == {"error_code": "OK", "error_message": ""}
    version = state["version"]
    assert int(version) > 1_600_000_000_000
    assert client.get(f"/v1/models/expression/versions/{version}").json()["model_version_status"] == [state]
    metadata = client.get("/v1/models/expression/metadata").json()
    assert metadata["model_spec"] == {"name": "expression", "signature_name": "", "version": version}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    sides = [side["size"] for side in signature["inputs"]["images"]["tensor_shape"]["dim"]]
    assert sides == ["-1", str(SIZE), str(SIZE), "1"]
    assert metadata["metadata"]["class_names"] == list(NAMES)
    path = f"/v1/models/expression/versions/{version}:predict"
    assert client.post(path, json={"instances": images.tolist()}).status_code == 200


def test_the_models_differ(client: httpx.Client, images: np.ndarray) -> None:
    body = {"instances": images.tolist()}
    one, other = (client.post(f"/v1/models/{name}:predict", json=body).json() for name in ("expression", "before"))
    assert one != other


PIXELS = np.full((1, SIZE, SIZE), 7).tolist()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"instances": PIXELS, "inputs": PIXELS}, "either 'instances'"),
        ({}, "either 'instances'"),
        ({"instances": []}, "empty"),
        ({"instances": "face"}, "a list of images"),
        ({"instances": [[[1, 2], [3]]]}, "not rectangular"),
        ({"instances": np.zeros((1, 4, 4)).tolist()}, r"shape \(4, 4\); this model takes \(16, 16\)"),
        ({"instances": np.full((1, SIZE, SIZE), 300).tolist()}, "from 300 to 300; they must lie in 0 to 255"),
        ({"instances": np.full((1, SIZE, SIZE), -1).tolist()}, "must lie in 0 to 255"),
        ({"instances": np.full((1, SIZE, SIZE), 0.5).tolist()}, "normalises itself"),
        ({"instances": np.full((1, SIZE, SIZE), "a").tolist()}, "must be numbers"),
        ({"instances": [[[2**70] * SIZE] * SIZE]}, "must be numbers"),
        ({"instances": [{"b64": "%%%"}]}, "not base64"),
        ({"instances": [{"b64": 7}]}, "base64 must be a string"),
        ({"instances": [{"b64": "AAAA"}]}, "image 0: unreadable"),
        ({"instances": [{"b64": "AAAA"}, PIXELS[0]]}, "mixes"),
        ({"instances": [{"x": 1}]}, "the model has one input"),
        ({"instances": PIXELS, "signature_name": "other"}, "known are serving_default, labels"),
        ({"instances": [{"\ud800": 1}]}, "the model has one input"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(client: httpx.Client, body: dict[str, object], words: str) -> None:
    import json

    answer = client.post("/v1/models/expression:predict", content=json.dumps(body).encode())
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    import re

    assert re.search(words, answer.json()["error"]), answer.json()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b'{"instances": NaN}', b"\xff\xfe", b"[" * 200_000, b'{"a":' * 99_999]
)
def test_what_is_no_json_object_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/models/expression:predict", content=body)
    assert answer.status_code == 400
    assert "error" in answer.json()


@pytest.mark.parametrize("path", ["/v1/models/none", "/v1/models/expression/versions/7", "/v1/models/none/metadata"])
def test_an_unknown_model_or_version_names_what_there_is(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "Served: " in answer.json()["error"]
    assert client.post(f"{path}:predict", json={"instances": PIXELS}).status_code == 404
