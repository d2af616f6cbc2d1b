"""Settings: frozen dataclasses, strict TOML, overrides from the command line.

Every default is written once, here (or in `classifiers.config` for the classifier). The command line takes its
defaults and help texts from these fields. Nothing here loads torch. `fields` says what a setting is, `tree` puts all
sections together, `load` reads TOML and overrides. The sections are in `training` (data, GAN), `faces` (drawing,
steering, labelling, measuring), `judging` (the experiment, evaluation, search) and `using` (videos, the server,
trackers). `parent` tells which network a GAN goes on from, since defaults depend on it.
"""

from ganfer.config.faces import GenerateConfig, LabelConfig, QualityConfig, SteeringConfig, StyleganConfig
from ganfer.config.fields import setting
from ganfer.config.judging import CrossvalConfig, EvaluateConfig, RetrainConfig, TuneConfig
from ganfer.config.load import configs_folder, field_of, load_config, shipped_configs
from ganfer.config.training import DataConfig, DrawnConfig, GanConfig
from ganfer.config.tree import Config
from ganfer.config.using import LiveConfig, ServeConfig, TrackingConfig

__all__ = [
    "Config",
    "CrossvalConfig",
    "DataConfig",
    "DrawnConfig",
    "EvaluateConfig",
    "GanConfig",
    "GenerateConfig",
    "LabelConfig",
    "LiveConfig",
    "QualityConfig",
    "RetrainConfig",
    "ServeConfig",
    "SteeringConfig",
    "StyleganConfig",
    "TrackingConfig",
    "TuneConfig",
    "configs_folder",
    "field_of",
    "load_config",
    "setting",
    "shipped_configs",
]
