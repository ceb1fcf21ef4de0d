"""Meta-training of generators."""

from sgps.training.config import MetaTrainingConfig
from sgps.training.meta_train import MetricSink, ProgressSink, TrainingResult, meta_train

__all__ = [
    "MetaTrainingConfig",
    "MetricSink",
    "ProgressSink",
    "TrainingResult",
    "meta_train",
]
