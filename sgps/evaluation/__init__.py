"""Benchmarks: methods on the same episodes, metrics with intervals, pictures (`plots`)."""

from sgps.evaluation.baselines import public_baselines
from sgps.evaluation.benchmark import run_benchmark
from sgps.evaluation.benchmark_data import (
    BenchmarkData,
    BenchmarkSettings,
    load_benchmark_data,
)
from sgps.evaluation.features import FeatureBank
from sgps.evaluation.intervals import Interval, mean_interval, paired_difference
from sgps.evaluation.methods import EpisodeInputs, Method, Prediction
from sgps.evaluation.report import BenchmarkReport
from sgps.evaluation.sgps_method import SynthesizerMethod

__all__ = [
    "BenchmarkData",
    "BenchmarkReport",
    "BenchmarkSettings",
    "EpisodeInputs",
    "FeatureBank",
    "Interval",
    "Method",
    "Prediction",
    "SynthesizerMethod",
    "load_benchmark_data",
    "mean_interval",
    "paired_difference",
    "public_baselines",
    "run_benchmark",
]
