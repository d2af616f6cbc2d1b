"""Expression classifiers: models, a trainer, calibration, evaluation and prediction. Importing this loads no torch.

Read `training` (the loop) first: `config` has its settings, `models` its networks, `samples` its images, `parts` and
`state` what it uses, `augment`, `losses` (with `imbalance`), `backward` and `muon` (with `muon_stack`) a step's pieces;
`start` begins it from another classifier. `prediction` loads what it wrote (`files`, `cards`, `records`, `plots`);
`calibration`, `prior_shift`, `evaluation`, `scores` and `robustness` measure; `biases` moves class biases,
`explanation` and `export` look inside and hand on. `split_norm` keeps synthetic images apart in a training;
`major_to_minor` and `tail_features` fill rare classes without a generator. `errors` has the one error.

`folds` and `many` train several, as `tasks` of the `scheduler`: on `processes` or a `cluster` (with `cluster_worker`).
On a GPU, `sharing` says how many at a time: each in a process (`mps`) or in `turns` on `streams`. `device` and `probe`
choose device and precision, `device_set` keeps images there, `recorder` replays steps, `memory` is for when it runs
out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classifiers.calibration import class_thresholds, ece, fit_temperature
    from classifiers.config import TrainConfig
    from classifiers.errors import ClassifierError
    from classifiers.evaluation import Evaluation, evaluate
    from classifiers.explanation import Explanation, explain
    from classifiers.export import ExportResult, export_onnx
    from classifiers.folds import CrossvalResult, crossval
    from classifiers.many import Job, train_many
    from classifiers.models import create_model, list_models
    from classifiers.prediction import Classifier, Ensemble, Predictor, load_classifier, load_ensemble
    from classifiers.robustness import StressRow, stress
    from classifiers.samples import Samples
    from classifiers.training import TrainResult, train

# Public name -> the module it is loaded from on first use.
_HOME = {
    "Classifier": "prediction",
    "ClassifierError": "errors",
    "CrossvalResult": "folds",
    "Ensemble": "prediction",
    "Evaluation": "evaluation",
    "Explanation": "explanation",
    "ExportResult": "export",
    "Job": "many",
    "Predictor": "prediction",
    "Samples": "samples",
    "StressRow": "robustness",
    "TrainConfig": "config",
    "TrainResult": "training",
    "class_thresholds": "calibration",
    "create_model": "models",
    "crossval": "folds",
    "ece": "calibration",
    "evaluate": "evaluation",
    "explain": "explanation",
    "export_onnx": "export",
    "fit_temperature": "calibration",
    "list_models": "models",
    "load_classifier": "prediction",
    "load_ensemble": "prediction",
    "stress": "robustness",
    "train": "training",
    "train_many": "many",
}

__all__ = [
    "Classifier",
    "ClassifierError",
    "CrossvalResult",
    "Ensemble",
    "Evaluation",
    "Explanation",
    "ExportResult",
    "Job",
    "Predictor",
    "Samples",
    "StressRow",
    "TrainConfig",
    "TrainResult",
    "class_thresholds",
    "create_model",
    "crossval",
    "ece",
    "evaluate",
    "explain",
    "export_onnx",
    "fit_temperature",
    "list_models",
    "load_classifier",
    "load_ensemble",
    "stress",
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
