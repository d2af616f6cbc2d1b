"""Open Inference Protocol v2: with Triton's public client, and with the JSON of the specification."""

import base64
import json

import httpx
import numpy as np
import pytest
from PIL import Image
from serving import NAMES, SIZE, encoded, faces

from classifiers import Classifier

INFER = "/v2/models/expression/infer"


def tensor(data: object, shape: list[int], datatype: str = "UINT8") -> dict[str, object]:
    return {"name": "images", "shape": shape, "datatype": datatype, "data": data}


def test_a_public_client_finds_and_asks_the_model(address: str, classifier: Classifier) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    client = triton.InferenceServerClient(address.removeprefix("http://"))
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("expression")
        assert not client.is_model_ready("none")
        metadata = client.get_model_metadata("expression")
        assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 1, SIZE, SIZE]}]
        assert client.get_server_metadata()["name"] == "ganfer"
        images = faces(5)
        wanted = classifier.probabilities(images)
        for binary in (True, False):
            given = triton.InferInput("images", list(images.shape), "UINT8")
            given.set_data_from_numpy(images, binary_data=binary)
            outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("label", "probabilities")]
            result = client.infer("expression", [given], outputs=outputs, request_id="seven")
            np.testing.assert_allclose(result.as_numpy("probabilities"), wanted, atol=2e-6)
            labels = [text.decode() if isinstance(text, bytes) else text for text in result.as_numpy("label").tolist()]
            assert labels == [NAMES[i] for i in wanted.argmax(1)]
            assert result.get_response()["id"] == "seven"
        files = np.array([encoded(Image.fromarray(image[0])) for image in images], dtype=object)
        given = triton.InferInput("images", [5], "BYTES")
        given.set_data_from_numpy(files)
        result = client.infer("expression", [given], model_version=metadata["versions"][0])
        np.testing.assert_allclose(result.as_numpy("probabilities"), wanted, atol=2e-6)
        with pytest.raises(Exception, match="this model takes"):
            given = triton.InferInput("images", [1, 3], "UINT8")
            given.set_data_from_numpy(np.zeros((1, 3), np.uint8))
            client.infer("expression", [given])
    finally:
        client.close()


@pytest.mark.parametrize("datatype", ["UINT8", "INT32", "FP32"])
@pytest.mark.parametrize("flat", [True, False])
def test_json_of_the_specification(client: httpx.Client, classifier: Classifier, datatype: str, flat: bool) -> None:
    images = faces(2)
    data = images.reshape(-1).tolist() if flat else images.tolist()
    body = {"id": "42", "inputs": [tensor(data, [2, 1, SIZE, SIZE], datatype)], "outputs": [{"name": "probabilities"}]}
    answer = client.post(INFER, json=body).json()
    assert (answer["model_name"], answer["id"]) == ("expression", "42")
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [2, len(NAMES)])
    wanted = classifier.probabilities(images)
    np.testing.assert_allclose(np.reshape(output["data"], output["shape"]), wanted, atol=2e-6)


def test_encoded_images_in_json_and_both_outputs(client: httpx.Client, classifier: Classifier) -> None:
    image = faces(1)
    text = base64.b64encode(encoded(Image.fromarray(image[0, 0]))).decode()
    answer = client.post(INFER, json={"inputs": [tensor([text], [1], "BYTES")]}).json()
    assert [output["name"] for output in answer["outputs"]] == ["probabilities", "label"]
    wanted = classifier.probabilities(image)
    np.testing.assert_allclose(answer["outputs"][0]["data"], wanted[0], atol=2e-6)
    assert answer["outputs"][1]["data"] == [NAMES[int(wanted.argmax())]]
    assert "id" not in answer


def test_health_and_metadata(client: httpx.Client) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data", "classification"]
    metadata = client.get("/v2/models/expression").json()
    assert metadata["parameters"]["class_names"] == list(NAMES)
    version = metadata["versions"][0]
    assert client.get(f"/v2/models/expression/versions/{version}").json() == metadata
    assert client.get(f"/v2/models/expression/versions/{version}/ready").json() == {"name": "expression", "ready": True}
    assert client.get("/v2/models/expression/versions/1/ready").status_code == 404


ONE = np.zeros((1, SIZE, SIZE), np.uint8)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "Give 'inputs'"),
        ({"inputs": []}, "Give 'inputs'"),
        ({"inputs": [{**tensor([], [1]), "name": "x"}]}, "Unknown input 'x'"),
        ({"inputs": [tensor([1], [0])]}, "above 0"),
        ({"inputs": [tensor([1], [1] * 9)]}, "one to eight"),
        ({"inputs": [tensor([1], [True])]}, "above 0"),
        ({"inputs": [tensor([1, 2], [3])]}, "2 values; the shape [3] has 3"),
        ({"inputs": [tensor([1], [1], "COMPLEX")]}, "datatype 'COMPLEX'"),
        ({"inputs": [tensor("abc", [1])]}, "must be numbers"),
        ({"inputs": [tensor([1, "2"], [2])]}, "must be numbers"),
        ({"inputs": [tensor([[1], [2, 3]], [3])]}, "rectangular"),
        ({"inputs": [tensor([7], [1], "BYTES")]}, "base64 strings"),
        ({"inputs": [tensor(["AAAA", "AAAA"], [1], "BYTES")]}, "2 elements"),
        ({"inputs": [{**tensor([1], [1]), "parameters": {"binary_data_size": 4}}]}, "0 bytes follow"),
        ({"inputs": [tensor([300] * 256, [1, SIZE, SIZE])]}, "0 to 255"),
        ({"inputs": [tensor(ONE.tolist(), [1, SIZE, SIZE])], "outputs": [{"name": "y"}]}, "Unknown output 'y'"),
        ({"inputs": [tensor(ONE.tolist(), [1, SIZE, SIZE])], "outputs": [3]}, "list of objects"),
        (
            {"inputs": [tensor(ONE.tolist(), [1, SIZE, SIZE])], "outputs": [{"name": "label"}] * 2},
            "asked for twice",
        ),
        ({"inputs": [tensor(ONE.tolist(), [1, SIZE, SIZE])], "parameters": [1]}, "'parameters'"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(client: httpx.Client, body: object, words: str) -> None:
    answer = client.post(INFER, json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("blob", "size", "datatype", "words"),
    [
        (b"\x00\x00", 2, "BYTES", "within a length"),
        (b"\x09\x00\x00\x00ab", 6, "BYTES", "within an element"),
        (b"abc", 3, "FP32", "no whole number of values"),
        (b"abc", 5, "UINT8", "3 bytes follow"),
        (b"abc", "3", "UINT8", "3 bytes follow"),
    ],
)
def test_damaged_binary_tensors(client: httpx.Client, blob: bytes, size: object, datatype: str, words: str) -> None:
    given = {"name": "images", "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [given]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = client.post(INFER, content=head + blob, headers=headers)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize("length", ["x", "-1", "99999", "1e3"])
def test_a_wrong_header_length(client: httpx.Client, length: str) -> None:
    answer = client.post(INFER, content=b"{}", headers={"Inference-Header-Content-Length": length})
    assert answer.status_code == 400
