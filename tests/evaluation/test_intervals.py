import numpy as np
import pytest
from scipy import stats

from sgps.errors import InputError
from sgps.evaluation import metrics
from sgps.evaluation.intervals import (
    clustered_mean,
    mean_interval,
    mean_with_earlier,
    paired_difference,
    pooled_calibration_error,
    pooled_share,
)


@pytest.mark.parametrize("count", [2, 3, 30, 600])
def test_mean_interval_agrees_with_scipy(count):
    values = np.random.default_rng(count).random(count)
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx((values.mean(), low, high))


def test_paired_difference_agrees_with_scipy():
    rng = np.random.default_rng(0)
    own, other = rng.random(40), rng.random(40)
    test = stats.ttest_rel(own, other).confidence_interval(0.95)
    assert paired_difference(own, other) == pytest.approx(
        ((own - other).mean(), test.low, test.high)
    )


def test_equal_values_give_an_interval_of_no_width():
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_too_few_values_are_refused(values):
    with pytest.raises(InputError, match=f"over {len(values)} values; expected at least 2"):
        mean_interval(values)


@pytest.mark.parametrize(("earlier", "count"), [(2, 1), (3, 40), (40, 20), (50, 2)])
def test_earlier_values_of_which_the_interval_is_known_are_as_good_as_the_values(earlier, count):
    rng = np.random.default_rng(earlier)
    first, then = rng.normal(0, 3, earlier), rng.normal(1, 2, count)
    together = mean_with_earlier(then, mean_interval(first), earlier)
    assert together == pytest.approx(mean_interval([*first, *then]))


@pytest.mark.parametrize(("values", "earlier"), [([], 2), ([0.5], 1)])
def test_nothing_to_go_with_earlier_values_is_refused(values, earlier):
    with pytest.raises(InputError, match=f"{len(values)} values and {earlier} earlier ones"):
        mean_with_earlier(values, mean_interval([0.1, 0.2]), earlier)


def test_unpaired_values_are_refused():
    with pytest.raises(InputError, match="of 3 and 2 values"):
        paired_difference([1, 2, 3], [1, 2])


def draw_bins(episodes: int, seed: int = 0, queries: int = 30):
    """Queries whose true calibration error is 0: hits are drawn with the stated confidence."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(episodes):
        confidence_Q = rng.uniform(0.5, 1, queries)
        labels_Q = (rng.random(queries) > confidence_Q).astype(np.int64)
        probs_QN = np.stack([confidence_Q, 1 - confidence_Q], axis=1)
        drawn.append((probs_QN, labels_Q))
    return drawn


def test_pooled_calibration_error_is_that_of_all_queries():
    drawn = draw_bins(20)
    pooled = pooled_calibration_error([metrics.calibration_bins(*episode) for episode in drawn])
    probs_QN = np.concatenate([probs for probs, _ in drawn])
    labels_Q = np.concatenate([labels for _, labels in drawn])
    assert pooled.mean == pytest.approx(metrics.expected_calibration_error(probs_QN, labels_Q))
    assert 0 <= pooled.low < pooled.mean < pooled.high


def test_pooling_removes_the_bias_of_small_episodes():
    drawn = draw_bins(200)
    mean = np.mean([metrics.expected_calibration_error(*episode) for episode in drawn])
    pooled = pooled_calibration_error([metrics.calibration_bins(*episode) for episode in drawn])
    assert mean > 0.15
    assert pooled.mean < 0.03


def test_jackknife_agrees_with_leaving_out_one_by_one():
    bins = [metrics.calibration_bins(*episode) for episode in draw_bins(12)]
    left_out = [
        pooled_calibration_error(bins[:number] + bins[number + 1 :]).mean for number in range(12)
    ]
    error = np.sqrt(11 / 12 * ((left_out - np.mean(left_out)) ** 2).sum())
    interval = pooled_calibration_error(bins)
    assert interval.high - interval.mean == pytest.approx(stats.t.ppf(0.975, 11) * error)


def test_one_episode_has_no_interval():
    with pytest.raises(InputError, match="over 1 episodes"):
        pooled_calibration_error([metrics.calibration_bins(*draw_bins(1)[0])])


def test_pooled_share_of_equal_episodes_is_the_mean_of_their_shares():
    hits = np.random.default_rng(0).integers(0, 11, 40)
    assert pooled_share(hits, np.full(40, 10)) == pytest.approx(mean_interval(hits / 10))


def test_pooled_share_counts_queries_and_not_episodes():
    interval = pooled_share([9, 0, 0], [10, 1, 0])
    assert interval.mean == pytest.approx(9 / 11)
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1


def test_pooled_share_agrees_with_a_bootstrap_over_episodes():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 12, 300)
    hits = rng.binomial(counts, rng.beta(6, 4, 300))
    drawn = rng.integers(0, 300, (4000, 300))
    shares = hits[drawn].sum(1) / counts[drawn].sum(1)
    interval = pooled_share(hits, counts)
    assert interval.mean == pytest.approx(shares.mean(), abs=0.002)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * shares.std(), rel=0.05)


def test_queries_in_one_episode_have_no_interval():
    with pytest.raises(InputError, match="over 1 episodes"):
        pooled_share([3, 0], [4, 0])


def test_a_clustered_mean_by_hand():
    """Means 2 (of 2) and 5 (of 1) around 3: residuals -2 and 2, error sqrt(2 * 8) / 3."""
    mean, low, high = clustered_mean([1, 3, 5], ["a", "a", "b"])
    half = stats.t.ppf(0.975, 1) * 4 / 3
    assert (mean, low, high) == pytest.approx((3, 3 - half, 3 + half))


@pytest.mark.parametrize("count", [2, 5, 30])
def test_values_that_have_nothing_in_common_are_their_own_clusters(count):
    values = np.random.default_rng(count).random(count)
    assert clustered_mean(values, range(count)) == pytest.approx(mean_interval(values))


def test_saying_a_value_again_makes_no_interval_narrower():
    values = np.random.default_rng(0).random(6)
    once = clustered_mean(values, range(6))
    assert clustered_mean(np.repeat(values, 4), np.repeat(range(6), 4).tolist()) == (
        pytest.approx(once)
    )


def test_a_clustered_mean_covers_what_it_should():
    """Values of a cluster share most of what they vary by."""
    rng = np.random.default_rng(1)
    clusters = np.repeat(range(12), 5).tolist()
    covered = plain = 0
    for _ in range(400):
        values = np.repeat(rng.normal(size=12), 5) + 0.3 * rng.normal(size=60)
        _, low, high = clustered_mean(values, clusters)
        covered += low < 0 < high
        _, low, high = mean_interval(values)
        plain += low < 0 < high
    assert 0.92 < covered / 400 < 0.98
    assert plain / 400 < 0.75


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [
        ([1, 2], ["a", "a"], "over 1 clusters; expected at least 2"),
        ([], [], "over 0 clusters"),
        ([1, 2, 3], ["a", "b"], "2 clusters of 3 values"),
    ],
)
def test_clusters_that_do_not_do_are_refused(values, clusters, message):
    with pytest.raises(InputError, match=message):
        clustered_mean(values, clusters)
