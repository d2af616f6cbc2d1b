"""Every face of every frame as a row: in CSV as they come, and at the end the same as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ganfer.live.faces import Attention, FaceResult
from ganfer.live.journal import Journal
from ganfer.live.mesh import BLENDSHAPES
from ganfer.live.videos import Frame
from ganfer.runtime.files import atomic_path
from ganfer.runtime.tables import TableWriter

NO_FACE = "no face"
_FACE = ("source", "frame", "seconds", "person", "x", "y", "width", "height", "detection", "expression", "confidence")
_ATTENTION = ("attention", "yaw", "pitch", "closed", "blinks", "calibrated")


def columns_of(
    models: Sequence[str], names: Sequence[str], *, attention: bool = False, blendshapes: bool = False
) -> list[str]:
    """The columns of a log, which the live page writes as well and `ganfer timeline` reads."""
    scores = [_column(models, model, name) for model in models for name in names]
    shapes = [f"b_{name}" for name in BLENDSHAPES] if blendshapes else []
    return [*_FACE, *(_ATTENTION if attention else ()), *scores, *shapes]


def _column(models: Sequence[str], model: str, name: str) -> str:
    """`p_happy` of the first model, `after.p_happy` of another."""
    return f"p_{name}" if model == models[0] else f"{model}.p_{name}"


class Recorder:
    """Writes rows as they come, each to the CSV file and to the journal. The CSV appears with the first row.

    attention, blendshapes: whether these columns are written.
    """

    def __init__(
        self,
        csv_path: Path,
        journal: Journal,
        models: Sequence[str],
        names: Sequence[str],
        *,
        attention: bool = False,
        blendshapes: bool = False,
    ) -> None:
        self.journal = journal
        self._path, self._models, self._names = csv_path, models, names
        self._attention, self._blendshapes = attention, blendshapes
        self._out: IO[str] | None = None
        self._csv: TableWriter | None = None

    def begin(self) -> None:
        """Open the CSV, with the rows that the journal kept; nothing to do when it is open."""
        if self._out is not None:
            return
        columns = columns_of(self._models, self._names, attention=self._attention, blendshapes=self._blendshapes)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._out = self._path.open("w", newline="", encoding="utf-8")
        self._csv = TableWriter(self._out, columns)
        for row in self.journal.rows():
            self._csv.write(self._flat(row))
        self._out.flush()

    def write(self, number: int, source: str, frame: Frame, faces: Sequence[FaceResult]) -> None:
        """The faces of one frame of the source with this number, in the original's pixels; or that there was none."""
        where = {"source": source, "frame": frame.index, "seconds": round(frame.seconds, 3)}
        rows = [self._row(where, frame, face) for face in faces]
        for row in rows or [{**where, **({"attention": NO_FACE} if self._attention else {})}]:
            self.begin()
            assert self._csv is not None
            self.journal.add(number, row)
            self._csv.write(self._flat(row))

    def flush(self) -> None:
        """What was written so far survives the end of this process."""
        self.journal.flush()
        if self._out is not None:
            self._out.flush()

    def close(self) -> None:
        if self._out is not None:
            self._out.close()

    def write_json(self, path: Path) -> None:
        """All rows nested, whole or not at all."""
        self.journal.flush()
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as out:
            out.write(json.dumps({"models": list(self._models), "classes": list(self._names)})[:-1] + ', "faces": [')
            for count, row in enumerate(self.journal.rows()):
                out.write((",\n" if count else "\n") + json.dumps(row, allow_nan=False))
            out.write("\n]}\n")

    def _row(self, where: dict[str, Any], frame: Frame, face: FaceResult) -> dict[str, Any]:
        across, down = frame.scale
        x, y, width, height = face.box
        row: dict[str, Any] = {
            **where,
            "person": face.track,
            "x": round(x * across, 1),
            "y": round(y * down, 1),
            "width": round(width * across, 1),
            "height": round(height * down, 1),
            **{"detection": round(face.detection, 3), "expression": face.label},
            "confidence": round(face.confidence, 4),
        }
        seen = face.attention
        if seen is not None:
            row |= {
                **{"attention": seen.state, "yaw": _rounded(seen.yaw), "pitch": _rounded(seen.pitch)},
                **{"closed": _rounded(seen.closed, 3), "blinks": seen.blinks, "calibrated": seen.calibrated},
            }
        row["scores"] = {
            model: {name: round(p, 4) for name, p in all_.items()} for model, all_ in face.by_model.items()
        }
        if self._blendshapes and face.mesh is not None:
            row["blendshapes"] = {name: round(face.mesh.blendshapes.get(name, 0.0), 4) for name in BLENDSHAPES}
        return row

    def _flat(self, row: dict[str, Any]) -> dict[str, Any]:
        flat = {key: value for key, value in row.items() if key not in ("scores", "blendshapes") and value is not None}
        for model, scores in row.get("scores", {}).items():
            flat |= {_column(self._models, model, name): p for name, p in scores.items()}
        flat |= {f"b_{name}": value for name, value in row.get("blendshapes", {}).items()}
        assert self._csv is not None
        return {key: value for key, value in flat.items() if key in self._csv.columns}


def face_of(row: dict[str, Any], frame: Frame) -> FaceResult:
    """A face as its row tells, in the pixels of the frame: enough to draw it again."""
    across, down = frame.scale
    attention = None
    if "calibrated" in row:
        told = [row[name] for name in _ATTENTION]
        attention = Attention(*told)
    box = (row["x"] / across, row["y"] / down, row["width"] / across, row["height"] / down)
    return FaceResult(box, None, row["detection"], row["scores"], row["person"], attention=attention)


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
