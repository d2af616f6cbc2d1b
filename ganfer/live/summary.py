"""What was seen in each source: counted while it runs, and put into words and tables."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ganfer.live.faces import FaceResult, best
from ganfer.live.sources import MediaSource
from ganfer.live.videos import Frame
from ganfer.results import table

_LINES = 40  # of a table in the terminal


@dataclass
class Person:
    """One person of one source, added up over frames."""

    frames: int = 0
    first: float = 0.0
    last: float = 0.0
    attentive: int = 0
    judged: int = 0
    blinks: int | None = None
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    labels: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, face: FaceResult, seconds: float) -> None:
        self.first = seconds if not self.frames else self.first
        self.last, self.frames = seconds, self.frames + 1
        for model, scores in face.by_model.items():
            total = self.scores.setdefault(model, dict.fromkeys(scores, 0.0))
            for name, value in scores.items():
                total[name] += value
            self.labels[model][best(scores)[0]] += 1
        if face.attention is not None:
            self.judged += 1
            self.attentive += face.attention.state == "attentive"
            self.blinks = face.attention.blinks

    def figures(self) -> dict[str, Any]:
        """Mean scores and share of frames per expression, by model; attention where it was measured."""
        found: dict[str, Any] = {
            "frames": self.frames,
            "first_seconds": round(self.first, 3),
            "last_seconds": round(self.last, 3),
            "models": {
                model: {
                    "mean_scores": {name: round(value / self.frames, 4) for name, value in scores.items()},
                    "share_of_frames": {n: round(c / self.frames, 4) for n, c in self.labels[model].most_common()},
                }
                for model, scores in self.scores.items()
            },
        }
        if self.judged:
            found |= {"attentive": round(self.attentive / self.judged, 4), "blinks": self.blinks}
        return found


@dataclass
class Seen:
    """One source, added up over its frames."""

    source: MediaSource
    frames: int = 0
    faces: int = 0
    faceless: int = 0
    last: float = 0.0
    index: int = 0  # of the last frame
    people: dict[int, Person] = field(default_factory=lambda: defaultdict(Person))
    picture: str | None = None

    def add(self, frame: Frame, faces: Sequence[FaceResult]) -> None:
        self.frames += 1
        self.faces += len(faces)
        self.faceless += not faces
        self.last, self.index = frame.seconds, frame.index
        for number, face in enumerate(faces, 1):
            self.people[face.track or number].add(face, frame.seconds)

    def state(self) -> dict[str, Any]:
        """As JSON, to go on from with `restore`."""
        kept = {name: getattr(self, name) for name in ("frames", "faces", "faceless", "last", "index", "picture")}
        people = {
            str(number): {**vars(person), "labels": {model: dict(counts) for model, counts in person.labels.items()}}
            for number, person in self.people.items()
        }
        return {**kept, "people": people, "notes": list(self.source.notes)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        for name in ("frames", "faces", "faceless", "last", "index", "picture"):
            setattr(self, name, state[name])
        for number, saved in state["people"].items():
            labels = {model: Counter(counts) for model, counts in saved["labels"].items()}
            self.people[int(number)] = Person(**{**saved, "labels": defaultdict(Counter, labels)})
        self.source.notes[:] = state["notes"]

    def figures(self) -> dict[str, Any]:
        return {
            "source": self.source.name,
            "kind": self.source.kind,
            "frames": self.frames,
            "faces": self.faces,
            "frames_without_face": self.faceless,
            "seconds": round(self.last, 3),
            "people": {str(number): person.figures() for number, person in sorted(self.people.items())},
            "picture": self.picture,
            "notes": list(self.source.notes),
        }


def lines_of(seen: Sequence[Seen], models: Sequence[str]) -> list[str]:
    """A table for the terminal: a line per face of a photo, per person of a video."""
    attention = any(person.judged for one in seen for person in one.people.values())
    header = ["source", "face", "frames", *(f"{model}" if len(models) > 1 else "expression" for model in models)]
    rows: list[list[str]] = []
    for one in seen:
        if not one.people:
            rows.append([_short(one.source.name), "-", str(one.frames), *(["no face"] * len(models)), ""])
        for number, person in sorted(one.people.items()):
            said = [_expression(person, model) for model in models]
            attends = f"{person.attentive / person.judged:.0%}" if person.judged else ""
            rows.append([_short(one.source.name), str(number), str(person.frames), *said, attends])
    if attention:
        header.append("attentive")
    else:
        rows = [row[:-1] for row in rows]
    shown = table(header, rows[:_LINES], "<>>" + "<" * len(models) + (">" if attention else ""))
    return shown + ([f"... and {len(rows) - _LINES} more"] if len(rows) > _LINES else [])


def _expression(person: Person, model: str) -> str:
    """`happy 92%` of a photo; `happy 61%, neutral 30%` as shares of a video's frames."""
    if person.frames == 1:
        name, value = best(person.scores[model])
        return f"{name} {value:.0%}"
    return ", ".join(f"{name} {count / person.frames:.0%}" for name, count in person.labels[model].most_common(3))


def _short(name: str, longest: int = 40) -> str:
    return name if len(name) <= longest else "…" + name[-longest + 1 :]


def totals(seen: Sequence[Seen]) -> Mapping[str, int]:
    """Frames, faces and people of all sources together."""
    return {
        "frames": sum(one.frames for one in seen),
        "faces": sum(one.faces for one in seen),
        "people": sum(len(one.people) for one in seen),
    }
