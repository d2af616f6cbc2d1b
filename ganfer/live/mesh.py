"""Face landmarks, iris and blendshapes from MediaPipe (extra `gaze`), per face that the detector found."""

import importlib
import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.errors import GanferError
from ganfer.live.geometry import Face, inverse, moved, similarity, tilt, warp
from ganfer.live.models import LANDMARKER

_PATCH_SIDE = 320  # the landmarker looks at an upright patch with the face in its middle
_PATCH_FACE = 0.5  # share of it that the face's box takes

BLENDSHAPES = (
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff"),
    *("cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft"),
    *("eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight"),
    *("eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight"),
    *("jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight"),
    *("mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft"),
    *("mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft"),
    *("mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    *("noseSneerLeft", "noseSneerRight"),
)
"""Action units as MediaPipe's network gives them, the ARKit names."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """What the landmarks of one face say.

    points: (478, 2) float32 pixels of the picture. yaw, pitch, roll: of the head, degrees; positive to the picture's
    right, upwards, and clockwise. gaze_x, gaze_y: of the eyes within the head, about -1..1, positive to the picture's
    right and upwards. closed: 0 (open) to 1, of the eyes. blendshapes: name -> 0..1.
    """

    points: np.ndarray
    yaw: float
    pitch: float
    roll: float
    gaze_x: float
    gaze_y: float
    closed: float
    blendshapes: dict[str, float]


class Landmarker:
    """MediaPipe's face landmarker. One may be used by several threads."""

    def __init__(self, model: Path) -> None:
        vision, mediapipe = _mediapipe()
        options = vision.FaceLandmarkerOptions(
            base_options=importlib.import_module("mediapipe.tasks.python").BaseOptions(model_asset_path=str(model)),
            num_faces=1,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
            min_face_detection_confidence=0.3,
            min_face_presence_confidence=0.3,
        )

        class Quiet(vision.FaceLandmarker):  # type: ignore[name-defined]
            """MediaPipe's own tries to close itself when the interpreter is already half gone, and fails loudly."""

            def __del__(self) -> None:
                if not sys.is_finalizing():
                    self.close()

        try:
            with _silent_stderr():
                network = Quiet.create_from_options(options)
                blank = np.zeros((_PATCH_SIDE, _PATCH_SIDE, 3), np.uint8)
                network.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=blank))
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).strip().splitlines()[0][:160]
            raise GanferError(
                f"{model} is no face landmarker that MediaPipe reads ({reason}).",
                f"Leave {LANDMARKER.option} out to download the right one.",
            ) from error
        self._lock, self._network, self._image = threading.Lock(), network, mediapipe.Image
        self._format = mediapipe.ImageFormat.SRGB

    def close(self) -> None:
        """Let MediaPipe's threads end."""
        self._network.close()

    def look(self, image: np.ndarray, face: Face) -> Mesh | None:
        """The mesh of one face in an (H, W, 3) uint8 RGB picture; None where no landmarks are found."""
        x, y, width, height = face.box
        angle = tilt(face.landmarks) if face.landmarks is not None else 0.0
        scale = _PATCH_FACE * _PATCH_SIDE / max(width, height)
        middle = (_PATCH_SIDE / 2, _PATCH_SIDE / 2)
        matrix = similarity((x + width / 2, y + height / 2), middle, scale, angle)
        patch = np.ascontiguousarray(warp(image, matrix, _PATCH_SIDE))
        with self._lock:
            found = self._network.detect(self._image(image_format=self._format, data=patch))
        if not found.face_landmarks or not found.face_blendshapes or not found.facial_transformation_matrixes:
            return None
        points = np.array([(p.x, p.y) for p in found.face_landmarks[0]], np.float64) * _PATCH_SIDE
        shapes = {shape.category_name: float(shape.score) for shape in found.face_blendshapes[0]}
        yaw, pitch, roll = head_angles(np.asarray(found.facial_transformation_matrixes[0]))
        gaze_x, gaze_y = eye_direction(shapes)
        return Mesh(
            points=moved(points, inverse(matrix)).astype(np.float32),
            yaw=yaw,
            pitch=pitch,
            roll=roll + math.degrees(angle),
            gaze_x=gaze_x,
            gaze_y=gaze_y,
            closed=(shapes.get("eyeBlinkLeft", 0.0) + shapes.get("eyeBlinkRight", 0.0)) / 2,
            blendshapes=shapes,
        )


def head_angles(matrix: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees from MediaPipe's (4, 4) face-to-camera matrix (x right, y up, z to the viewer)."""
    rotation = matrix[:3, :3] / np.cbrt(max(np.linalg.det(matrix[:3, :3]), 1e-9))
    forward, up = rotation[:, 2], rotation[:, 1]
    yaw = math.degrees(math.atan2(forward[0], forward[2]))
    pitch = math.degrees(math.asin(max(-1.0, min(1.0, float(forward[1])))))
    return yaw, pitch, math.degrees(math.atan2(up[0], up[1]))


def eye_direction(shapes: dict[str, float]) -> tuple[float, float]:
    """Where both eyes look within the head, from blendshapes; "left" is the person's, thus the picture's right."""

    def shape(name: str) -> float:
        return shapes.get(f"eyeLook{name}", 0.0)

    across = shape("OutLeft") - shape("InLeft") + shape("InRight") - shape("OutRight")
    up = shape("UpLeft") + shape("UpRight") - shape("DownLeft") - shape("DownRight")
    return across / 2, up / 2


def open_landmarker(model: str | Path | None = None) -> Landmarker:
    """MediaPipe's landmarker. model: its file, downloaded once where None. GanferError where the extra is missing."""
    _mediapipe()  # said before anything is downloaded
    return Landmarker(LANDMARKER.file(model))


def _mediapipe() -> tuple[Any, Any]:
    try:
        return importlib.import_module("mediapipe.tasks.python.vision"), importlib.import_module("mediapipe")
    except ModuleNotFoundError as error:
        raise GanferError(
            f"Attention and landmarks need MediaPipe ({error.name} is missing).",
            "Install it: pip install 'ganfer[gaze]'",
        ) from error


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """MediaPipe tells the terminal how it starts, below Python and with no way to ask it not to."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
