from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgps.synthesizer.abstention import (
    PRIOR_IMAGES,
    PRIOR_THRESHOLD,
    abstention_threshold,
    nearest_support,
)
from sgps.synthesizer.support_labels import SupportLabels

from .conftest import labelled

DOUBLE = torch.float64


def scores_of(confidence_S: list[float], answers: list[int], ways: int = 2) -> torch.Tensor:
    """Scores whose softmax at temperature 1 gives these confidences to these answers."""
    scores_SN = torch.empty(len(answers), ways, dtype=DOUBLE)
    for row, (confidence, answer) in enumerate(zip(confidence_S, answers, strict=True)):
        scores_SN[row] = np.log((1 - confidence) / (ways - 1))
        scores_SN[row, answer] = np.log(confidence)
    return scores_SN


def shrunk(found: float, images: int) -> float:
    return (images * found + PRIOR_IMAGES * PRIOR_THRESHOLD) / (images + PRIOR_IMAGES)


def test_golden() -> None:
    """Right at 0.95, 0.9, 0.8, wrong at 0.7, right at 0.6: of 5, 4 are right; of 3, all."""
    scores_SN = scores_of([0.95, 0.9, 0.8, 0.7, 0.6], [0, 0, 0, 0, 1])
    labels = labelled(3, 2)
    assert abstention_threshold(scores_SN, labels, 1.0, 0.9) == pytest.approx(shrunk(0.8, 5))
    assert abstention_threshold(scores_SN, labels, 1.0, 0.8) == pytest.approx(shrunk(0.6, 5))


def test_one_image_a_class_gives_the_prior() -> None:
    scores_SN = torch.randn(3, 3, dtype=DOUBLE)
    assert abstention_threshold(scores_SN, labelled(1, 1, 1), 5.0) == PRIOR_THRESHOLD


def test_the_only_image_of_a_class_is_not_counted() -> None:
    scores_SN = scores_of([0.9, 0.8, 0.99], [0, 0, 0])
    assert abstention_threshold(scores_SN, labelled(2, 1), 1.0) == pytest.approx(shrunk(0.8, 2))


def test_a_classifier_that_is_always_wrong_abstains_more_the_more_is_known() -> None:
    few, many = (
        abstention_threshold(
            scores_of([0.9] * 2 * shots, [1] * shots + [0] * shots), labelled(shots, shots), 1.0
        )
        for shots in (2, 50)
    )
    assert PRIOR_THRESHOLD < few < many < 1
    assert many == pytest.approx(shrunk(1.0, 100))


def test_equal_confidences_stand_or_fall_together() -> None:
    scores_SN = scores_of([0.8, 0.8, 0.8, 0.8], [0, 0, 0, 1])
    assert abstention_threshold(scores_SN, labelled(2, 2), 1.0, 0.9) == pytest.approx(shrunk(1, 4))
    assert abstention_threshold(scores_SN, labelled(2, 2), 1.0, 0.75) == pytest.approx(
        shrunk(0.8, 4)
    )


@settings(max_examples=60, deadline=None)
@given(
    shots=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    seed=st.integers(0, 2**32),
    temperature=st.floats(0.1, 20),
    targets=st.tuples(st.floats(0.05, 1.0), st.floats(0.05, 1.0)),
)
def test_more_accuracy_never_asks_for_less_confidence(
    shots: list[int], seed: int, temperature: float, targets: tuple[float, float]
) -> None:
    labels = labelled(*shots)
    scores_SN = torch.randn(
        sum(shots), len(shots), dtype=DOUBLE, generator=torch.Generator().manual_seed(seed)
    )
    low, high = (
        abstention_threshold(scores_SN, labels, temperature, target) for target in sorted(targets)
    )
    assert 0 <= low <= high <= 1
    order_S = torch.randperm(sum(shots), generator=torch.Generator().manual_seed(seed))
    shuffled = SupportLabels(labels.class_S[order_S], labels.ways, DOUBLE)
    assert abstention_threshold(
        scores_SN[order_S], shuffled, torch.tensor(temperature, dtype=DOUBLE), max(targets)
    ) == pytest.approx(high)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), target=st.floats(0.1, 1.0), images=st.integers(2, 20))
def test_what_was_found_holds_on_the_left_out_images(seed: int, target: float, images: int) -> None:
    random = torch.Generator().manual_seed(seed)
    labels = SupportLabels(torch.arange(2 * images) % 2, 2, DOUBLE)
    scores_SN = torch.randn(2 * images, 2, dtype=DOUBLE, generator=random)
    threshold = abstention_threshold(scores_SN, labels, 3.0, target)
    found = (threshold * (2 * images + PRIOR_IMAGES) - PRIOR_IMAGES * PRIOR_THRESHOLD) / 2 / images
    confidence_S, answer_S = (3.0 * scores_SN).softmax(dim=1).max(dim=1)
    right_S = (answer_S == labels.class_S).double()
    answered_S = confidence_S >= found - 1e-9
    if found < 1 - 1e-9:
        assert float(right_S[answered_S].mean()) >= target - 1e-9
    for lower in confidence_S[confidence_S < found - 1e-9].tolist():
        assert float(right_S[confidence_S >= lower].mean()) < target


@pytest.mark.parametrize("target", [0.0, -0.1, 1.1, float("nan")])
def test_impossible_targets_are_refused(target: float) -> None:
    with pytest.raises(ValueError, match="target accuracy"):
        abstention_threshold(torch.zeros(2, 2), labelled(1, 1), 1.0, target)


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(3, 2\)"):
        abstention_threshold(torch.zeros(2, 2), labelled(2, 1), 1.0)


def test_the_nearest_by_hand() -> None:
    support_SD = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    queries_QD = torch.tensor([[0.1, 5.0], [-1.0, -1.0], [2.0, 2.0], [0.0, 0.0]])
    index_Q, similarity_Q = nearest_support(queries_QD, support_SD)
    assert index_Q.tolist() == [1, 2, 0, 0]
    torch.testing.assert_close(
        similarity_Q, torch.tensor([5 / 25.01**0.5, 0.5**0.5, 0.5**0.5, 0.0])
    )


@settings(max_examples=40, deadline=None)
@given(
    queries=st.integers(0, 4),
    support=st.integers(1, 6),
    width=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_the_nearest_is_the_first_of_the_most_similar(
    queries: int, support: int, width: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    support_SD = torch.randn(support, width, dtype=DOUBLE, generator=random)
    queries_QD = torch.randn(queries, width, dtype=DOUBLE, generator=random)
    index_Q, similarity_Q = nearest_support(queries_QD, support_SD)
    assert index_Q.shape == similarity_Q.shape == (queries,)
    for query in range(queries):
        cosine_S = torch.nn.functional.cosine_similarity(queries_QD[query : query + 1], support_SD)
        assert float(similarity_Q[query]) == pytest.approx(float(cosine_S.max()))
        assert float(cosine_S[index_Q[query]]) == pytest.approx(float(cosine_S.max()))
    scaled, _ = nearest_support(3 * queries_QD, torch.cat([support_SD, support_SD]))
    assert torch.equal(scaled % support, index_Q)
    own_S, same_S = nearest_support(support_SD, support_SD)
    assert torch.allclose(same_S, torch.ones(support, dtype=DOUBLE))
    assert len(own_S) == support


@pytest.mark.parametrize("shape", [(0, 3), (2, 4)])
def test_rows_that_do_not_fit_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="support rows of shape"):
        nearest_support(torch.zeros(2, 3), torch.zeros(shape))
