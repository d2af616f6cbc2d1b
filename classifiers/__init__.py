"""Expression classifiers: a zoo, a trainer, calibration, evaluation and prediction. Importing this loads no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classifiers.calibration import ece, fit_temperature
    from classifiers.config import TrainConfig
    from classifiers.errors import ClassifierError
    from classifiers.evaluation import Evaluation, evaluate
    from classifiers.models import create_model, list_models
    from classifiers.prediction import Classifier, load_classifier
    from classifiers.samples import Samples
    from classifiers.training import TrainResult, train

# Public name -> the module it is loaded from on first use.
_HOME = {
    "Classifier": "prediction",
    "ClassifierError": "errors",
    "Evaluation": "evaluation",
    "Samples": "samples",
    "TrainConfig": "config",
    "TrainResult": "training",
    "create_model": "models",
    "ece": "calibration",
    "evaluate": "evaluation",
    "fit_temperature": "calibration",
    "list_models": "models",
    "load_classifier": "prediction",
    "train": "training",
}

__all__ = [
    "Classifier",
    "ClassifierError",
    "Evaluation",
    "Samples",
    "TrainConfig",
    "TrainResult",
    "create_model",
    "ece",
    "evaluate",
    "fit_temperature",
    "list_models",
    "load_classifier",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'classifiers' has no attribute {name!r}")
    value = getattr(import_module(f"classifiers.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
