"""All settings together."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from classifiers.config import TrainConfig
from ganfer.config.faces import (
    EncoderConfig,
    GenerateConfig,
    LabelConfig,
    ProjectionConfig,
    QualityConfig,
    SteeringConfig,
    StyleganConfig,
    TransferConfig,
)
from ganfer.config.fields import check_ranges, setting
from ganfer.config.judging import AuditConfig, CrossvalConfig, EvaluateConfig, RetrainConfig, TuneConfig
from ganfer.config.training import DataConfig, DrawnConfig, GanConfig
from ganfer.config.using import LiveConfig, ServeConfig, TrackingConfig


@dataclass(frozen=True)
class Config:
    """All settings of one workspace run; `classifier` is the `classifiers` package's own `TrainConfig`."""

    # two seeds share no image: a batch's seed is the upper half of its images' 64 bits
    seed: int = setting(0, "seed of everything that is random", low=0, high=2_000_000_000)
    device: str = setting("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    cluster: str = setting(
        "", "Dask cluster for many jobs: tcp://HOST:8786, a scheduler's .json file, or local:N; empty = this machine"
    )
    workers: int = setting(
        0,
        "processes for large batches, several GANs, quality's trainings; 0 = one per core (or GPU), 1 = this one alone",
        low=0,
        high=1024,
    )
    data: DataConfig = field(default_factory=DataConfig)
    drawn: DrawnConfig = field(default_factory=DrawnConfig)
    gan: GanConfig = field(default_factory=GanConfig)
    classifier: TrainConfig = field(default_factory=TrainConfig)
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    stylegan: StyleganConfig = field(default_factory=StyleganConfig)
    steering: SteeringConfig = field(default_factory=SteeringConfig)
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    label: LabelConfig = field(default_factory=LabelConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    crossval: CrossvalConfig = field(default_factory=CrossvalConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    live: LiveConfig = field(default_factory=LiveConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        check_ranges(self, "")

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dict, as it is written into records."""
        return dataclasses.asdict(self)
