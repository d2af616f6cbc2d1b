"""`predict` and `timeline` as stages of a workspace: which models, which detector, where the results go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import Predictor, load_classifier
from ganfer.classifier.catalogue import sources as catalogue
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import DataError
from ganfer.live.analyse import Analyser
from ganfer.live.detect import MAX_SIDE, open_detector
from ganfer.live.mesh import Landmarker, open_landmarker
from ganfer.live.opinion import Opinion, best_weight, blendshapes_of, fit, load_opinion, pooled, save_opinion
from ganfer.live.predict import Request, predict, slug
from ganfer.live.sources import Source, find_sources
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.workspace import Workspace

_VIDEO_SIDE = 640  # of a video's frames, where nothing is said: four times as fast as a photo's
_FIT_PER_CLASS, _WEIGH_IMAGES = 250, 500  # images the landmarks' opinion is fitted on, and weighed on


def open_classifiers(workspace: Workspace, names: Sequence[str], device: str) -> dict[str, Predictor]:
    """Classifiers by the name they are shown under.

    names: runs of the workspace, `before` and `after` of the newest report, folders or files, each as NAME or
    SHOWN=NAME. DataError when they know different classes.
    """
    found: dict[str, Predictor] = {s.name: load_classifier(s.file, device) for s in catalogue(workspace, names)}
    first_name, first = next(iter(found.items()))
    for name, other in found.items():
        if set(other.class_names) != set(first.class_names):
            raise DataError(
                f"{first_name} knows {', '.join(first.class_names)}; {name} knows {', '.join(other.class_names)}.",
                "Compare classifiers of the same classes.",
            )
    return found


@dataclass(frozen=True)
class Plan:
    """What `predict` will look at and where its results go. lines: in words."""

    sources: tuple[Source, ...]
    request: Request

    @property
    def lines(self) -> list[str]:
        kinds = Counter(source.kind for source in self.sources)
        found = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items())
        log = f", and {self.request.log}" if self.request.log else ""
        return [f"find and read the faces of {found}", f"write the results to {self.request.out}{log}"]


def predict_plan(
    workspace: Workspace, arguments: Sequence[str | Path | int], out: str | Path | None, request: Mapping[str, Any]
) -> Plan:
    """Finds the sources; a wrong path is said before any work. request: further fields of `Request`."""
    sources = tuple(find_sources([str(argument) for argument in arguments]))
    if not sources:
        raise DataError("No source was given.", "Give a picture, a video, a folder or a camera's number.")
    folder = Path(out) if out is not None else workspace.root / "predictions" / slug(Path(str(arguments[0])).name)
    if request.get("log") is not None:
        request = {**request, "log": Path(request["log"])}
    return Plan(sources, Request(out=folder, **request))


def predict_stage(
    workspace: Workspace,
    config: Config,
    plan: Plan,
    classifiers: Sequence[str],
    models: tuple[Path | None, Path | None] = (None, None),
    *,
    landmarks: bool = False,
) -> Result:
    """Open what is needed and analyse the sources. models: files of the detector and of the landmarker."""
    live = config.live
    moving = all(source.moving for source in plan.sources)
    side = live.max_side or (_VIDEO_SIDE if moving else MAX_SIDE)
    detector = open_detector(live.detector, models[0], live.min_score, side, tilted=not moving)
    opened = open_classifiers(workspace, classifiers, config.device)
    landmarker = open_landmarker(models[1]) if plan.request.attention or landmarks else None
    try:
        opinion = None
        if landmarks and landmarker is not None:
            opinion = need_opinion(workspace, next(iter(opened.values())), landmarker)
        analyser = Analyser(opened, detector, landmarker=landmarker, opinion=opinion, min_face=live.min_face)
        return predict(analyser, plan.sources, live, plan.request)
    finally:
        if landmarker is not None:
            landmarker.close()


def need_opinion(workspace: Workspace, classifier: Predictor, landmarker: Landmarker) -> Opinion:
    """The landmarks' opinion for the active data and this classifier: made once, its weight chosen on validation."""
    data = workspace.active_data
    if data is None:
        raise DataError("--landmarks learns from the data's training images.", "Add data: ganfer data add PATH.")
    path = workspace.root / "landmarks" / f"{data.digest[:12]}-{classifier.digest[:12]}.json"
    if path.is_file():
        return load_opinion(path)
    images = read_set(data.path)
    order = classifier.columns(images.class_names)  # other classes are said before the work
    train = _spread(images.of("train"), _FIT_PER_CLASS)
    val = _spread(images.of("val"), max(1, _WEIGH_IMAGES // len(images.class_names)))
    say(f"Learning what the landmarks of {len(train)} training images say about the expression, once.")
    with progress("landmarks", len(train) + len(val)) as advance:
        shapes = [blendshapes_of(np.asarray(part.images), landmarker, advance) for part in (train, val)]
    opinion = fit(shapes[0], train.labels, images.class_names)
    seen = np.array([i for i, one in enumerate(shapes[1]) if one is not None], dtype=np.int64)
    if not len(seen):
        raise DataError("No landmarks were found in the validation images.", "Leave --landmarks out for this data.")
    own = np.stack([opinion.probabilities(shapes[1][i] or {}) for i in seen])
    cnn = classifier.probabilities(np.asarray(val.images)[seen])[:, order]
    labels = val.labels[seen]
    weight = best_weight(cnn, own, labels)
    opinion = Opinion(opinion.class_names, opinion.shapes, opinion.coefficients, opinion.intercepts, weight)
    both = pooled(cnn, own, weight)
    measured = {
        "validation_faces": len(seen),
        "accuracy_of_classifier": float((cnn.argmax(axis=1) == labels).mean()),
        "accuracy_of_landmarks": float((own.argmax(axis=1) == labels).mean()),
        "accuracy_of_both": float((both.argmax(axis=1) == labels).mean()),
    }
    save_opinion(path, opinion, measured)
    say(
        f"On {len(seen)} validation faces: classifier {measured['accuracy_of_classifier']:.1%}, landmarks alone "
        f"{measured['accuracy_of_landmarks']:.1%}, both (weight {weight:g}) {measured['accuracy_of_both']:.1%}."
    )
    return opinion


def _spread(images: ImageSet, per_class: int) -> ImageSet:
    """At most so many images of each class, evenly over the set."""
    chosen: list[int] = []
    for k in range(len(images.class_names)):
        mine = np.flatnonzero(images.labels == k)
        places = np.linspace(0, len(mine) - 1, min(per_class, len(mine))).astype(int)
        chosen += mine[places].tolist()
    return images.select(np.array(sorted(chosen), dtype=np.int64))
