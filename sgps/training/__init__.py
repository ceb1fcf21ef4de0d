"""Meta-training of generators."""

from sgps.training.config import MetaTrainingConfig
from sgps.training.image_bank import digest_run
from sgps.training.known_classes import write_known_classes
from sgps.training.meta_train import (
    MetaTrainingRun,
    MetricSink,
    ProgressSink,
    TrainingResult,
    meta_train,
)
from sgps.training.refit import refit_head

__all__ = [
    "MetaTrainingConfig",
    "MetaTrainingRun",
    "MetricSink",
    "ProgressSink",
    "TrainingResult",
    "digest_run",
    "meta_train",
    "refit_head",
    "write_known_classes",
]
