"""95 % intervals of figures that were measured on many episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from sgps.errors import InputError
from sgps.evaluation.metrics import CalibrationBins

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A figure and the two ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike) -> Interval:
    """Return the mean of values of shape (E,) with its interval by Student's t.

    Raises
    ------
    InputError: there are fewer than two values.
    """
    values_E = np.asarray(values, dtype=np.float64)
    count = len(values_E)
    if count < 2:
        raise InputError(f"an interval over {count} values", expected="at least 2")
    error = values_E.std(ddof=1) / np.sqrt(count)
    return _around(float(values_E.mean()), float(error), count)


def mean_with_earlier(values: ArrayLike, earlier: Interval, count: int) -> Interval:
    """Return the mean of values (E,) and of `count` earlier ones, with its interval.

    Of the earlier ones only their mean and its interval by Student's t are known, which tell their
    sum of squares: the figure is that of `mean_interval` of all (Chan, Golub and LeVeque 1983).

    Raises
    ------
    InputError: there are no values, or fewer than two earlier ones.
    """
    values_E = np.asarray(values, dtype=np.float64)
    if count < 2 or not len(values_E):
        raise InputError(
            f"{len(values_E)} values and {count} earlier ones", expected="at least 1 and 2"
        )
    total = len(values_E) + count
    earlier_error = (earlier.high - earlier.low) / 2 / _quantile(count)
    apart = values_E.mean() - earlier.mean
    squares = (
        earlier_error**2 * count * (count - 1)
        + ((values_E - values_E.mean()) ** 2).sum()
        + apart**2 * count * len(values_E) / total
    )
    mean = earlier.mean + apart * len(values_E) / total
    return _around(float(mean), float(np.sqrt(squares / (total - 1) / total)), total)


def paired_difference(values: ArrayLike, baseline: ArrayLike) -> Interval:
    """Return the mean of ``values - baseline``, both (E,) on the same episodes, with its interval.

    Raises
    ------
    InputError: the two differ in length, or there are fewer than two values.
    """
    values_E = np.asarray(values, dtype=np.float64)
    baseline_E = np.asarray(baseline, dtype=np.float64)
    if values_E.shape != baseline_E.shape:
        raise InputError(
            f"a paired difference of {len(values_E)} and {len(baseline_E)} values",
            expected="as many of one as of the other",
        )
    return mean_interval(values_E - baseline_E)


def pooled_calibration_error(episodes: Sequence[CalibrationBins]) -> Interval:
    """Return the calibration error over all queries of all episodes, with its jackknife interval.

    Raises
    ------
    InputError: there are fewer than two episodes.
    """
    count = len(episodes)
    if count < 2:
        raise InputError(f"an interval over {count} episodes", expected="at least 2")
    by_episode = join_bins(episodes)
    pooled = CalibrationBins(*(array.sum(0) for array in _arrays(by_episode)))
    without_one = CalibrationBins(
        *(array.sum(0, keepdims=True) - array for array in _arrays(by_episode))
    )
    errors_E = without_one.error()
    error = np.sqrt((count - 1) / count * ((errors_E - errors_E.mean()) ** 2).sum())
    interval = _around(float(pooled.error()), float(error), count)
    return interval._replace(low=max(interval.low, 0.0), high=min(interval.high, 1.0))


def pooled_share(hits: ArrayLike, counts: ArrayLike) -> Interval:
    """Return the share of hits among all queries of E episodes, with its interval.

    hits, counts: (E,), how many queries of an episode were right, and how many there were. The
    queries of one episode count as one cluster: the interval is that of a ratio of sums (Cochran,
    Sampling Techniques, 1977, section 6.3), kept within 0..1.

    Raises
    ------
    InputError: fewer than two episodes have queries.
    """
    counts_E = np.asarray(counts, dtype=np.float64)
    hits_E = np.asarray(hits, dtype=np.float64)[counts_E > 0]
    counts_E = counts_E[counts_E > 0]
    if len(counts_E) < 2:
        raise InputError(f"an interval over {len(counts_E)} episodes", expected="at least 2")
    interval = _ratio_of_sums(hits_E, counts_E)
    return interval._replace(low=max(interval.low, 0.0), high=min(interval.high, 1.0))


def clustered_mean(values: ArrayLike, clusters: Sequence[object]) -> Interval:
    """Return the mean of values (E,), with an interval that lets those of one cluster go together.

    Each value weighs alike. What varies is how far the clusters' means lie from that of all, each
    weighed by its size; Student's t has a degree of freedom less than there are clusters. Where
    each value is a cluster of its own this is `mean_interval`.

    clusters: for each value, what it has in common with the others of its cluster.

    Raises
    ------
    InputError: there are fewer than two clusters, or not one for each value.
    """
    values_E = np.asarray(values, dtype=np.float64)
    if len(clusters) != len(values_E):
        raise InputError(f"{len(clusters)} clusters of {len(values_E)} values", expected="as many")
    number_of = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    if len(number_of) < 2:
        raise InputError(f"an interval over {len(number_of)} clusters", expected="at least 2")
    numbers_E = [number_of[cluster] for cluster in clusters]
    return _ratio_of_sums(np.bincount(numbers_E, values_E), np.bincount(numbers_E))


def _ratio_of_sums(sums_G: np.ndarray, sizes_G: np.ndarray) -> Interval:
    """Return the mean of all that G clusters sum up, with its interval."""
    clusters, size = len(sums_G), sizes_G.sum()
    mean = sums_G.sum() / size
    spread = ((sums_G - mean * sizes_G) ** 2).sum() * clusters / (clusters - 1)
    return _around(float(mean), float(np.sqrt(spread) / size), clusters)


def join_bins(episodes: Sequence[CalibrationBins]) -> CalibrationBins:
    """Stack the bins of E episodes to arrays (E, bins)."""
    return CalibrationBins(
        np.stack([bins.counts for bins in episodes]),
        np.stack([bins.confidence_sums for bins in episodes]),
        np.stack([bins.hits for bins in episodes]),
    )


def _arrays(bins: CalibrationBins) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return bins.counts, bins.confidence_sums, bins.hits


def _around(mean: float, standard_error: float, count: int) -> Interval:
    half = _quantile(count) * standard_error
    return Interval(mean, mean - half, mean + half)


def _quantile(count: int) -> float:
    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))
