"""Benchmarks: methods on the same episodes, metrics with intervals, suites and their reports."""

from sgps.evaluation.benchmark import MethodError, run_benchmark
from sgps.evaluation.benchmark_data import (
    BenchmarkData,
    BenchmarkSettings,
    TooFewClassesError,
    load_benchmark_data,
)
from sgps.evaluation.episode_cache import EpisodeCache
from sgps.evaluation.features import TapBank
from sgps.evaluation.intervals import Interval, mean_interval, paired_difference
from sgps.evaluation.methods import EpisodeInputs, Method, Prediction
from sgps.evaluation.report import BenchmarkReport
from sgps.evaluation.scores import MethodScores
from sgps.evaluation.sgps_method import SynthesizerMethod
from sgps.evaluation.suite import BenchmarkSuite
from sgps.evaluation.suite_run import SkippedSetting, run_suite

__all__ = [
    "BenchmarkData",
    "BenchmarkReport",
    "BenchmarkSettings",
    "BenchmarkSuite",
    "EpisodeCache",
    "EpisodeInputs",
    "Interval",
    "Method",
    "MethodError",
    "MethodScores",
    "Prediction",
    "SkippedSetting",
    "SynthesizerMethod",
    "TapBank",
    "TooFewClassesError",
    "load_benchmark_data",
    "mean_interval",
    "paired_difference",
    "run_benchmark",
    "run_suite",
]
