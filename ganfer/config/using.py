"""A classifier in use: photos, videos, the server."""

from dataclasses import dataclass

from ganfer.config.fields import setting
from ganfer.errors import ConfigError
from ganfer.runtime.text import hide_secrets


@dataclass(frozen=True)
class ServeConfig:
    """The server: `ganfer serve`."""

    host: str = setting("127.0.0.1", "address to listen on; any other than this machine's own needs a token")
    port: int = setting(8501, "port to listen on; 0 = any free one", low=0, high=65_535)
    backend: str = setting("torch", "what computes: torch or ONNX Runtime", choices=("torch", "onnx"))
    batch: int = setting(64, "images computed together at most", low=1, high=4096)
    batch_wait_ms: float = setting(5.0, "longest wait of an image for others to be computed with it", low=0, high=1000)
    queue: int = setting(1024, "images that may wait; beyond it clients are told to come back later (429)", low=1)
    max_upload_mb: float = setting(20.0, "largest request body, in MB", low=0.01, high=1024)
    timeout: float = setting(30.0, "seconds until a request is given up", low=0.1, high=3600)
    reload_seconds: float = setting(2.0, "how often to look for a newer finished model; 0 = never", low=0)


@dataclass(frozen=True)
class TrackingConfig:
    """Experiment trackers: who is told of trainings and measurements."""

    to: str = setting("tensorboard", "trackers, comma-separated: tensorboard, mlflow, what packages register; or none")
    uri: str = setting("", "MLflow's server, http://HOST:5000; empty = $MLFLOW_TRACKING_URI or a file of the workspace")
    experiment: str = setting("", "name of the experiment; empty = ganfer")

    def __post_init__(self) -> None:
        if hide_secrets(self.uri) != self.uri:
            raise ConfigError(
                f"tracking.uri = {hide_secrets(self.uri)!r} holds a user or a password.",
                "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or all of it as MLFLOW_TRACKING_URI.",
            )


@dataclass(frozen=True)
class LiveConfig:
    """Faces in the wild: `ganfer predict`."""

    detector: str = setting(
        "yunet", "what finds the faces; none: every picture is a ready crop", choices=("yunet", "none")
    )
    min_score: float = setting(0.7, "how sure the detector must be of a face", low=0.01, high=0.99)
    max_side: int = setting(
        0, "pictures are searched at this many pixels on the longer side; 0 = 1280, of videos 640", low=0, high=8192
    )
    min_face: float = setting(0.0, "faces narrower than this many pixels are left out", low=0)
    smooth: float = setting(0.5, "time constant in seconds of the average over a person's scores; 0 = none", low=0)
    forget: float = setting(2.0, "seconds out of sight after which a person gets a new number", low=0)
    calibrate: float = setting(
        5.0, "seconds of each person's beginning that show where the screen is; 0 = at the camera", low=0
    )
    away_yaw: float = setting(18.0, "degrees to the side from which a person looks away", low=1, high=90)
    away_pitch: float = setting(15.0, "degrees up or down from which a person looks away", low=1, high=90)
