"""A server for tests: two tiny classifiers in a workspace of their own, a detector that finds what the test painted."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from classifiers import create_model
from classifiers.files import save_weights
from ganfer.classifier.catalogue import ServedModel
from ganfer.config import ServeConfig, load_config
from ganfer.live.geometry import Face
from ganfer.live.mesh import Mesh
from ganfer.serve.photos import Eyes
from ganfer.serve.server import Server

NAMES = ("angry", "happy", "sad")
SIZE = 16


class Bright:
    """Finds the white rectangle in a picture, as a detector finds a face."""

    name = "bright"

    def detect(self, image: np.ndarray) -> list[Face]:
        ys, xs = np.nonzero(image.min(axis=2) > 250)
        if not len(xs):
            return []
        x, y = float(xs.min()), float(ys.min())
        return [Face((x, y, float(xs.max()) - x + 1, float(ys.max()) - y + 1), None, 0.9)]


class Staring:
    """A landmarker that knows where faces look without looking."""

    def look(self, image: np.ndarray, face: Face) -> Mesh:
        return Mesh(np.zeros((478, 2), np.float32), 10.0, -5.0, 0.0, 0.5, 0.25, 0.2, {})


def write_model(folder: Path, *, seed: int = 0, names: Sequence[str] = NAMES) -> Path:
    """An untrained grey classifier of 16 pixels, as training leaves one."""
    torch.manual_seed(seed)
    model = create_model("compact-small", len(names), 1, SIZE)
    folder.mkdir(parents=True, exist_ok=True)
    card = {
        "architecture": "compact-small",
        "class_names": list(names),
        "channels": 1,
        "size": SIZE,
        "temperature": 0.2,
    }
    save_weights(folder / "model.safetensors", model.state_dict(), card)
    return folder / "model.safetensors"


def source_of(name: str, file: Path) -> ServedModel:
    """A file as the catalogue gives it."""
    modified = file.stat().st_mtime_ns
    return ServedModel(name, file, modified // 1_000_000, f"{name} of a test", modified)


def server_of(sources: Sequence[ServedModel], *, token: str | None = None, **settings: object) -> Server:
    """A server on a free port of 127.0.0.1 with the detector above."""
    return Server(lambda: list(sources), Eyes(Bright()), config(**settings), device="cpu", token=token)


def config(**settings: object) -> ServeConfig:
    """Settings of a server in a test: any free port, no looking for newer models."""
    given = {"port": 0, "reload_seconds": 0, **settings}
    return load_config(overrides={f"serve.{name}": value for name, value in given.items()}).serve


def faces(n: int, seed: int = 0) -> np.ndarray:
    """(n, 1, 16, 16) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (n, 1, SIZE, SIZE), np.uint8)


def scene(box: tuple[int, int, int, int] = (40, 30, 60, 50), size: tuple[int, int] = (200, 150)) -> Image.Image:
    """A grey picture with a white rectangle at x, y, width, height."""
    image = Image.new("RGB", size, (90, 90, 90))
    image.paste((255, 255, 255), (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """An image as the bytes of a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()
