"""Logs of a made-up lecture, as `ganfer predict --attention --log` writes them."""

import csv
from pathlib import Path

import numpy as np

NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def write_log(
    path: Path,
    *,
    seed: int = 0,
    seconds: int = 600,
    joke: tuple[int, int] = (150, 180),
    hard: tuple[int, int] = (380, 420),
    away: tuple[int, int] = (500, 540),
    gone: tuple[int, int] = (60, 75),
    attention: bool = True,
) -> Path:
    """One viewer who laughs at the joke, frowns at the hard part, looks away and leaves for a while."""
    rng = np.random.default_rng(seed)
    columns = ["source", "frame", "seconds", "person", "expression", "confidence"]
    columns += ["attention", "yaw", "pitch", "closed", "blinks", "calibrated"] if attention else []
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*columns, *(f"p_{name}" for name in NAMES)], restval="")
        writer.writeheader()
        for second in range(seconds):
            where = {"source": f"{path.stem}.mp4", "frame": second, "seconds": second}
            if gone[0] <= second < gone[1]:
                writer.writerow(where | ({"attention": "no face"} if attention else {}))
                continue
            weights = np.array([0.3, 0.2, 0.3, 0.6, 0.8, 0.3, 5.0])
            if joke[0] <= second < joke[1]:
                weights[3] += 9
            if hard[0] <= second < hard[1]:
                weights[[0, 2, 4]] += 3
            p = rng.dirichlet(weights * 2)
            row = where | {"person": 1, "expression": NAMES[int(p.argmax())], "confidence": round(float(p.max()), 4)}
            if attention:
                looks = away[0] <= second < away[1]
                row |= {"attention": "looking away" if looks else "attentive", "yaw": 40 if looks else 0, "pitch": 0}
                row |= {"closed": 0.1, "blinks": second // 4, "calibrated": True}
            writer.writerow(row | {f"p_{name}": round(float(v), 4) for name, v in zip(NAMES, p, strict=True)})
    return path
