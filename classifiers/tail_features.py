"""A head fitted again on features that are drawn for rare classes (after TailCalibX, Vigneswaran et al. 2021).

A rare class has too few images for a covariance of its own: it borrows from the nearest larger classes, as if
`borrowed` of their images were its own, and its mean moves by one image's worth. LDMLR (Han et al. 2024) draws from a
diffusion model of the features instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from classifiers.calibration import fit_temperature, softmax
from classifiers.errors import ClassifierError
from classifiers.evaluation import evaluate
from classifiers.files import read_weights
from classifiers.prediction import WEIGHTS, Classifier, load_classifier, write_folder
from classifiers.samples import Samples

_PENALTY = 0.01  # of the head's squared weights on standardised features, beside a mean loss


def rare_features(
    features: np.ndarray,
    labels: np.ndarray,
    wanted: np.ndarray,
    *,
    seed: int = 0,
    neighbours: int = 2,
    borrowed: float = 50.0,
    spread: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Features (M, D) float32 drawn for the classes and their labels (M,): `wanted[k]` of class k.

    features (N, D), labels (N,). Each class that is wanted is a Gaussian calibrated by its nearest `neighbours` among
    the larger classes, its covariance times `spread`. Features that are never negative stay so.
    """
    features = np.asarray(features, np.float64)
    counts = np.bincount(labels, minlength=len(wanted))
    means = {k: features[labels == k].mean(axis=0) for k in np.flatnonzero(counts)}
    drawn, classes = [np.empty((0, features.shape[1]))], [np.empty(0, np.int64)]
    for k in np.flatnonzero((np.asarray(wanted) > 0) & (counts > 0)):
        larger = [j for j in means if counts[j] > counts[k]]
        near = sorted(larger, key=lambda j: float(np.linalg.norm(means[j] - means[k])))[:neighbours]
        own, n = features[labels == k], counts[k]
        mean, scatter = means[k], _covariance(own)
        if near:
            mean = (n * mean + np.mean([means[j] for j in near], axis=0)) / (n + 1)
            theirs = np.mean([_covariance(features[labels == j]) for j in near], axis=0)
            scatter = (n * scatter + borrowed * theirs) / (n + borrowed)
        values, vectors = np.linalg.eigh(spread * scatter)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        normal = np.random.default_rng([seed, 7, int(k)]).standard_normal((int(wanted[k]), features.shape[1]))
        drawn.append(mean + normal @ root.T)
        classes.append(np.full(int(wanted[k]), k))
    found = np.concatenate(drawn)
    if features.min(initial=0.0) >= 0:
        found = np.maximum(found, 0.0)
    return found.astype(np.float32), np.concatenate(classes)


def _covariance(features: np.ndarray) -> np.ndarray:
    """(N, D) -> (D, D); of a single image none."""
    away = features - features.mean(axis=0)
    found: np.ndarray = away.T @ away / len(features)
    return found


def fit_head(features: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A linear head's weight (K, D) and bias (K,), by penalised multinomial regression; a class without features is
    never named."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    centre, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    model = LogisticRegression(C=1.0 / (_PENALTY * len(features)), max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 300 rounds are near enough
        model.fit((features - centre) / scale, labels)
    rows, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row for both
        rows, intercept = np.concatenate([-rows, rows]) / 2, np.concatenate([-intercept, intercept]) / 2
    weight, bias = np.zeros((num_classes, features.shape[1])), np.full(num_classes, -30.0)
    weight[model.classes_] = rows / scale
    bias[model.classes_] = intercept - weight[model.classes_] @ centre
    return weight, bias


def refit_on_features(
    source: str | Path,
    target: str | Path,
    train: Samples,
    val: Samples,
    wanted: np.ndarray,
    *,
    seed: int = 0,
    device: str = "auto",
    settings: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The classifier in `source` with a head fitted on its features of `train` and on drawn ones, calibrated on `val`
    and written to the folder `target`; returns its card. settings: of `rare_features`."""
    classifier = load_classifier(source, device)
    count, key = len(classifier.class_names), head_key(classifier)
    features, labels = classifier.features(train.images), np.asarray(train.labels)
    more, classes = rare_features(features, labels, wanted, seed=seed, **(settings or {}))  # type: ignore[arg-type]
    weight, bias = fit_head(np.concatenate([features, more]), np.concatenate([labels, classes]), count)
    tensors, card = read_weights(Path(source) / WEIGHTS)
    if len(tensors[f"{key}.bias"]) == 1:  # one output z, which stands for the logits (0, z)
        weight, bias = weight - weight[:1], bias - bias[:1]
    rows = slice(-len(tensors[f"{key}.bias"]), None)
    for name, values in ((f"{key}.weight", weight), (f"{key}.bias", bias)):
        before: Tensor = tensors[name]
        tensors[name] = before.new_tensor(values[rows])
    logits = classifier.features(val.images) @ weight.T.astype(np.float32) + bias.astype(np.float32)
    temperature = fit_temperature(logits, np.asarray(val.labels))
    figures = evaluate(softmax(logits, temperature), np.asarray(val.labels), classifier.class_names).to_json()
    card = {**card, "temperature": temperature, "validation": figures, "history": []}
    card |= {"prior": "balanced", "identity": "head on features"}  # classes are filled up, and it is no training
    write_folder(Path(target), tensors, card)
    return card


def head_key(classifier: Classifier) -> str:
    """The name of the linear layer that turns features into logits. ClassifierError where there is none."""
    count = len(classifier.class_names)
    for name, module in classifier.model.head.named_modules(prefix="head"):
        linear = isinstance(module, nn.Linear) and module.bias is not None
        if linear and (module.out_features == count or (module.out_features == 1 and count == 2)):
            return name
    raise ClassifierError(
        f"model '{classifier.card.get('architecture', '')}' has no linear head of {len(classifier.class_names)} "
        "outputs to fit again; choose another model"
    )
