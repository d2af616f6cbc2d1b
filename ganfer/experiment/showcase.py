"""Faces for the report's page: real ones, kept synthetic ones, and beside each of these the real one nearest to it."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from ganfer.data.damage import grey_chunks
from ganfer.data.imageset import ImageSet
from ganfer.data.provenance import png_base64
from ganfer.generate.batch import read_batch, read_rows
from ganfer.label.labels import LABELS, read_labels
from ganfer.review.effect import decided
from ganfer.runtime.seeding import stream
from ganfer.workspace import Run

_FACES = 6  # of each kind per class
_SIDE = 24  # pixels at which faces are compared


def showcase(images: ImageSet, batch_run: Run, labels_run: Run, seed: int) -> dict[str, Any]:
    """A few real and kept synthetic training faces per class, drawn at random (not picked), as base64 PNGs.

    The nearest real face is the one that labels.csv names; where copies were not looked for, it is found here by
    correlation, among all real training images, mirrored ones too.
    """
    batch, labels = read_batch(batch_run), decided(read_labels(labels_run, images.class_names), batch_run)
    rng = stream(seed, "report faces")
    train = np.flatnonzero((images.split == "train") & (images.source == "real"))
    chosen: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for k, name in enumerate(images.class_names):
        real = train[images.labels[train] == k]
        drawn = np.flatnonzero((labels.predicted == k) & labels.kept)
        chosen[name] = (np.sort(rng.permutation(real)[:_FACES]), np.sort(rng.permutation(drawn)[:_FACES]))
    every = np.concatenate([drawn for _, drawn in chosen.values()])
    pixels = dict(zip(every.tolist(), batch.images(every), strict=True)) if len(every) else {}
    near = _from_labels(images, labels_run, every) or _nearest(images, train, pixels)
    return {
        name: {
            "real": [{"png": png_base64(images.images[i]), "caption": name} for i in real],
            "synthetic": [
                {"png": png_base64(pixels[i]), "caption": f"{name} {labels.confidence[i]:.2f}"} for i in drawn.tolist()
            ],
            "nearest": [
                {"png": png_base64(images.images[j]), "caption": f"{_name(images, j)}, alike {value:.2f}"}
                for j, value in (near[i] for i in drawn.tolist() if i in near)
            ],
        }
        for name, (real, drawn) in chosen.items()
    }


def _from_labels(images: ImageSet, labels_run: Run, faces: np.ndarray) -> dict[int, tuple[int, float]]:
    """For each face the training image that the labelling found nearest, and their similarity; empty without them."""
    rows = read_rows(labels_run.path / LABELS)
    if not rows or not {"nearest", "likeness"} <= rows[0].keys():
        return {}
    place = {name: i for i, name in enumerate(images.ids.tolist())}
    found = {i: rows[i] for i in faces.tolist() if rows[i]["nearest"] in place and rows[i]["likeness"]}
    return {i: (place[row["nearest"]], float(row["likeness"])) for i, row in found.items()}


def _name(images: ImageSet, index: int) -> str:
    label = int(images.labels[index])
    return images.class_names[label] if label >= 0 else "no label"


def _nearest(images: ImageSet, train: np.ndarray, pixels: Mapping[int, np.ndarray]) -> dict[int, tuple[int, float]]:
    """For each face (by its number in the batch) the nearest training image and their correlation, -1..1."""
    if not pixels or not len(train):
        return {}
    numbers = list(pixels)
    faces = unit(np.stack([pixels[i] for i in numbers]))
    best, who = np.full(len(numbers), -2.0), np.zeros(len(numbers), dtype=np.int64)
    for start, grey in grey_chunks(images.images):
        here = train[(train >= start) & (train < start + len(grey))]
        if not len(here):
            continue
        vectors = _unit_grey(grey[here - start])
        mirrored = vectors.reshape(-1, _SIDE, _SIDE)[:, :, ::-1].reshape(len(vectors), -1)
        alike = np.maximum(faces @ vectors.T, faces @ mirrored.T)
        top = alike.argmax(axis=1)
        value = alike[np.arange(len(faces)), top]
        closer = value > best
        best[closer], who[closer] = value[closer], here[top[closer]]
    return {number: (int(j), float(v)) for number, j, v in zip(numbers, who, best, strict=True)}


def unit(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) uint8 -> (N, d) float32 vectors of mean 0 and length 1, whose products are correlations."""
    parts = [_unit_grey(grey) for _, grey in grey_chunks(images)]
    return np.concatenate(parts) if parts else np.empty((0, _SIDE * _SIDE), np.float32)


def _unit_grey(grey: np.ndarray) -> np.ndarray:
    method = cv2.INTER_AREA if grey.shape[1] > _SIDE else cv2.INTER_LINEAR
    small = np.stack([cv2.resize(g, (_SIDE, _SIDE), interpolation=method) for g in grey]).astype(np.float32)
    flat = small.reshape(len(small), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    unit_length: np.ndarray = flat / np.maximum(lengths, 1e-6)
    return unit_length
