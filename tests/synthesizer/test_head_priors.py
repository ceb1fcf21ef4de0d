"""The fitted priors against numpy and scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sgps.synthesizer import GeneratorConfig
from sgps.synthesizer.head_priors import DomainFeatures, HeadPriors, centred_texts
from sgps.synthesizer.tapped_network import TapLayout

from .reference_head import standardised

DOUBLE = torch.float64
TAP_WIDTHS = (2, 4, 3)
LAYOUT = TapLayout(TAP_WIDTHS, centre_of=(1,))
WIDTH = sum(TAP_WIDTHS)
TEXT_WIDTH = 6


def build(**changes: object) -> HeadPriors:
    sizes = {"initial_tap_weights": (0.5, 1.0), "whitening_rank": WIDTH, "text_rank": 5,
             "text_width": TEXT_WIDTH}  # fmt: skip
    return HeadPriors(GeneratorConfig(**(sizes | changes)), LAYOUT).double()


def domain(
    seed: int, classes: int, images: int, *, described: Sequence[int] | None = None
) -> DomainFeatures:
    """Random features of ``images`` images in unequal classes; all described by default."""
    random = torch.Generator().manual_seed(seed)
    class_I = torch.cat(
        [torch.arange(classes), torch.randint(classes, (images - classes,), generator=random)]
    )
    texts_CF = torch.zeros(classes, TEXT_WIDTH, dtype=DOUBLE)
    for number in range(classes) if described is None else described:
        texts_CF[number] = torch.randn(TEXT_WIDTH, dtype=DOUBLE, generator=random)
    means_CD = torch.randn(classes, WIDTH, dtype=DOUBLE, generator=random)
    noise_ID = torch.randn(images, WIDTH, dtype=DOUBLE, generator=random)
    rows_ID = means_CD[class_I] + noise_ID * torch.linspace(0.2, 2, WIDTH)
    return DomainFeatures(rows_ID.split(TAP_WIDTHS, dim=1), class_I, texts_CF)


def class_means(given: DomainFeatures, priors: HeadPriors) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows (I, D) of a domain, and the mean (C, D) of each class, by numpy."""
    taps = [tap.numpy() for tap in given.taps]
    images = len(taps[0])
    parameters = priors(torch.zeros(2, TEXT_WIDTH, dtype=DOUBLE))
    rows_ID = standardised(taps, np.full(images, 1 / images), taps, parameters, unit_rows=True)
    class_I = given.class_I.numpy()
    return rows_ID, np.stack([rows_ID[class_I == c].mean(axis=0) for c in np.unique(class_I)])


def within_class_covariance(domains: Sequence[DomainFeatures], priors: HeadPriors) -> np.ndarray:
    residuals = []
    for given_domain in domains:
        rows_ID, means_CD = class_means(given_domain, priors)
        residuals.append(rows_ID - means_CD[given_domain.class_I.numpy()])
    everything_ID = np.vstack(residuals)
    return np.einsum("id,ie->de", everything_ID, everything_ID) / len(everything_ID)


def whitening_matrix(priors: HeadPriors) -> np.ndarray:
    whitening = priors(torch.zeros(2, TEXT_WIDTH, dtype=DOUBLE)).whitening
    assert whitening is not None
    return whitening(torch.eye(WIDTH, dtype=DOUBLE)).numpy()


def test_of_full_rank_the_whitening_is_the_root_of_the_shrunk_inverse_covariance() -> None:
    """``A = (level (C + level I)^-1)^(1/2)`` with C the covariance of numpy."""
    priors = build(whitening_shrinkage=0.7)
    domains = [domain(0, 3, 20), domain(1, 4, 15)]
    priors.fit(domains)
    covariance_DD = within_class_covariance(domains, priors)
    level = 0.7 * np.trace(covariance_DD) / WIDTH
    whiten_DD = whitening_matrix(priors)
    shrunk_DD = covariance_DD + level * np.eye(WIDTH)
    np.testing.assert_allclose(whiten_DD @ shrunk_DD @ whiten_DD, level * np.eye(WIDTH), atol=1e-12)


def test_of_lower_rank_it_shrinks_the_widest_directions_alone() -> None:
    priors = build(whitening_rank=2, whitening_shrinkage=1.0)
    priors.fit([domain(0, 3, 30)])
    covariance_DD = within_class_covariance([domain(0, 3, 30)], priors)
    values_D, vectors_DD = np.linalg.eigh(covariance_DD)
    whiten_DD = whitening_matrix(priors)
    np.testing.assert_allclose(whiten_DD @ vectors_DD[:, :-2], vectors_DD[:, :-2], atol=1e-12)
    level = values_D.mean()
    gain_2 = np.sqrt(level / (values_D[-2:] + level))
    np.testing.assert_allclose(
        whiten_DD @ vectors_DD[:, -2:], vectors_DD[:, -2:] * gain_2, atol=1e-12
    )


@pytest.mark.parametrize("rank", [WIDTH, 2])
def test_of_fewer_images_than_features_it_is_the_same(rank: int) -> None:
    priors = build(whitening_rank=rank, whitening_shrinkage=0.7)
    few = [domain(2, 2, 6)]
    priors.fit(few)
    covariance_DD = within_class_covariance(few, priors)
    values_D, vectors_DD = np.linalg.eigh(covariance_DD)
    level = 0.7 * np.trace(covariance_DD) / WIDTH
    gain_D = np.ones(WIDTH)
    gain_D[-rank:] = np.sqrt(level / (values_D[-rank:].clip(0) + level))
    np.testing.assert_allclose(
        whitening_matrix(priors), (vectors_DD * gain_D) @ vectors_DD.T, atol=1e-12
    )


def test_the_text_map_is_scikit_learns_ridge() -> None:
    from sklearn.linear_model import Ridge

    priors = build(text_ridge=2.0, text_strength=3.0)
    domains = [domain(2, 3, 20), domain(3, 4, 30, described=(0, 2, 3))]
    priors.fit(domains)
    texts, means = [], []
    for given_domain in domains:
        present = (given_domain.texts_CF.abs().sum(dim=1) > 0).numpy()
        texts_CF = given_domain.texts_CF.numpy()[present]
        means_CD = class_means(given_domain, priors)[1][present]
        texts.append(texts_CF - texts_CF.mean(axis=0))
        means.append(means_CD - means_CD.mean(axis=0))
    ridge = Ridge(alpha=2.0, fit_intercept=False).fit(np.vstack(texts), np.vstack(means))
    fresh_NF = torch.randn(4, TEXT_WIDTH, dtype=DOUBLE)
    expected = 3.0 * ridge.predict((fresh_NF - fresh_NF.mean(dim=0)).numpy())
    np.testing.assert_allclose(priors(fresh_NF).text_weights_ND.numpy(), expected, atol=1e-10)


def test_of_lower_rank_the_text_map_is_the_nearest_there_is() -> None:
    whole, cut = build(text_rank=5, text_strength=1.0), build(text_rank=2, text_strength=1.0)
    for priors in (whole, cut):
        priors.fit([domain(4, 5, 40)])
    left_FK, values_K, right_KD = np.linalg.svd((whole.text_down_FK @ whole.text_up_KD).numpy())
    np.testing.assert_allclose(
        (cut.text_down_FK @ cut.text_up_KD).numpy(),
        left_FK[:, :2] * values_K[:2] @ right_KD[:2],
        atol=1e-10,
    )


def test_classes_without_a_text_have_no_prior() -> None:
    priors = build()
    priors.fit([domain(5, 4, 30)])
    texts_NF = torch.randn(3, TEXT_WIDTH, dtype=DOUBLE)
    texts_NF[1] = 0
    weights_ND = priors(texts_NF).text_weights_ND
    assert weights_ND[1].abs().sum() == 0
    torch.testing.assert_close(weights_ND[0], -weights_ND[2])
    assert priors(torch.zeros_like(texts_NF)).text_weights_ND.abs().sum() == 0


@pytest.mark.parametrize("described", [(), (1,)])
def test_fewer_than_two_described_classes_fit_no_text_map(described: tuple[int, ...]) -> None:
    priors = build()
    priors.fit([domain(6, 3, 20, described=described)])
    texts_NF = torch.randn(3, TEXT_WIDTH, dtype=DOUBLE)
    assert priors(texts_NF).text_weights_ND.abs().sum() == 0
    assert (priors.shares_R > 0).any()


def test_unfitted_they_know_nothing() -> None:
    priors = build()
    parameters = priors(torch.randn(3, TEXT_WIDTH, dtype=DOUBLE))
    assert parameters.text_weights_ND.abs().sum() == 0
    np.testing.assert_array_equal(whitening_matrix(priors), np.eye(WIDTH))


def test_a_second_fit_forgets_the_first() -> None:
    again, once = build(), build()
    again.fit([domain(7, 3, 20)])
    again.fit([domain(8, 4, 25)])
    once.fit([domain(8, 4, 25)])
    assert all(torch.equal(again.state_dict()[key], once.state_dict()[key]) for key in
               ("basis_RD", "shares_R", "text_down_FK", "text_up_KD"))  # fmt: skip


def test_the_spread_within_classes_is_that_of_the_plain_taps_over_all_images() -> None:
    priors = build()
    assert priors(torch.zeros(2, TEXT_WIDTH, dtype=DOUBLE)).within_spread_K is None
    domains = [domain(4, 3, 20), domain(5, 4, 15)]
    priors.fit(domains)
    found = priors(torch.zeros(2, TEXT_WIDTH, dtype=DOUBLE)).within_spread_K
    assert found is not None
    expected = []
    for place in (1, 2):
        squares = []
        for given_domain in domains:
            rows, classes = given_domain.taps[place].numpy(), given_domain.class_I.numpy()
            for number in np.unique(classes):
                of_class = rows[classes == number]
                squares += list(((of_class - of_class.mean(axis=0)) ** 2).sum(axis=1))
        expected.append(np.mean(squares))
    np.testing.assert_allclose(found.numpy(), expected)


def test_without_separation_taps_no_spread_is_kept() -> None:
    priors = build(separation_taps=0)
    priors.fit([domain(4, 3, 20)])
    assert "within_spread_K" not in priors.state_dict()
    assert priors(torch.zeros(2, TEXT_WIDTH, dtype=DOUBLE)).within_spread_K is None


def test_the_body_is_trained_through_a_head_without_priors() -> None:
    priors = build(initial_temperature=8.0, temperature=5.0)
    priors.fit([domain(9, 4, 30)])
    plain, fitted = priors.plain(), priors(torch.randn(2, TEXT_WIDTH, dtype=DOUBLE))
    assert plain.whitening is None
    assert plain.centre_of == ()
    assert plain.log_tap_weights_T.exp().tolist() == pytest.approx([0.5, 1.0])
    assert plain.text_weights_ND.shape[1] == sum(LAYOUT.plain_widths) == 7
    assert fitted.centre_of == (1,)
    assert fitted.log_tap_weights_T.exp().tolist() == pytest.approx([0.7, 0.5, 1.0])
    assert not plain.temperature_evidence
    assert plain.text_weights_ND.abs().sum() == 0
    assert float(plain.log_temperature.detach().exp()) == pytest.approx(8.0)
    assert float(fitted.log_temperature.exp()) == pytest.approx(5.0)
    learned = [name for name, parameter in priors.named_parameters() if parameter.requires_grad]
    assert learned == ["log_temperature"]


@settings(max_examples=30, deadline=None)
@given(
    texts_NF=arrays.arrays(np.float64, (4, 3), elements=st.floats(0.1, 5)),
    present=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_texts_are_centred_over_the_classes_that_have_one(
    texts_NF: np.ndarray, present: list[bool]
) -> None:
    given_NF = texts_NF * np.array(present)[:, None]
    centred_NF = centred_texts(torch.from_numpy(given_NF)).numpy()
    assert not centred_NF[~np.array(present)].any()
    if any(present):
        expected = texts_NF[present] - texts_NF[present].mean(axis=0)
        np.testing.assert_allclose(centred_NF[present], expected, atol=1e-12)
