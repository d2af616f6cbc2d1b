"""Example results in the report's format. Every figure is invented; the faces are noise."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

EXPRESSIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt"]
TRAIN = [3995, 436, 4097, 7215, 4830, 3171, 4965, 250]
TEST = [467, 56, 496, 895, 653, 415, 607, 30]
ARMS = {
    "original": ("Original", "The real training images as they are."),
    "synthetic": ("Synthetic", "Every class filled up to the largest with screened synthetic faces."),
    "oversample": ("Oversampling", "Rare classes drawn more often."),
    "class-weighted": ("Class weights", "Loss weighted by the inverse class frequency."),
    "logit-adjusted": ("Logit adjustment", "Logits shifted by the log prior while training."),
    "strong-augment": ("Strong augmentation", "RandAugment and mixup."),
    "synthetic+best": ("Synthetic and best", "Synthetic faces together with the best rebalancing."),
    "duplicated": ("Placebo: duplicates", "As many copies of real images as there are synthetic ones."),
    "shuffled": ("Placebo: shuffled labels", "The synthetic faces with their labels shuffled."),
    "unscreened": ("Placebo: unscreened", "Synthetic faces that no screen has seen."),
}
WITH_SYNTHETIC = {"synthetic", "synthetic+best", "shuffled", "unscreened"}
METRICS = {"balanced_accuracy": 0.58, "accuracy": 0.63, "macro_f1": 0.57}


def results(arms: int = 2, classes: int = 7, names: list[str] | None = None, seed: int = 0) -> dict[str, Any]:
    """Complete results with every optional part, for `arms` arms (1..12) and `classes` classes (2..30)."""
    rng = np.random.default_rng(seed)
    names = names or (EXPRESSIONS + [f"class {i}" for i in range(9, 31)])[:classes]
    train = dict(zip(names, (TRAIN * 4)[: len(names)], strict=True))
    test = dict(zip(names, (TEST * 4)[: len(names)], strict=True))
    known = [*ARMS, "extra-1", "extra-2"]
    recalls = {name: float(rng.uniform(0.4, 0.85)) for name in names}
    made = [_arm(name, recalls, train, test, rng) for name in known[:arms]]
    return {
        "format": 1,
        "title": "Do synthetic faces help on the example set?",
        "verdict": {
            "word": "helps" if arms > 1 else "cannot tell",
            "sentence": "Synthetic faces raise balanced accuracy by 3.1 points [+1.4, +4.8], most in disgust; "
            "accuracy does not fall.",
            "beside": "Against class weights alone: balanced accuracy +0.4 [−0.9, +1.7] points." if arms > 1 else "",
        },
        "data": {
            "name": "example",
            "digest": "3f" * 32,
            "class_names": names,
            "train": train,
            "val": {name: n // 10 for name, n in train.items()},
            "test": test,
            "notes": [
                "11 unreadable files were skipped.",
                "37 training images that are also test images were dropped.",
            ],
            "check": {
                "leaks": {"by_splits": {"train-val": 4, "train-test": 37, "val-test": 1}},
                "exact": {"surplus_images": 12},
                "near_pairs": 30,
                "mirrored_pairs": 2,
                "conflicts": {"images": 6},
                "subjects_in_several_splits": 0,
                "damaged": {"blank": 1, "faint": 0},
            },
        },
        "arms": made,
        "comparisons": [c for arm in made[1:] for c in _comparisons(arm, made[0], test)],
        "labelling": {
            "classifier": "ganfer-cnn",
            "temperature": 1.37,
            "before": {"counts": dict.fromkeys(names, 70) | {names[0]: 11}, "entropy": 0.962},
            "after": {"counts": dict.fromkeys(names, 52) | {names[0]: 4}, "entropy": 0.931},
            "thresholds": {name: 0.5 + 0.05 * (i % 8) for i, name in enumerate(names)},
        },
        "screen": {
            "asked": dict.fromkeys(names, 72),
            "kept": {name: int(rng.integers(8, 70)) for name in names},
            "reasons": {"label disagrees": 96, "confidence too low": 41, "near copy of a training image": 3},
        },
        "selection": {
            "best_cheap": "oversample" if arms > 2 else "",
            "best_rebalancing": "class-weighted" if arms > 3 else "",
            "validation": {arm["name"]: 0.55 + 0.01 * i for i, arm in enumerate(made)},
        },
        "tuning": {
            "ratios": [_tried(r, 1.0, round(2000 * r), rng, r == 0.5) for r in (0.0, 0.25, 0.5, 1.0, 1.83)],
            "weights": [_tried(0.5, w, 1000, rng, w == 0.25) for w in (0.25, 0.5, 1.0)],
        },
        "groups": {"age": [_group(value, n, rng) for value, n in (("child", 12), ("18-30", 420), ("over 60", 88))]},
        "faces": {
            name: {
                "real": _faces(6, rng, "FER {}"),
                "synthetic": _faces(6, rng, f"{name} 0.9{{}}"),
                "nearest": _faces(6, rng, f"{name}, alike 0.8{{}}"),
            }
            for name in names
        },
        "settings": {
            "seeds": [0, 1, 2, 3, 4],
            "steps": 4000,
            "confidence_level": 0.95,
            "resamples": 10000,
            "ratio": 0.5,
            "weight": 0.25,
            "soft_labels": True,
        },
        "run": {
            "command": "ganfer retrain --arms original,synthetic --seeds 5 -w example-work --set classifier.width=64",
            "stage": "retrain",
            "machine": "x86_64, 2 cores, Linux",
            "device": "cpu",
            "versions": {"ganfer": "0.1.0", "python": "3.11.7", "torch": "2.12.0", "numpy": "2.4.6"},
            "seconds": 3904.2,
            "started": "2026-01-02T10:00:00+00:00",
            "finished": "2026-01-02T11:05:04+00:00",
            "times": [
                {"stage": "train gan", "seconds": 1804.0},
                {"stage": "generate", "seconds": 12.5},
                {"stage": "label", "seconds": 3.2},
                {"stage": "retrain", "seconds": 2084.5},
            ],
        },
    }


def _arm(
    name: str, recalls: dict[str, float], train: dict[str, int], test: dict[str, int], rng: np.random.Generator
) -> dict[str, Any]:
    title, description = ARMS.get(name, (name, ""))
    names, largest = list(train), max(train.values())
    synthetic = {cls: largest - n if name in WITH_SYNTHETIC else 0 for cls, n in train.items()}
    filled = dict.fromkeys(train, largest) if name in WITH_SYNTHETIC | {"duplicated"} else train
    lift = 0.0 if name == "original" else float(rng.normal(0.015, 0.015))
    confusion = [_confused(i, test[cls] * 5, len(names), rng) for i, cls in enumerate(names)]
    per_class = {}
    for cls in names:
        half = 1.96 * (0.24 / test[cls]) ** 0.5
        middle = recalls[cls] + (lift and lift + float(rng.normal(0.0, half / 2)))
        per_class[cls] = {m: _stat(middle + d, half) for m, d in (("precision", 0.03), ("recall", 0.0), ("f1", 0.01))}
        per_class[cls]["support"] = test[cls]
    confidences = np.linspace(0.15, 0.95, 9)
    return {
        "name": name,
        "title": title,
        "description": description,
        "train_counts": dict(filled),
        "synthetic_counts": synthetic,
        "metrics": {m: {**_stat(v + lift, 0.012), "per_seed": [v + lift] * 5} for m, v in METRICS.items()},
        "per_class": per_class,
        "confusion": confusion,
        "steps": 4000,
        "seconds": 418.0 + 60 * lift,
        "calibration": {
            "temperature": 1.2,
            "ece": 0.043,
            "bins": [
                {
                    "confidence": float(c),
                    "accuracy": float(np.clip(c - 0.06 + rng.normal(0, 0.02), 0, 1)),
                    "count": 60 * i,
                }
                for i, c in enumerate(confidences)
            ],
        },
    }


def _tried(ratio: float, weight: float, count: int, rng: np.random.Generator, chosen: bool) -> dict[str, Any]:
    level = _stat(0.55 + 0.04 * min(ratio, 0.5) + float(rng.normal(0, 0.003)), 0.01)
    return {"ratio": ratio, "weight": weight, "count": count, "chosen": chosen, **level}


def _group(value: str, count: int, rng: np.random.Generator) -> dict[str, Any]:
    if count < 20:
        return {"value": value, "count": count, "before": None, "after": None, "change": None}
    parts = {}
    for part, middle in (("before", 0.55), ("after", 0.58), ("change", 0.03)):
        half = 1 / count**0.5
        ends = {metric: middle + float(rng.normal(0, 0.01)) for metric in ("balanced_accuracy", "accuracy")}
        parts[part] = {metric: {"mean": x, "low": x - half, "high": x + half} for metric, x in ends.items()}
    return {"value": value, "count": count, **parts}


def _stat(mean: float, half: float) -> dict[str, float]:
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4)}


def _confused(true: int, n: int, size: int, rng: np.random.Generator) -> list[int]:
    weights = np.ones(size)
    weights[true] = 1.6 * size
    return [int(count) for count in rng.multinomial(n, rng.dirichlet(weights))]


def _comparisons(arm: dict[str, Any], base: dict[str, Any], test: dict[str, int]) -> list[dict[str, Any]]:
    found = []
    measured = {metric: (arm["metrics"][metric], base["metrics"][metric], 0.013) for metric in METRICS}
    for cls, n in test.items():
        for measure in ("recall", "precision", "f1"):
            half = 1.3 * (0.24 / n) ** 0.5
            measured[f"{measure}:{cls}"] = (arm["per_class"][cls][measure], base["per_class"][cls][measure], half)
    for metric, (after, before, half) in measured.items():
        change = after["mean"] - before["mean"]
        word = (
            "helps"
            if change > half
            else "hurts"
            if change < -half
            else "cannot tell"
            if half > 0.05
            else "no difference"
        )
        ends = {"change": round(change, 4), "low": round(change - half, 4), "high": round(change + half, 4)}
        p = round(min(1.0, half / (abs(change) + 1e-6) / 20), 4)
        tests = {"p": p, "p_holm": min(1.0, 3 * p), "detectable": half, "detectable_80": min(1.0, 1.43 * half)}
        if metric == "accuracy":
            tests["mcnemar"] = {"better": 210, "worse": 188, "p": 0.291}
        found.append({"arm": arm["name"], "baseline": base["name"], "metric": metric, **ends, "word": word, **tests})
    return found


def _faces(n: int, rng: np.random.Generator, caption: str) -> list[dict[str, str]]:
    faces = []
    for i in range(n):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(60, 200, (6, 6), dtype=np.uint8)).resize((48, 48), Image.Resampling.BICUBIC).save(
            buffer, "PNG"
        )
        faces.append({"png": base64.b64encode(buffer.getvalue()).decode(), "caption": caption.format(i)})
    return faces
