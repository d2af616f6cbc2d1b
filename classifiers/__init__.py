"""Expression classifiers: a zoo, a trainer, calibration, evaluation and prediction. Importing this loads no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classifiers.calibration import class_thresholds, ece, fit_temperature
    from classifiers.config import TrainConfig
    from classifiers.crossval import CrossvalResult, crossval
    from classifiers.errors import ClassifierError
    from classifiers.evaluation import Evaluation, evaluate
    from classifiers.many import Job, train_many
    from classifiers.models import create_model, list_models
    from classifiers.prediction import Classifier, Ensemble, Predictor, load_classifier, load_ensemble
    from classifiers.samples import Samples
    from classifiers.training import TrainResult, train

# Public name -> the module it is loaded from on first use.
_HOME = {
    "Classifier": "prediction",
    "ClassifierError": "errors",
    "CrossvalResult": "crossval",
    "Ensemble": "prediction",
    "Evaluation": "evaluation",
    "Job": "many",
    "Predictor": "prediction",
    "Samples": "samples",
    "TrainConfig": "config",
    "TrainResult": "training",
    "class_thresholds": "calibration",
    "create_model": "models",
    "crossval": "crossval",
    "ece": "calibration",
    "evaluate": "evaluation",
    "fit_temperature": "calibration",
    "list_models": "models",
    "load_classifier": "prediction",
    "load_ensemble": "prediction",
    "train": "training",
    "train_many": "many",
}

__all__ = [
    "Classifier",
    "ClassifierError",
    "CrossvalResult",
    "Ensemble",
    "Evaluation",
    "Job",
    "Predictor",
    "Samples",
    "TrainConfig",
    "TrainResult",
    "class_thresholds",
    "create_model",
    "crossval",
    "ece",
    "evaluate",
    "fit_temperature",
    "list_models",
    "load_classifier",
    "load_ensemble",
    "train",
    "train_many",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'classifiers' has no attribute {name!r}")
    value = getattr(import_module(f"classifiers.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
