"""From frames to expressions: detection per frame, then all faces of all frames through each classifier in batches."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ganfer.errors import GanferError
from ganfer.live.crop import FER, Framing, crop_face
from ganfer.live.detect import Detector
from ganfer.live.faces import FaceResult, Scores
from ganfer.live.geometry import Face

if TYPE_CHECKING:
    from classifiers import Predictor
    from ganfer.live.mesh import Landmarker, Mesh
    from ganfer.live.opinion import Opinion


class Analyser:
    """A detector and one or more classifiers. One analyser may be used by several threads."""

    def __init__(
        self,
        classifiers: "Predictor | Mapping[str, Predictor]",
        detector: Detector,
        *,
        landmarker: "Landmarker | None" = None,
        opinion: "Opinion | None" = None,
        framing: Framing = FER,
        min_face: float = 0.0,
        batch_size: int = 256,
    ) -> None:
        """classifiers: one, or several by the name they are shown under. landmarker: adds a mesh to every face;
        opinion: and what the mesh says about the expression. min_face: narrower faces are left out, pixels."""
        self.classifiers: dict[str, Predictor] = (
            dict(classifiers) if isinstance(classifiers, Mapping) else {"classifier": classifiers}
        )
        if not self.classifiers:
            raise GanferError("No classifier was given.", "Train one: ganfer train classifier.")
        self.landmarker, self.opinion = landmarker, opinion
        self.detector, self.framing, self.min_face, self.batch_size = detector, framing, min_face, batch_size

    @property
    def class_names(self) -> list[str]:
        """The expressions of the first classifier."""
        return list(next(iter(self.classifiers.values())).class_names)

    def analyse(self, frames: Sequence[np.ndarray], across: Sequence[float] = ()) -> list[list[FaceResult]]:
        """The faces of every frame ((H, W, 3) uint8 RGB), each with every classifier's calibrated scores.

        across: how many of the original's pixels a frame's are wide, for `min_face`; 1 where none is given.
        """
        found = [self.detect(frame, wide) for frame, wide in zip(frames, across or [1.0] * len(frames), strict=True)]
        return self.classify(frames, found)

    def detect(self, frame: np.ndarray, across: float = 1.0) -> list[Face]:
        """The faces of one frame, the surest first."""
        return [face for face in self.detector.detect(frame) if face.box[2] * across >= self.min_face]

    def classify(self, frames: Sequence[np.ndarray], found: Sequence[Sequence[Face]]) -> list[list[FaceResult]]:
        """The scores of faces that are already found."""
        pairs = [(frame, face) for frame, faces in zip(frames, found, strict=True) for face in faces]
        if not pairs:
            return [[] for _ in found]
        columns: dict[str, list[Scores]] = {}
        crops: dict[tuple[int, int], np.ndarray] = {}
        for name, classifier in self.classifiers.items():
            shape = (classifier.channels, classifier.size)
            if shape not in crops:
                crops[shape] = self.crops(pairs, *shape)
            probabilities = classifier.probabilities(crops[shape], batch_size=self.batch_size)
            columns[name] = [dict(zip(classifier.class_names, map(float, row), strict=True)) for row in probabilities]
        meshes = [self.landmarker.look(frame, face) if self.landmarker else None for frame, face in pairs]
        results = iter(
            [
                FaceResult(face.box, face.landmarks, face.score, self._scores(columns, i, mesh), mesh=mesh)
                for i, ((_, face), mesh) in enumerate(zip(pairs, meshes, strict=True))
            ]
        )
        return [[next(results) for _ in faces] for faces in found]

    def _scores(self, columns: Mapping[str, Sequence[Scores]], i: int, mesh: "Mesh | None") -> dict[str, Scores]:
        """Face i's scores by every classifier, with the opinion of its landmarks where there is one."""
        rows = {name: rows[i] for name, rows in columns.items()}
        if self.opinion is None or mesh is None:
            return rows
        return {name: self.opinion.fused(scores, mesh) for name, scores in rows.items()}

    def crops(self, pairs: Sequence[tuple[np.ndarray, Face]], channels: int, size: int) -> np.ndarray:
        """What the classifier sees of at least one face: (N, channels, size, size) uint8."""
        return np.stack([crop_face(frame, face, size, channels, self.framing) for frame, face in pairs])
