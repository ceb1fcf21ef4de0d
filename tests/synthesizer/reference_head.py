"""The closed-form head in numpy, from its definition: least squares, and a refit for each image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.temperature import DOUBT, EVIDENCE_WEIGHT, MARKUP, SLOPE, prior_spread
from sgps.synthesizer.text_evidence import TEXT_TRUST

Floats = np.ndarray


def reference_logits(
    support_taps: Sequence[Floats],
    class_S: np.ndarray,
    query_taps: Sequence[Floats],
    parameters: HeadParameters,
    *,
    unit_rows: bool = True,
) -> Floats:
    """Logits (Q, N) of taps (Q, D_t) by the head of a support with taps (S, D_t)."""
    ways = int(class_S.max()) + 1

    def scores(kept_S: np.ndarray, query_taps: Sequence[Floats]) -> Floats:
        kept = [tap[kept_S] for tap in support_taps]
        return _scores(kept, class_S[kept_S], ways, query_taps, parameters, unit_rows=unit_rows)

    numbers_S = np.arange(len(class_S))
    log_temperature = reference_log_temperature_before(support_taps, class_S, parameters)
    if parameters.temperature_evidence and np.bincount(class_S).max() > 1:
        left_out_SN = np.concatenate(
            [
                scores(np.delete(numbers_S, place), [tap[[place]] for tap in support_taps])
                for place in numbers_S
            ]
        )
        log_temperature = reference_log_temperature(
            left_out_SN, class_S, log_temperature, prior_spread(parameters)
        )
    return np.exp(log_temperature) * scores(numbers_S, query_taps)


def _scores(
    support_taps: Sequence[Floats],
    class_S: np.ndarray,
    ways: int,
    query_taps: Sequence[Floats],
    parameters: HeadParameters,
    *,
    unit_rows: bool,
) -> Floats:
    """Scores (Q, N) before the temperature; classes may be without an image."""
    shots_N = np.bincount(class_S, minlength=ways)
    weights_S = 1 / ((shots_N > 0).sum() * shots_N[class_S])
    rows_SD, rows_QD = (
        standardised(support_taps, weights_S, taps, parameters, unit_rows=unit_rows)
        for taps in (support_taps, query_taps)
    )
    shrink_DD = shrinkage(parameters, rows_SD.shape[1])
    white_SD, white_QD = rows_SD @ shrink_DD, rows_QD @ shrink_DD
    prior_ND = np.broadcast_to(parameters.text_weights_ND.numpy(), (ways, rows_SD.shape[1]))
    targets_SN = np.eye(ways)[class_S] - 1 / ways
    penalty_S = np.exp(float(parameters.log_ridge)) / (weights_S * len(class_S))
    if parameters.whitening is not None:
        penalty_S = penalty_S * (white_SD**2).sum(axis=1).mean()
    if parameters.text_evidence:
        prior_ND = prior_ND * reference_text_strength(
            rows_SD @ prior_ND.T, targets_SN, white_SD @ white_SD.T + np.diag(penalty_S)
        )
    answer_DN = ridge_by_least_squares(white_SD, targets_SN - rows_SD @ prior_ND.T, penalty_S)
    return rows_QD @ prior_ND.T + white_QD @ answer_DN


def standardised(
    support_taps: Sequence[Floats],
    weights_S: Floats,
    taps: Sequence[Floats],
    parameters: HeadParameters,
    *,
    unit_rows: bool,
) -> Floats:
    """Rows (Q, D): each tap around the support's mean, in units of the support's spread."""
    parts = []
    weights_T = np.exp(parameters.log_tap_weights_T.numpy())
    weights_T[: len(parameters.centre_of)] *= reference_centredness(
        support_taps, weights_S, parameters.centre_of
    )
    for support_SD, tap_QD, weight in zip(support_taps, taps, weights_T, strict=True):
        centre_D = np.average(support_SD, axis=0, weights=weights_S)
        spread = np.average(((support_SD - centre_D) ** 2).sum(axis=1), weights=weights_S)
        parts.append((tap_QD - centre_D) * weight / np.sqrt(spread + 1e-8))
    rows_QD = np.hstack(parts)
    return rows_QD / np.linalg.norm(rows_QD, axis=1, keepdims=True) if unit_rows else rows_QD


def reference_centredness(
    support_taps: Sequence[Floats], weights_S: Floats, centre_of: Sequence[int]
) -> float:
    """Trace of the covariance of (middle less mean) in units of the mean's, over 0.5, cut at 1."""
    ratios = []
    for centre, plain in list(enumerate(centre_of))[: len(set(centre_of))]:
        middle_SC = support_taps[centre]
        mean_SC = support_taps[plain][:, : middle_SC.shape[1]]
        apart, whole = (
            np.trace(np.atleast_2d(np.cov(rows_SC.T, aweights=weights_S, ddof=0)))
            for rows_SC in (middle_SC - mean_SC, mean_SC)
        )
        ratios.append(apart / (whole + 1e-8))
    return min(1.0, float(np.mean(ratios)) / 0.5) if ratios else 1.0


def shrinkage(parameters: HeadParameters, width: int) -> Floats:
    """The whitening as a matrix (D, D)."""
    if parameters.whitening is None:
        return np.eye(width)
    basis_RD = parameters.whitening.basis_RD.numpy()
    return np.eye(width) - basis_RD.T @ np.diag(parameters.whitening.shares_R.numpy()) @ basis_RD


def ridge_by_least_squares(rows_SD: Floats, targets_SN: Floats, penalty_S: Floats) -> Floats:
    """The (D, N) that minimises ``sum_s |t_s - V^T x_s|^2 / p_s + |V|^2``, in the rows' span."""
    span_DK = np.linalg.qr(rows_SD.T)[0]
    weights_S1 = penalty_S[:, None] ** -0.5
    design = np.vstack([rows_SD @ span_DK * weights_S1, np.eye(span_DK.shape[1])])
    wanted = np.vstack([targets_SN * weights_S1, np.zeros((span_DK.shape[1], targets_SN.shape[1]))])
    return span_DK @ np.linalg.lstsq(design, wanted, rcond=None)[0]


def reference_text_strength(prior_SN: Floats, targets_SN: Floats, covariance_SS: Floats) -> float:
    """The factor on the prior's scores by least squares of rows made independent, and a pseudo-row.

    ``TEXT_TRUST`` is an observation of the factor itself: that it is 1.
    """
    decorrelate_SS = np.linalg.inv(np.linalg.cholesky(covariance_SS))
    regressor = np.append((decorrelate_SS @ prior_SN).ravel(), TEXT_TRUST**0.5)
    answer = np.append((decorrelate_SS @ targets_SN).ravel(), TEXT_TRUST**0.5)
    return float(np.clip(np.linalg.lstsq(regressor[:, None], answer, rcond=None)[0][0], 0.0, 1.0))


def reference_separation(
    support_taps: Sequence[Floats], class_S: np.ndarray, within_spread_K: Floats
) -> float:
    """Pair by pair: half the square distance of images of two classes, each two classes alike."""
    logs = []
    for tap_SD, within in zip(support_taps[-len(within_spread_K) :], within_spread_K, strict=True):
        apart = [
            np.mean([((a - b) ** 2).sum() / 2 for a in tap_SD[class_S == one]
                     for b in tap_SD[class_S == other]])
            for one, other in combinations(np.unique(class_S), 2)
        ]  # fmt: skip
        logs.append(np.log(np.mean(apart) / within))
    return float(np.mean(logs))


def reference_log_temperature_before(
    support_taps: Sequence[Floats], class_S: np.ndarray, parameters: HeadParameters
) -> float:
    """A line through the separation, flatter for few images, flat beyond 0 and 1."""
    log_temperature = float(parameters.log_temperature)
    if parameters.within_spread_K is None:
        return log_temperature
    within_spread_K = parameters.within_spread_K.numpy()
    seen = np.clip(reference_separation(support_taps, class_S, within_spread_K), 0, 1)
    return float(log_temperature + SLOPE * (seen - 0.5) / (1 + DOUBT / len(class_S)))


def reference_log_temperature(
    left_out_SN: Floats, class_S: np.ndarray, log_prior: float, spread: float
) -> float:
    """Posterior mean of the log temperature over a grid, and the markup."""
    counted = [image for image, number in enumerate(class_S) if (class_S == number).sum() > 1]
    if not counted:
        return log_prior
    grid = log_prior + np.linspace(-2.4, 2.4, 49)
    evidence = []
    for log_temperature in grid:
        loss = 0.0
        for image in counted:
            scores_N = np.exp(log_temperature) * left_out_SN[image]
            loss += np.log(np.exp(scores_N).sum()) - scores_N[class_S[image]]
        off = (log_temperature - log_prior) / spread
        evidence.append(np.exp(-EVIDENCE_WEIGHT * loss - off**2 / 2))
    return float(np.average(grid, weights=evidence)) + MARKUP
