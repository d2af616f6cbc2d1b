"""The two small public networks that faces in the wild need: the detector is in the package, the landmarker is
downloaded once; a file of the user's replaces either."""

from dataclasses import dataclass
from pathlib import Path

from ganfer.errors import GanferError
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_of


@dataclass(frozen=True)
class ModelFile:
    """A public network. option: the command-line option that takes a file of the user's instead."""

    name: str
    sha256: str
    option: str

    def given(self, file: str | Path) -> Path:
        """A file of the user's, as it is. GanferError when there is none."""
        path = Path(file)
        if not path.is_file():
            raise GanferError(f"{path} is no file.", f"Give the {self.name} with {self.option} FILE, or leave it out.")
        return path


@dataclass(frozen=True)
class Shipped(ModelFile):
    """A network inside the package."""

    path: Path

    def file(self, given: str | Path | None = None) -> Path:
        """The given file, else the package's, held to its digest. GanferError when it is gone or changed."""
        if given is not None:
            return self.given(given)
        try:
            intact = digest_of(self.path) == self.sha256
        except OSError:
            intact = False
        if not intact:
            raise GanferError(
                f"{self.path}, the {self.name} that comes with ganfer, is missing or damaged.",
                f"Install ganfer again, or give a file of yours with {self.option} FILE.",
            )
        return self.path


@dataclass(frozen=True)
class Download(ModelFile):
    """A network from its publisher."""

    url: str
    size: str
    licence: str

    def file(self, given: str | Path | None = None) -> Path:
        """The given file, else the cache's ($GANFER_CACHE or ~/.cache/ganfer), downloaded once and held to its digest.

        GanferError when the download fails.
        """
        if given is not None:
            return self.given(given)
        from stylegan_bridge import BridgeError, fetch

        told: list[str] = []

        def announce(done: int, total: int | None) -> None:
            del done, total
            if not told:
                told.append(self.name)
                say(f"Downloading the {self.name} ({self.size}, {self.licence}), once, from {self.url}")

        try:
            return fetch(self.url, sha256=self.sha256, progress=announce)
        except BridgeError as error:
            raise GanferError(
                f"{error}.".replace("..", "."), f"Or give a file of yours with {self.option} FILE."
            ) from error


YUNET = Shipped(
    "YuNet face detector",
    "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
    "--detector-model",
    Path(__file__).parent / "yunet" / "face_detection_yunet_2026may.onnx",
)
"""MIT licence, beside the file."""
LANDMARKER = Download(
    "MediaPipe face landmarker",
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    "--landmarker-model",
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    "3.8 MB",
    "Apache 2.0",
)
