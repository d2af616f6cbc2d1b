"""`POST /analyze`: uploads of every kind give the right faces or one clear line."""

import dataclasses
import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from serving import NAMES, Bright, Staring, config, encoded, scene, source_of

from classifiers import Classifier
from ganfer.config import load_config
from ganfer.data.drawn import Face, render_rgba
from ganfer.errors import GanferError
from ganfer.live.crop import crop_face
from ganfer.live.detect import open_detector
from ganfer.live.geometry import Face as FoundFace
from ganfer.live.models import YUNET
from ganfer.serve.command import detector_or_why
from ganfer.serve.photos import Eyes
from ganfer.serve.server import Server

BOX = (40, 30, 60, 50)


def test_a_raw_body_and_a_form_give_the_faces_with_their_scores(client: httpx.Client, classifier: Classifier) -> None:
    data = encoded(scene(BOX))
    answer = client.post("/analyze", content=data)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["width"], found["height"]) == (200, 150)
    (face,) = found["faces"]
    assert face["box"] == [40, 30, 60, 50]
    assert face["landmarks"] is None
    crop = crop_face(np.asarray(scene(BOX)), FoundFace(BOX, None, 0.9), 16, 1)
    wanted = classifier.probabilities(crop[None])[0]
    scores = face["models"]["expression"]["scores"]
    np.testing.assert_allclose([scores[name] for name in NAMES], wanted, atol=2e-6)
    assert face["models"]["expression"]["label"] == NAMES[int(wanted.argmax())]
    assert "gaze" not in face
    for form in ({"image": ("a.png", data, "image/png")}, {"whatever": ("b", data)}):
        assert client.post("/analyze", files=form, data={"note": "x"}).json()["faces"] == found["faces"]


def test_several_models_and_ready_crops(client: httpx.Client) -> None:
    data = encoded(scene(BOX))
    (face,) = client.post("/analyze?models=before,expression,before", content=data).json()["faces"]
    assert list(face["models"]) == ["before", "expression"]
    assert face["models"]["before"]["scores"] != face["models"]["expression"]["scores"]
    (whole,) = client.post("/analyze?faces=whole", content=data).json()["faces"]
    assert whole["box"] == [25, 0, 150, 150]  # the middle square
    nobody = client.post("/analyze", content=encoded(Image.new("RGB", (64, 64), (10, 20, 30))))
    assert nobody.json()["faces"] == []
    missing = client.post("/analyze?models=nobody", content=data)
    assert missing.status_code == 404
    assert "Served: expression, before" in missing.json()["error"]
    assert client.post("/analyze?faces=some", content=data).status_code == 400
    assert client.post("/analyze?gaze=true", content=data).status_code == 400


def rotated() -> bytes:
    """A photo held upright but stored on its side: EXIF orientation 6."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(scene(BOX).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


def rotated_tiff() -> bytes:
    """As a scanner leaves one: Pillow gives the size of a TIFF upright, of other files as it is stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(scene(BOX).transpose(Image.Transpose.ROTATE_90), "TIFF", exif=exif)


def animated() -> bytes:
    frames = [scene(BOX), Image.new("RGB", (200, 150), (9, 9, 9))]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def transparent() -> bytes:
    """Alpha lies over white, so what is see-through is what the detector finds."""
    image = Image.new("RGBA", (200, 150), (90, 90, 90, 255))
    image.paste((0, 0, 0, 0), (40, 30, 100, 80))
    return encoded(image)


def deep() -> bytes:
    grey = np.full((150, 200), 90 * 257, np.uint16)
    grey[30:80, 40:100] = 65535
    return encoded(Image.fromarray(grey))


@pytest.mark.parametrize("make", [rotated, rotated_tiff, animated, transparent, deep])
def test_odd_pictures_are_read_as_people_see_them(client: httpx.Client, make: object) -> None:
    answer = client.post("/analyze", content=make()).json()  # type: ignore[operator]
    assert (answer["width"], answer["height"]) == (200, 150)
    (face,) = answer["faces"]
    np.testing.assert_allclose(face["box"], BOX, atol=6)


def test_a_large_photo_is_reduced_and_boxes_stay_in_its_own_pixels(client: httpx.Client) -> None:
    image = scene((4000, 3000, 6000, 5000), (12_000, 9_000))  # 108 megapixels
    answer = client.post("/analyze", content=encoded(image, "JPEG", quality=60))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["width"], answer.json()["height"]) == (12_000, 9_000)
    np.testing.assert_allclose(answer.json()["faces"][0]["box"], (4000, 3000, 6000, 5000), atol=40)


def too_many_pixels() -> bytes:
    return encoded(Image.new("1", (10_000, 10_000)))


def truncated() -> bytes:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
    return encoded(noise, "JPEG")[:9000]


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"hello" * 100, 400, "no image"),
        (b"%PDF-1.4", 400, "no image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, 400, ""),
        (truncated, 400, "damaged"),
        (too_many_pixels, 413, "10000 x 10000 pixels; the limit is 50 megapixels"),
        (b"x" * 8_000_001, 413, "larger than 8 MB"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    client: httpx.Client, data: object, status: int, words: str
) -> None:
    body = data() if callable(data) else data
    answer = client.post("/analyze", content=body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data"),
        (b"nothing", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\ntext\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (b'--x\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\nab', "multipart/form-data; boundary=x"),
    ],
)
def test_a_form_without_a_whole_file_is_refused(client: httpx.Client, body: bytes, kind: str) -> None:
    answer = client.post("/analyze", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert "error" in answer.json()


def test_a_body_without_a_length_is_held_to_the_limit(client: httpx.Client) -> None:
    def endless() -> object:
        for _ in range(9):
            yield b"x" * 1_000_000

    assert client.post("/analyze", content=endless()).status_code == 413  # type: ignore[arg-type]
    squeezed = client.post("/analyze", content=b"x", headers={"Content-Encoding": "br"})
    assert squeezed.status_code == 415
    assert io.BytesIO(client.get("/emoji/happy.png").content).read(4) == b"\x89PNG"


def test_drawn_faces_are_found_and_read_by_the_real_detector(model_file: Path) -> None:
    detector = open_detector("yunet", max_side=640)
    picture = np.full((360, 640, 3), 170, np.uint8)
    for seed, left in ((5, 40), (9, 340)):
        head = render_rgba(Face.sample(seed, "happy", identity=seed, difficulty=0.0), 260).astype(np.float32)
        part = picture[60:320, left : left + 260]
        part[:] = part + (head[..., :3] - part) * (head[..., 3:] / 255)
    server = Server(lambda: [source_of("expression", model_file)], Eyes(detector), config(), device="cpu")
    with server.background() as listening:
        answer = httpx.post(f"{listening.url}/analyze", content=encoded(Image.fromarray(picture)), timeout=60).json()
    faces = sorted(answer["faces"], key=lambda face: face["box"][0])
    assert len(faces) == 2
    for face, left in zip(faces, (40, 340), strict=True):
        x, y, width, height = face["box"]
        assert abs(x + width / 2 - (left + 130)) < 20
        assert len(face["landmarks"]) == 5
        assert all(x - 5 <= px <= x + width + 5 and y - 5 <= py <= y + height + 5 for px, py in face["landmarks"])
        assert sum(face["models"]["expression"]["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_gazes_come_where_the_server_knows_them(model_file: Path) -> None:
    eyes = Eyes(Bright(), Staring())  # type: ignore[arg-type]
    server = Server(lambda: [source_of("expression", model_file)], eyes, config(), device="cpu")
    with server.background() as listening, httpx.Client(base_url=listening.url, timeout=60) as client:
        (face,) = client.post("/analyze?gaze=true", content=encoded(scene(BOX))).json()["faces"]
        assert face["gaze"] == {"yaw": 25.0, "pitch": 0.0, "closed": 0.2}  # head and eyes together
        (face,) = client.post("/analyze", content=encoded(scene(BOX))).json()["faces"]
        assert "gaze" not in face
        assert client.get("/models").json()["attention"] is True


def test_faces_too_narrow_are_left_out_as_predict_does(model_file: Path) -> None:
    for least, faces in ((60.0, 1), (61.0, 0)):
        eyes = Eyes(Bright(), min_face=least)
        server = Server(lambda: [source_of("expression", model_file)], eyes, config(), device="cpu")
        with server.background() as listening:
            answer = httpx.post(f"{listening.url}/analyze", content=encoded(scene(BOX)), timeout=60)
        assert len(answer.json()["faces"]) == faces


class Crowd:
    """Finds twenty faces everywhere."""

    name = "crowd"

    def detect(self, image: np.ndarray) -> list[FoundFace]:
        return [FoundFace((5.0 * i, 5.0, 20.0, 20.0), None, 0.9) for i in range(20)]


def test_of_whom_no_gaze_was_looked_for_none_is_told(model_file: Path) -> None:
    """`null` says that a face shows no landmarks, as in profile; the page takes that for looking away."""
    eyes = Eyes(Crowd(), Staring())  # type: ignore[arg-type]
    server = Server(lambda: [source_of("expression", model_file)], eyes, config(), device="cpu")
    with server.background() as listening:
        answer = httpx.post(f"{listening.url}/analyze?gaze=true", content=encoded(scene(BOX)), timeout=60)
    assert ["gaze" in face for face in answer.json()["faces"]] == [True] * 12 + [False] * 8


def test_without_a_detector_ready_crops_are_read_still(model_file: Path) -> None:
    eyes = Eyes(None, why="The detector is damaged. Install ganfer again.")
    server = Server(lambda: [source_of("expression", model_file)], eyes, config(), device="cpu")
    with server.background() as listening, httpx.Client(base_url=listening.url, timeout=60) as client:
        refused = client.post("/analyze", content=encoded(scene(BOX)))
        assert (refused.status_code, refused.json()["error"][:70]) == (
            503, "This server finds no faces. The detector is damaged. Install ganfer ag"
        )  # fmt: skip
        (face,) = client.post("/analyze?faces=whole", content=encoded(scene(BOX))).json()["faces"]
        assert face["box"] == [25, 0, 150, 150]
        assert client.get("/models").json()["detector"] == "unavailable"
        assert client.get("/v2/health/ready").status_code == 200


def test_a_damaged_detector_of_its_own_does_not_stop_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "net.onnx"
    damaged.write_bytes(b"half")
    monkeypatch.setattr("ganfer.live.detect.YUNET", dataclasses.replace(YUNET, path=damaged))
    detector, why = detector_or_why(load_config(), None)
    assert detector is None
    assert "missing or damaged. Install ganfer again" in why
    with pytest.raises(GanferError, match="is no YuNet model"):
        detector_or_why(load_config(), damaged)  # the user's own file is said before anything starts
    whole, why = detector_or_why(load_config(overrides={"live.detector": "none"}), None)
    assert (whole is not None, why) == (True, "")
