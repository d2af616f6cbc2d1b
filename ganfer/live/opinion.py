"""A second opinion: the expression as the landmarks' blendshapes tell it, fused with a classifier's scores.

A multinomial logistic regression over MediaPipe's blendshapes, fitted on the training images in which the landmarker
finds a face. Fused as a geometric mean (Hinton 2002, product of experts), whose weight is chosen on validation.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ganfer.errors import DataError
from ganfer.live.faces import Scores
from ganfer.live.geometry import Face
from ganfer.live.mesh import Landmarker, Mesh
from ganfer.runtime.files import write_json

FORMAT = 1
WEIGHTS = tuple(round(0.05 * step, 2) for step in range(13))  # of the landmarks, tried on validation: 0 to 0.6
_ENLARGED = 192  # crops are enlarged to this side before landmarks are searched
_LEAST = 30  # faces with landmarks, of all classes together
_PENALTY = 1.0  # inverse strength of the L2 regularisation


@dataclass(frozen=True, eq=False)
class Opinion:
    """What blendshapes say. coefficients: (K, B) float64 for `shapes`; intercepts: (K,). weight: 0 (ignored) .. 1."""

    class_names: tuple[str, ...]
    shapes: tuple[str, ...]
    coefficients: np.ndarray
    intercepts: np.ndarray
    weight: float

    def probabilities(self, blendshapes: Mapping[str, float]) -> np.ndarray:
        """(K,) of the landmarks alone."""
        values = np.array([blendshapes.get(name, 0.0) for name in self.shapes])
        logits = self.coefficients @ values + self.intercepts
        shifted = np.exp(logits - logits.max())
        result: np.ndarray = shifted / shifted.sum()
        return result

    def fused(self, scores: Scores, mesh: Mesh) -> Scores:
        """A classifier's calibrated scores with this opinion. DataError when it knows other classes."""
        if set(scores) != set(self.class_names):
            raise DataError(
                f"The landmarks' opinion knows {', '.join(self.class_names)}; the classifier {', '.join(scores)}.",
                "Leave --landmarks out for this classifier.",
            )
        own = dict(zip(self.class_names, self.probabilities(mesh.blendshapes), strict=True))
        first, second = np.array(list(scores.values())), np.array([own[name] for name in scores])
        return dict(zip(scores, pooled(first, second, self.weight).tolist(), strict=True))


def pooled(first: np.ndarray, second: np.ndarray, weight: float) -> np.ndarray:
    """Geometric mean of two distributions over the last axis, the second with this weight."""
    logs = (1 - weight) * np.log(np.maximum(first, 1e-9)) + weight * np.log(np.maximum(second, 1e-9))
    shares = np.exp(logs - logs.max(axis=-1, keepdims=True))
    result: np.ndarray = shares / shares.sum(axis=-1, keepdims=True)
    return result


def blendshapes_of(
    images: np.ndarray, landmarker: Landmarker, advance: Callable[..., None] | None = None
) -> list[dict[str, float] | None]:
    """The blendshapes of ready crops (N, C, S, S) uint8; None where no landmarks are found."""
    found = []
    for crop in images:
        picture = np.ascontiguousarray(np.broadcast_to(crop, (3, *crop.shape[1:])).transpose(1, 2, 0))
        picture = cv2.resize(picture, (_ENLARGED, _ENLARGED), interpolation=cv2.INTER_CUBIC)
        mesh = landmarker.look(picture, Face((0.0, 0.0, float(_ENLARGED), float(_ENLARGED)), None, 1.0, ready=True))
        found.append(mesh.blendshapes if mesh else None)
        if advance is not None:
            advance(1)
    return found


def fit(found: Sequence[Mapping[str, float] | None], labels: np.ndarray, class_names: Sequence[str]) -> Opinion:
    """The opinion that explains labels (N,) by blendshapes; of weight 0.5. DataError when too few images have any."""
    from sklearn.linear_model import LogisticRegression

    used = [i for i, shapes in enumerate(found) if shapes is not None]
    counts = np.bincount(labels[used], minlength=len(class_names)) if used else np.zeros(len(class_names), np.int64)
    if len(used) < _LEAST or (counts == 0).any():
        raise DataError(
            f"Landmarks were found in only {len(used)} training images"
            + "".join(f", in none of {name}" for name, n in zip(class_names, counts, strict=True) if not n)
            + ".",
            "Leave --landmarks out for this data.",
        )
    shapes = tuple(sorted(next(s for s in found if s is not None)))
    values = np.array([[one.get(name, 0.0) for name in shapes] for one in (found[i] for i in used) if one is not None])
    model = LogisticRegression(C=_PENALTY, max_iter=1000)
    model.fit(values, labels[used])
    coefficients, intercepts = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(class_names) == 2:  # scikit-learn keeps one row for two classes
        coefficients = np.concatenate((-coefficients, coefficients)) / 2
        intercepts = np.concatenate((-intercepts, intercepts)) / 2
    return Opinion(tuple(class_names), shapes, coefficients, intercepts, 0.5)


def best_weight(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float:
    """The weight of `second` (N, K) beside `first` (N, K) with the least log loss on held-out labels (N,)."""
    rows = np.arange(len(labels))
    losses = [-np.log(np.maximum(pooled(first, second, w)[rows, labels], 1e-12)).mean() for w in WEIGHTS]
    return WEIGHTS[int(np.argmin(losses))]


def save_opinion(path: Path, opinion: Opinion, measured: Mapping[str, Any]) -> None:
    """Write as JSON, with what was measured on validation."""
    write_json(
        path,
        {
            "format": FORMAT,
            "class_names": opinion.class_names,
            "shapes": opinion.shapes,
            "coefficients": opinion.coefficients,
            "intercepts": opinion.intercepts,
            "weight": opinion.weight,
            "measured": dict(measured),
        },
    )


def load_opinion(path: Path) -> Opinion:
    """An opinion as it was saved. DataError when the file is damaged."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["format"] != FORMAT:
            raise ValueError(f"format {saved['format']}")
        opinion = Opinion(
            tuple(saved["class_names"]),
            tuple(saved["shapes"]),
            np.array(saved["coefficients"], np.float64),
            np.array(saved["intercepts"], np.float64),
            float(saved["weight"]),
        )
        if opinion.coefficients.shape != (len(opinion.class_names), len(opinion.shapes)):
            raise ValueError("its sizes do not fit together")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise DataError(f"{path} is damaged ({error}).", "Remove it; the next --landmarks makes it anew.") from error
    return opinion
