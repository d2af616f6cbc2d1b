"""Settings under which the stages around a classifier take a second."""

from tiny import fast_config

from ganfer.config import Config

SETTINGS = {"classifier__model": "compact-small", "classifier__epochs": 5, "evaluate__resamples": 200}


def small_config(**overrides: object) -> Config:
    return fast_config(**{**SETTINGS, **overrides})
