"""`predict` and `timeline` as stages of a workspace: which models, which detector, where the results go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import Predictor
from ganfer.classifier.catalogue import listed
from ganfer.classifier.opened import open_found
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import DataError
from ganfer.live.analyse import Analyser
from ganfer.live.detect import MAX_SIDE, Detector, open_detector
from ganfer.live.films import check_films
from ganfer.live.folders import LeftOut
from ganfer.live.law import NOTICE
from ganfer.live.mesh import Landmarker, open_landmarker
from ganfer.live.opinion import Opinion, best_weight, blendshapes_of, fit, load_opinion, pooled, save_opinion
from ganfer.live.outputs import alone, check_outputs, default_folder, slug
from ganfer.live.predict import Request, check_window, predict
from ganfer.live.sources import MediaSource, find_sources
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.runtime.room import need_room
from ganfer.workspace import Workspace

_VIDEO_SIDE = 640  # of a video's frames, where nothing is said: four times as fast as a photo's
_FIT_PER_CLASS, _WEIGH_IMAGES = 250, 500  # images the landmarks' opinion is fitted on, and weighed on


def open_classifiers(workspace: Workspace, names: Sequence[str], device: str) -> dict[str, Predictor]:
    """Classifiers by the name they are shown under.

    names: runs of the workspace, `before` and `after` of the newest report, folders or files, each as NAME or
    SHOWN=NAME. DataError when they know different classes.
    """
    found: dict[str, Predictor] = {each.name: open_found(each, device).classifier for each in listed(workspace, names)}
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
    """What `predict` will look at and where its results go. lines: in words. notes: what is left out."""

    sources: tuple[MediaSource, ...]
    request: Request
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        kinds = Counter(source.kind for source in self.sources)
        found = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items())
        log = f", and {self.request.log}" if self.request.log else ""
        return [f"find and read the faces of {found}", *self.notes, f"write the results to {self.request.out}{log}"]


@dataclass
class Eyes:
    """What finds faces and, where asked for, their landmarks; opened before anything is trained."""

    detector: Detector
    landmarker: Landmarker | None


def predict_plan(
    workspace: Workspace, arguments: Sequence[str | Path | int], out: str | Path | None, request: Mapping[str, Any]
) -> Plan:
    """Finds the sources; a wrong path, place or window is said before any work. request: more fields of `Request`."""
    left_out = LeftOut()
    asked = [str(argument) for argument in arguments]
    sources = tuple(find_sources(asked, left_out, None if out is None else Path(out)))
    if not sources:
        raise DataError("No source was given.", "Give a picture, a video, a folder or a camera's number.")
    notes = left_out.lines()
    if out is None:
        parent, name = workspace.root / "predictions", Path(asked[0]).name
        folder = default_folder(parent, name, sources)
        if folder.name != slug(name):
            notes.append(f"{parent / slug(name)} holds the results of another file; these go to {folder}.")
    else:
        folder = Path(out)
    log = request.get("log")
    wanted = Request(out=folder, **{**request, "log": None if log is None else Path(log)})
    if wanted.show:
        check_window()
    if wanted.pictures and any(source.moving for source in sources):
        check_films()
    check_outputs(folder, wanted.log, sources)
    if wanted.pictures:
        need_room(
            folder,
            sum(source.copy_bytes(wanted.every, wanted.seconds) for source in sources),
            "The annotated copies",
            "Give --no-pictures, or an --out on another disk.",
        )
    return Plan(sources, wanted, tuple(notes))


def open_eyes(
    config: Config, plan: Plan, models: tuple[Path | None, Path | None] = (None, None), *, landmarks: bool = False
) -> Eyes:
    """The detector and, where it is needed, the landmarker. models: their files. GanferError says what is missing."""
    live = config.live
    moving = all(source.moving for source in plan.sources)
    side = live.max_side or (_VIDEO_SIDE if moving else MAX_SIDE)
    needed = plan.request.attention or plan.request.blendshapes or landmarks
    landmarker = open_landmarker(models[1]) if needed else None
    return Eyes(open_detector(live.detector, models[0], live.min_score, side, tilted=not moving), landmarker)


def predict_stage(
    workspace: Workspace, config: Config, plan: Plan, classifiers: Sequence[str], eyes: Eyes, *, landmarks: bool = False
) -> Result:
    """Open the classifiers and analyse the sources; lets go of the landmarker."""
    request, landmarker = plan.request, eyes.landmarker
    try:
        opened = open_classifiers(workspace, classifiers, config.device)
        opinion = None
        if landmarks and landmarker is not None:
            opinion = need_opinion(workspace, next(iter(opened.values())), landmarker)
        if request.attention or any(source.kind == "camera" for source in plan.sources):
            say(NOTICE)
        for note in plan.notes:
            say(note)
        analyser = Analyser(
            opened, eyes.detector, landmarker=landmarker, opinion=opinion, min_face=config.live.min_face
        )
        about = {"detector": eyes.detector.name, "landmarks": landmarks}
        with alone(request.out, request.csv_path):
            return predict(analyser, plan.sources, config.live, request, about=about, notes=plan.notes)
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
