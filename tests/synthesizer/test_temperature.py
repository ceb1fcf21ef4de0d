from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.support_labels import SupportLabels
from sgps.synthesizer.temperature import (
    DOUBT,
    SLOPE,
    SPREAD,
    SPREAD_BY_SEPARATION,
    log_temperature_by_evidence,
    log_temperature_by_separation,
    prior_spread,
    separation,
)

from .conftest import labelled
from .reference_head import (
    reference_log_temperature,
    reference_log_temperature_before,
    reference_separation,
)

DOUBLE = torch.float64
PRIOR = torch.tensor(5.0, dtype=DOUBLE).log()
WITHIN_K = torch.tensor([2.0, 5.0], dtype=DOUBLE)
PARAMETERS = HeadParameters(
    log_tap_weights_T=torch.zeros(3, dtype=DOUBLE),
    log_ridge=torch.tensor(0.0, dtype=DOUBLE),
    log_temperature=PRIOR,
    text_weights_ND=torch.zeros(2, 9, dtype=DOUBLE),
    within_spread_K=WITHIN_K,
)


def random_taps(labels: SupportLabels, seed: int = 0, apart: float = 1.0) -> tuple[Tensor, ...]:
    """Classes lie ``apart`` from each other, in all three taps."""
    random = torch.Generator().manual_seed(seed)
    taps = []
    for width in (2, 3, 4):
        means_ND = torch.randn(labels.ways, width, dtype=DOUBLE, generator=random)
        noise_SD = torch.randn(len(labels.class_S), width, dtype=DOUBLE, generator=random)
        taps.append(apart * means_ND[labels.class_S] + noise_SD)
    return tuple(taps)


@settings(max_examples=25, deadline=None)
@given(
    shots=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    seed=st.integers(0, 2**32),
    apart=st.floats(0, 5),
)
def test_separation_is_the_mean_over_pairs_in_any_order(
    shots: list[int], seed: int, apart: float
) -> None:
    labels = labelled(*shots)
    taps = random_taps(labels, seed, apart)
    found = separation(taps, labels, WITHIN_K)
    arrays = [tap.numpy() for tap in taps]
    class_S = labels.class_S.numpy()
    assert float(found) == pytest.approx(
        reference_separation(arrays, class_S, WITHIN_K.numpy()), abs=1e-9
    )
    order_S = torch.randperm(len(class_S), generator=torch.Generator().manual_seed(seed))
    shuffled = SupportLabels(labels.class_S[order_S], labels.ways, DOUBLE)
    moved = separation(tuple(tap[order_S] for tap in taps), shuffled, WITHIN_K)
    torch.testing.assert_close(moved, found)
    before = log_temperature_by_separation(taps, labels, PARAMETERS)
    assert float(before) == pytest.approx(
        reference_log_temperature_before(arrays, class_S, PARAMETERS), abs=1e-9
    )


def test_golden_separation_of_two_points() -> None:
    """Half of 4^2 over a spread of 2 is 4; the first tap is not looked at."""
    taps = (torch.zeros(2, 1, dtype=DOUBLE), torch.tensor([[0.0], [4.0]], dtype=DOUBLE))
    found = separation(taps, labelled(1, 1), torch.tensor([2.0], dtype=DOUBLE))
    assert float(found) == pytest.approx(np.log(4.0))


def test_labels_of_another_precision_do_not_matter() -> None:
    labels = labelled(2, 1)
    single = replace(labels, dtype=torch.float32)
    taps = random_taps(labels)
    assert torch.equal(separation(taps, single, WITHIN_K), separation(taps, labels, WITHIN_K))


def test_classes_further_apart_are_told_with_more_confidence_within_bounds() -> None:
    labels = labelled(2, 2)
    known = [
        float(log_temperature_by_separation(random_taps(labels, 3, apart), labels, PARAMETERS))
        for apart in (0.0, 1.5, 2.0, 100.0)
    ]
    assert known == sorted(known)
    believed = 4 / (4 + DOUBT)
    assert known[-1] == pytest.approx(float(PRIOR) + SLOPE * believed * 0.5)
    assert known[0] >= float(PRIOR) - SLOPE * believed * 0.5


def test_images_all_alike_are_not_separated() -> None:
    labels = labelled(2, 2)
    alike = tuple(torch.ones(4, width, dtype=DOUBLE) for width in (2, 3, 4))
    lowest = log_temperature_by_separation(alike, labels, PARAMETERS)
    assert float(lowest) == pytest.approx(float(PRIOR) - SLOPE * 4 / (4 + DOUBT) * 0.5)


def test_without_a_spread_the_temperature_starts_where_the_generator_says() -> None:
    unknown = replace(PARAMETERS, within_spread_K=None)
    labels = labelled(1, 2)
    assert log_temperature_by_separation(random_taps(labels), labels, unknown) is PRIOR
    assert prior_spread(unknown) == SPREAD
    assert prior_spread(PARAMETERS) == SPREAD_BY_SEPARATION


def by_evidence(scores_SN: Tensor, labels: SupportLabels) -> Tensor:
    return log_temperature_by_evidence(scores_SN, labels, PRIOR, SPREAD)


def test_one_image_a_class_leaves_the_temperature_as_it_is() -> None:
    scores_SN = torch.randn(4, 4, dtype=DOUBLE)
    assert torch.equal(by_evidence(scores_SN, labelled(1, 1, 1, 1)), PRIOR)


def test_a_lonely_image_says_nothing_of_the_temperature() -> None:
    labels = labelled(3, 1, 3)
    scores_SN = torch.randn(7, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    other_SN = scores_SN.clone()
    other_SN[3] = torch.tensor([40.0, -40.0, 0.0])
    moved = by_evidence(scores_SN, labels)
    assert torch.isfinite(moved)
    assert not torch.equal(moved, PRIOR)
    assert torch.equal(by_evidence(other_SN, labels), moved)
    expected = reference_log_temperature(
        scores_SN.numpy(), labels.class_S.numpy(), float(PRIOR), SPREAD
    )
    assert float(moved) == pytest.approx(expected, abs=1e-12)


def test_a_separable_support_is_trusted_more_than_a_random_one() -> None:
    labels = labelled(5, 5)
    separable_SN = labels.one_hot_SN - 0.5
    random_SN = torch.randn(10, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    trusted = by_evidence(separable_SN, labels)
    doubted = by_evidence(random_SN, labels)
    wrong = by_evidence(-separable_SN, labels)
    assert wrong < doubted < trusted
