"""Every face of every frame as a row: streamed to CSV and JSON, each file whole or not there."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from ganfer.live.faces import FaceResult
from ganfer.live.sources import Frame
from ganfer.runtime.files import atomic_path

NO_FACE = "no face"
_FACE = ("source", "frame", "seconds", "person", "x", "y", "width", "height", "detection", "expression", "confidence")
_ATTENTION = ("attention", "yaw", "pitch", "closed", "blinks", "calibrated")


class Recorder:
    """Writes rows to both files as they come."""

    def __init__(
        self, csv_out: IO[str], json_out: IO[str], models: Sequence[str], names: Sequence[str], attention: bool
    ) -> None:
        self._models, self._attention = models, attention
        scores = [self._column(model, name) for model in models for name in names]
        self._csv = csv.DictWriter(csv_out, [*_FACE, *(_ATTENTION if attention else ()), *scores], restval="")
        self._csv.writeheader()
        self._json = json_out
        self.count = 0

    def _column(self, model: str, name: str) -> str:
        """`p_happy` of the first model, `after.p_happy` of another."""
        return f"p_{name}" if model == self._models[0] else f"{model}.p_{name}"

    def write(self, source: str, frame: Frame, faces: Sequence[FaceResult]) -> None:
        """The faces of one frame; with attention, also that there was none."""
        for face in faces:
            self._row(source, frame, face)
        if not faces and self._attention:
            self._put({**_where(source, frame), "attention": NO_FACE}, {**_where(source, frame), "attention": NO_FACE})

    def _row(self, source: str, frame: Frame, face: FaceResult) -> None:
        x, y, width, height = (round(value, 1) for value in face.box)
        row: dict[str, Any] = {
            **_where(source, frame),
            **{"person": face.track, "x": x, "y": y, "width": width, "height": height},
            **{"detection": round(face.detection, 3), "expression": face.label},
            "confidence": round(face.confidence, 4),
        }
        seen = face.attention
        if seen is not None:
            row |= {
                **{"attention": seen.state, "yaw": _rounded(seen.yaw), "pitch": _rounded(seen.pitch)},
                **{"closed": _rounded(seen.closed, 3), "blinks": seen.blinks, "calibrated": seen.calibrated},
            }
        scores = {model: {name: round(p, 4) for name, p in values.items()} for model, values in face.by_model.items()}
        flat = {self._column(model, name): p for model, values in scores.items() for name, p in values.items()}
        self._put({**row, **flat}, {**row, "scores": scores})

    def _put(self, flat: dict[str, Any], nested: dict[str, Any]) -> None:
        self._csv.writerow({key: "" if value is None else value for key, value in flat.items()})
        self._json.write((",\n" if self.count else "\n") + json.dumps(nested, allow_nan=False))
        self.count += 1


@contextmanager
def recording(
    csv_path: Path, json_path: Path, models: Sequence[str], names: Sequence[str], attention: bool
) -> Iterator[Recorder]:
    """A recorder whose files take their places when the block ends well."""
    with ExitStack() as stack:
        csv_place, json_place = (stack.enter_context(atomic_path(path)) for path in (csv_path, json_path))
        csv_out = stack.enter_context(csv_place.open("w", newline="", encoding="utf-8"))
        json_out = stack.enter_context(json_place.open("w", encoding="utf-8"))
        json_out.write(json.dumps({"models": list(models), "classes": list(names)})[:-1] + ', "faces": [')
        yield Recorder(csv_out, json_out, models, names, attention)
        json_out.write("\n]}\n")


def _where(source: str, frame: Frame) -> dict[str, Any]:
    return {"source": source, "frame": frame.index, "seconds": round(frame.seconds, 3)}


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
