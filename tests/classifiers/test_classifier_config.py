"""A configuration refuses what can't be trained with, by name, value and range; and it loads no torch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from classifiers import ClassifierError, TrainConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs = 0: must lie between 1 and 100000"),
        ({"epochs": 2.5}, "epochs = 2.5: must be a int, not a float"),
        ({"epochs": True}, "epochs = True: must be a int, not a bool"),
        ({"lr": float("nan")}, "lr = nan: must lie between 1e-07 and 10"),
        ({"lr": "fast"}, "lr = 'fast': must be a float, not a str"),
        (
            {"loss": "hinge"},
            "loss = 'hinge': must be one of cross-entropy, class-weighted, focal, logit-adjusted, ldam, l2-svm",
        ),
        ({"tensorboard": 1}, "tensorboard = 1: must be a bool, not a int"),
        ({"batch_size": None}, "batch_size = None: must be a int, not a NoneType"),
    ],
)
def test_refuses(change: dict, message: str) -> None:
    with pytest.raises(ClassifierError) as caught:
        TrainConfig(**change)
    assert caught.value.message == message
    assert caught.value.exit_code == 1


def test_an_int_is_a_float_and_none_is_none() -> None:
    config = TrainConfig(lr=1, steps=None)
    assert isinstance(config.lr, float)
    assert config.steps is None


def test_every_field_explains_itself_and_its_default_is_allowed() -> None:
    TrainConfig()
    for field in dataclasses.fields(TrainConfig):
        assert field.metadata["help"]
        assert set(field.metadata) == {"help", "low", "high", "choices", "later"}


def test_the_package_and_its_configuration_load_no_torch() -> None:
    code = "import sys, classifiers; classifiers.TrainConfig(); dir(classifiers); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "False"


def test_no_public_name_is_hidden_by_a_module_of_the_same_name() -> None:
    import classifiers

    modules = {path.stem for path in Path(classifiers.__file__).parent.iterdir()}
    assert not modules & set(classifiers.__all__)


def test_every_public_name_can_be_had() -> None:
    import classifiers

    for name in classifiers.__all__:
        assert getattr(classifiers, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = classifiers.trian
