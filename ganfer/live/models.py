"""The two small public networks that faces in the wild need: a file of the user's, or downloaded once and checked."""

from dataclasses import dataclass
from pathlib import Path

from ganfer.errors import GanferError
from ganfer.runtime.console import say


@dataclass(frozen=True)
class ModelFile:
    """A public network. option: the command-line option that takes a file of the user's instead."""

    name: str
    url: str
    sha256: str
    size: str
    licence: str
    option: str


YUNET = ModelFile(
    "YuNet face detector",
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/"
    "face_detection_yunet_2026may.onnx",
    "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
    "230 kB",
    "MIT",
    "--detector-model",
)
LANDMARKER = ModelFile(
    "MediaPipe face landmarker",
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    "3.8 MB",
    "Apache 2.0",
    "--landmarker-model",
)


def model_path(known: ModelFile, given: str | Path | None = None) -> Path:
    """The network's file: the given one as it is, else the cache's, downloaded once and held to its digest.

    The cache is $GANFER_CACHE or ~/.cache/ganfer. GanferError when the given file is none; BridgeError when the
    download fails.
    """
    if given is not None:
        path = Path(given)
        if not path.is_file():
            raise GanferError(
                f"{path} is no file.", f"Give the {known.name} with {known.option} FILE, or leave it out."
            )
        return path
    from stylegan_bridge import BridgeError, fetch

    told: list[str] = []

    def announce(done: int, total: int | None) -> None:
        del done, total
        if not told:
            told.append(known.name)
            say(f"Downloading the {known.name} ({known.size}, {known.licence}), once, from {known.url}")

    try:
        return fetch(known.url, sha256=known.sha256, progress=announce)
    except BridgeError as error:
        raise GanferError(
            f"{error}.".replace("..", "."), f"Or give a file of yours with {known.option} FILE."
        ) from error
