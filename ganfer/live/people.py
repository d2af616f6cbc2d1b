"""Numbers of a log joined to people: who was away for a while comes back to the tracker under a new number.

A log in which never two are seen at once shows one person. Where several are, a number goes on from another that had
ended, nearest in place; `people` says how many there are where place does not tell. What is joined, doubtful or left
out is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganfer.errors import DataError
from ganfer.live.clock import as_clock
from ganfer.live.logs import Piece, Recording

_PASSING_SECONDS = 3.0  # someone seen for less passes by
_PASSING_SHARE, _PASSING_MOST = 0.02, 30.0  # and so does who is seen for less than this share and less than this time
_REACH = 2.0  # how far, in widths of the face, the same person may sit from where they were
_GROWTH = 2.0
_NAMED = 5  # passers-by that a note names

Box = tuple[float, float, float, float]


@dataclass(eq=False)
class Person:
    """Everything a log says of one person. frames: positions in the recording's clock, ascending."""

    name: str
    frames: np.ndarray
    scores: list[list[float]]
    states: list[str]
    blinks: int | None
    numbers: int = 1  # how many were joined


def people_of(recording: Recording, most: int | None, notes: list[str]) -> list[Person]:
    """The people of a recording, at most so many; adds to `notes` what was joined and left out."""
    if not recording.pieces:
        return []
    pieces = sorted(recording.pieces, key=lambda piece: piece.frames[0])
    ghosts = _ghosts(recording, pieces)
    stayed = [piece for piece in pieces if piece.number not in ghosts] or pieces
    at_once = _at_once(stayed, len(recording.clock))
    if most is not None and most < at_once:
        raise DataError(f"{recording.label} shows {at_once} people at once.", f"Give --people {at_once} or more.")
    groups = [stayed] if at_once == 1 and most in (None, 1) else _by_place(stayed, most)
    people = [_joined(group) for group in groups]
    kept = [person for person in people if not _passing(recording, person)]
    kept = kept or [person for person in people if _seconds(recording, person) >= _least(recording)]
    left = [_joined([piece]) for piece in pieces if not any(piece is other for other in stayed)]
    left += [person for person in people if person not in kept]
    notes += _said(recording, pieces, kept, left, at_once)
    return kept


def _said(
    recording: Recording, pieces: Sequence[Piece], kept: Sequence[Person], left: Sequence[Person], at_once: int
) -> list[str]:
    notes = []
    joined = sum(person.numbers for person in kept)
    if joined > len(kept):
        one = at_once == 1 and len(kept) == 1
        whom = "one viewer, since never two are seen at once" if one else f"{len(kept)} viewers, by their place"
        notes.append(f"{recording.label}: {joined} numbers were joined to {whom}.")
    if len(kept) > at_once > 0:
        notes.append(
            f"{recording.label}: at most {at_once} seen at once, yet {len(kept)} viewers: someone may have come back "
            f"under a new number. --people N joins them to N."
        )
    if left:
        named = [f"person {one.name} ({_seconds(recording, one):.1f} s at {_first(recording, one)})" for one in left]
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        notes.append(f"{recording.label}: left out as passing by: {', '.join(named[:_NAMED])}{more}.")
    return notes


def _first(recording: Recording, person: Person) -> str:
    return as_clock(max(0.0, recording.clock[int(person.frames[0])]))


def _least(recording: Recording) -> float:
    """Seconds for which a viewer is seen at least: three, or half of a shorter recording."""
    return min(_PASSING_SECONDS, 0.5 * (recording.clock[-1] - recording.clock[0]))


def _seconds(recording: Recording, person: Person | Piece) -> float:
    return len(person.frames) * recording.step


def _passing(recording: Recording, person: Person) -> bool:
    seen, whole = _seconds(recording, person), recording.clock[-1] - recording.clock[0]
    return seen < _least(recording) or seen < min(_PASSING_SHARE * whole, _PASSING_MOST)


def _ghosts(recording: Recording, pieces: Sequence[Piece]) -> set[str]:
    """Numbers of a moment that are seen beside a longer one: a passer-by, a poster; not a part of who was alone."""
    short = [piece for piece in pieces if _seconds(recording, piece) < _least(recording)]
    long = [set(piece.frames) for piece in pieces if _seconds(recording, piece) >= _least(recording)]
    return {piece.number for piece in short if any(not other.isdisjoint(piece.frames) for other in long)}


def _at_once(pieces: Sequence[Piece], frames: int) -> int:
    count = np.zeros(frames, np.int64)
    for piece in pieces:
        count[piece.frames] += 1
    return int(count.max(initial=0))


def _by_place(pieces: Sequence[Piece], most: int | None) -> list[list[Piece]]:
    """Every piece goes on from the nearest one that had ended; beyond reach only where there are `most` already."""
    groups: list[list[Piece]] = []
    taken: list[set[int]] = []
    for piece in pieces:
        frames = set(piece.frames)
        free = [i for i in range(len(groups)) if taken[i].isdisjoint(frames)]
        near = [(_distance(groups[i][-1].boxes[-1], piece.boxes[0]), i) for i in free]
        distance, place = min(near, default=(np.inf, -1))
        full = most is not None and len(groups) >= most
        if place >= 0 and (distance <= _REACH or full):
            groups[place].append(piece)
            taken[place] |= frames
        else:
            groups.append([piece])
            taken.append(frames)
    return groups


def _distance(before: Box | None, after: Box | None) -> float:
    """Between the middles, in widths; infinite for faces of very different size, or without boxes."""
    if before is None or after is None or not 1 / _GROWTH <= after[2] / before[2] <= _GROWTH:
        return float("inf")
    apart = np.hypot(
        before[0] + before[2] / 2 - after[0] - after[2] / 2, before[1] + before[3] / 2 - after[1] - after[3] / 2
    )
    return float(apart / ((before[2] + after[2]) / 2))


def _joined(pieces: Sequence[Piece]) -> Person:
    frames = np.concatenate([np.array(piece.frames, np.int64) for piece in pieces])
    order = np.argsort(frames, kind="stable")
    scores = [row for piece in pieces for row in piece.scores]
    states = [state for piece in pieces for state in piece.states]
    blinks = [piece.blinks for piece in pieces if piece.blinks is not None]
    return Person(
        pieces[0].number,
        frames[order],
        [scores[k] for k in order],
        [states[k] for k in order],
        sum(blinks) if blinks else None,
        len(pieces),
    )
