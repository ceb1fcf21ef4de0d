"""The generated head: ridge regression in closed form over taps, with meta-learned priors.

Shapes: S support images, Q queries, N classes, D features over all taps, R directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sgps.synthesizer.centre_pooling import object_centredness, spread

EVIDENCE_WEIGHT = 0.5
PRIOR_SPREAD = 1.0
DISCOUNT = 0.3
"""Of the temperature by evidence: what one left-out image counts, standard deviation of the prior's
log, and what is taken off the log, since averaged support views are easier than queries. Of least
calibration error at 3 and 5 shots over the datasets of role novel_val."""

TEXT_TRUST = 0.5
"""Weight of the belief that a text is right, beside what a support says of it (see
:func:`text_strength`). Chosen on novel_val: no loss with right texts, a third to two thirds less
with those of other classes."""


SMALLEST_PENALTY = 1e-9
"""Of the ridge, so that images which are all alike still have a solution."""


@dataclass(frozen=True)
class SupportLabels:
    """Which class each support image belongs to.

    Attributes
    ----------
    class_S: class number of each image, in [0, N).
    ways: N.
    dtype: of what is derived from them.
    """

    class_S: Tensor
    ways: int
    dtype: torch.dtype = torch.float32

    @property
    def one_hot_SN(self) -> Tensor:
        """One-hot labels (S, N)."""
        return torch.nn.functional.one_hot(self.class_S, self.ways).to(self.dtype)

    @property
    def shots_N(self) -> Tensor:
        """Number of images of each class, (N,)."""
        return self.one_hot_SN.sum(dim=0)

    @property
    def weights_S(self) -> Tensor:
        """Class-balanced image weights: each class weighs 1 / N, all images together 1."""
        return (self.shots_N * self.ways).reciprocal()[self.class_S]


@dataclass(frozen=True)
class Whitening:
    """A symmetric map that shrinks the directions in which images of one class differ.

    ``x - sum_r share_r (x . basis_r) basis_r``; shares of 0 change nothing.

    Attributes
    ----------
    basis_RD: orthonormal directions.
    shares_R: how much of each direction is taken away, in [0, 1).
    """

    basis_RD: Tensor
    shares_R: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        """Map rows (..., D)."""
        return rows - ((rows @ self.basis_RD.T) * self.shares_R) @ self.basis_RD


@dataclass(frozen=True)
class HeadParameters:
    """What the generator says of the head.

    Attributes
    ----------
    log_tap_weights_T: weight of each tap, log scale.
    log_ridge: ridge strength relative to unit-norm features, log scale; scalar.
    log_temperature: factor from ridge scores to logits, log scale; scalar.
    text_weights_ND: prior mean of the linear layer, from the class texts; zero where absent.
    whitening: of the within-class covariance of meta-training; None leaves the rows as they are.
    temperature_evidence: whether the temperature moves from `log_temperature` to what the support
        says when each image is left out in turn; needs two images of a class.
    text_evidence: whether the text weights are taken back as far as the support contradicts them.
    centre_of: for each centre tap, which come first, the place of its block's plain tap; they count
        as far as :func:`sgps.synthesizer.centre_pooling.object_centredness` says.
    """

    log_tap_weights_T: Tensor
    log_ridge: Tensor
    log_temperature: Tensor
    text_weights_ND: Tensor
    whitening: Whitening | None = None
    temperature_evidence: bool = False
    text_evidence: bool = False
    centre_of: tuple[int, ...] = ()

    def tap_weights(self, centredness: Tensor | None) -> Tensor:
        """Weight of each tap, (T,), in a task that is as object-centred as this."""
        weights_T = self.log_tap_weights_T.exp()
        if centredness is None:
            return weights_T
        centre_taps = len(self.centre_of)
        return torch.cat([weights_T[:centre_taps] * centredness, weights_T[centre_taps:]])


@dataclass(frozen=True)
class LinearHead:
    """A linear layer over taps, ready to be exported.

    ``logits = unit(scale_D * (taps_D - centre_D)) @ weight_ND^T + bias_N``, where ``unit`` divides
    a row by its norm if ``unit_rows`` is set and is the identity otherwise. ``temperature`` is what
    the weights were multiplied by, where that is known.
    """

    centre_D: Tensor
    scale_D: Tensor
    weight_ND: Tensor
    bias_N: Tensor
    unit_rows: bool
    temperature: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The head's tensors by name: centre (D,), scale (D,), weight (N, D), bias (N,)."""
        return {
            "centre": self.centre_D,
            "scale": self.scale_D,
            "weight": self.weight_ND,
            "bias": self.bias_N,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], *, unit_rows: bool) -> LinearHead:
        """The inverse of :meth:`tensors`."""
        return cls(
            tensors["centre"], tensors["scale"], tensors["weight"], tensors["bias"], unit_rows
        )

    def to(self, device: torch.device) -> LinearHead:
        """The head on another device, cut off from any gradient."""
        moved = {name: tensor.detach().to(device) for name, tensor in self.tensors().items()}
        return LinearHead.from_tensors(moved, unit_rows=self.unit_rows)

    def reordered(self, order_N: Tensor) -> LinearHead:
        """The head whose output i is this one's output ``order_N[i]``."""
        return replace(self, weight_ND=self.weight_ND[order_N], bias_N=self.bias_N[order_N])

    def features(self, taps: tuple[Tensor, ...]) -> Tensor:
        """Rows (Q, D) that the linear layer sees, from taps of (Q, D_t) each."""
        rows = (torch.cat(taps, dim=1) - self.centre_D) * self.scale_D
        return torch.nn.functional.normalize(rows, dim=1, eps=1e-6) if self.unit_rows else rows

    def logits(self, taps: tuple[Tensor, ...]) -> Tensor:
        """Logits (Q, N) from taps of (Q, D_t) each."""
        return self.scores(self.features(taps))

    def scores(self, rows_QD: Tensor) -> Tensor:
        """Logits (Q, N) from rows of :meth:`features`."""
        return rows_QD @ self.weight_ND.T + self.bias_N


def solve_head(
    support_taps: tuple[Tensor, ...],
    labels: SupportLabels,
    parameters: HeadParameters,
    *,
    unit_rows: bool,
) -> LinearHead:
    """Solve the head from the support set, differentiably.

    Minimises ``sum_s r_s |y_s - W phi_s|^2 + lambda |(W - W_text) A^-1|^2`` with class-balanced
    weights r, in its dual form (an S x S system), after each tap was centred and scaled by the
    support; A is the whitening. The result is linear in the plain rows: A is folded into W.
    Ridge regression as a differentiable head: Bertinetto et al. 2019 (R2-D2).
    """
    centre_D, scale_D = _standardisation(support_taps, labels, parameters)
    width = centre_D.shape[0]
    unsolved = LinearHead(
        centre_D, scale_D, centre_D.new_zeros(labels.ways, width),
        centre_D.new_zeros(labels.ways), unit_rows,
    )  # fmt: skip
    rows_SD = unsolved.features(support_taps)
    whiten = parameters.whitening or _unchanged
    white_SD = whiten(rows_SD)
    targets_SN = labels.one_hot_SN.to(rows_SD.dtype) - 1.0 / labels.ways
    prior_ND = parameters.text_weights_ND
    kernel_SS = white_SD @ white_SD.T
    penalty_S = parameters.log_ridge.exp() / (labels.weights_S * rows_SD.shape[0])
    if parameters.whitening is not None:
        penalty_S = penalty_S * kernel_SS.diagonal().mean().clamp_min(SMALLEST_PENALTY)
    kernel_SS = kernel_SS + torch.diag(penalty_S)
    prior_SN = rows_SD @ prior_ND.T
    if parameters.text_evidence:
        strength = text_strength(kernel_SS, prior_SN, targets_SN)
        prior_ND, prior_SN = strength * prior_ND, strength * prior_SN
    dual_SN = torch.linalg.solve(kernel_SS, targets_SN - prior_SN)
    weight_ND = prior_ND + whiten(dual_SN.T @ white_SD)
    log_temperature = parameters.log_temperature
    if parameters.temperature_evidence:
        left_out_SN = leave_one_out_scores(kernel_SS, dual_SN, targets_SN)
        log_temperature = temperature_by_evidence(left_out_SN, labels, log_temperature)
    temperature = log_temperature.exp()
    return LinearHead(
        centre_D, scale_D, weight_ND * temperature, unsolved.bias_N, unit_rows, temperature
    )


def text_strength(kernel_SS: Tensor, prior_SN: Tensor, targets_SN: Tensor) -> Tensor:
    """How much of the text weights a support leaves standing: a scalar in [0, 1].

    The factor on the texts' scores of the support that explains the targets best (generalised least
    squares under the kernel with its ridge), drawn to 1 by a belief of weight ``TEXT_TRUST``. Texts
    that agree with the images are taken whole, at one image a class too.
    """
    explained_SN = torch.linalg.solve(kernel_SS, prior_SN)
    agreement = (explained_SN * targets_SN).sum()
    size = (explained_SN * prior_SN).sum()
    strength: Tensor = (agreement + TEXT_TRUST) / (size + TEXT_TRUST)
    return strength.clamp(0.0, 1.0)


def leave_one_out_scores(kernel_SS: Tensor, dual_SN: Tensor, targets_SN: Tensor) -> Tensor:
    """Scores (S, N) of each support image by the head that was solved without it.

    kernel_SS: Gram matrix with the ridge on its diagonal. dual_SN: its solution for the targets.
    The identity of leave-one-out residuals, ``r_s = dual_s / (K^-1)_ss``: Rifkin & Lippert 2007.
    """
    inverse_S: Tensor = torch.linalg.inv(kernel_SS).diagonal()
    return targets_SN - dual_SN / inverse_S.unsqueeze(1)


def temperature_by_evidence(
    left_out_SN: Tensor, labels: SupportLabels, log_prior: Tensor
) -> Tensor:
    """Log temperature (scalar) that a task's own left-out scores speak for.

    The mean under ``p(T) ~ exp(-w sum_s CE_s(T)) N(log T; log_prior, spread^2)`` on a grid, the sum
    over images whose class has another one, less the discount; without any such image the prior.
    """
    counted_S = (labels.shots_N > 1)[labels.class_S]
    if not bool(counted_S.any()):
        return log_prior
    steps_G = torch.linspace(-2.4, 2.4, 49, dtype=left_out_SN.dtype, device=left_out_SN.device)
    grid_G = log_prior + steps_G
    scores_GSN = grid_G.exp().view(-1, 1, 1) * left_out_SN[counted_S]
    truth_S = labels.class_S[counted_S]
    losses_GS = torch.nn.functional.cross_entropy(
        scores_GSN.flatten(0, 1), truth_S.repeat(len(grid_G)), reduction="none"
    ).view(len(grid_G), -1)
    fit_G = EVIDENCE_WEIGHT * losses_GS.sum(dim=1) + 0.5 * (steps_G / PRIOR_SPREAD).square()
    log_temperature: Tensor = ((-fit_G).softmax(dim=0) * grid_G).sum() - DISCOUNT
    return log_temperature


def _unchanged(rows: Tensor) -> Tensor:
    return rows


def _standardisation(
    support_taps: tuple[Tensor, ...], labels: SupportLabels, parameters: HeadParameters
) -> tuple[Tensor, Tensor]:
    """Centre (D,) and scale (D,): each tap has class-balanced mean 0 and mean square norm w_t^2.

    Centre taps have (w_t c)^2, where c is how object-centred the support is.
    """
    weights_S = labels.weights_S
    centredness = None
    if parameters.centre_of:
        centredness = object_centredness(support_taps, weights_S, parameters.centre_of)
    weights_T = parameters.tap_weights(centredness)
    centres: list[Tensor] = []
    scales: list[Tensor] = []
    for tap, features_SD in enumerate(support_taps):
        scale = weights_T[tap] / (spread(features_SD, weights_S) + 1e-8).sqrt()
        centres.append((weights_S.unsqueeze(1) * features_SD).sum(dim=0))
        scales.append(scale.expand(features_SD.shape[1]))
    return torch.cat(centres), torch.cat(scales)


def unit_rows_of_domain(taps: tuple[Tensor, ...], parameters: HeadParameters) -> Tensor:
    """Unit rows (I, D) of images of one dataset, centred and scaled as if they were one support."""
    numbers_I = torch.arange(len(taps[0]), device=taps[0].device)
    one_each = SupportLabels(numbers_I, len(taps[0]), taps[0].dtype)
    centre_D, scale_D = _standardisation(taps, one_each, parameters)
    nothing = centre_D.new_zeros(0)
    return LinearHead(centre_D, scale_D, nothing, nothing, unit_rows=True).features(taps)


def fold_single_tap(head: LinearHead) -> tuple[Tensor, Tensor]:
    """Weight (N, D) and bias (N,) of the plain linear layer that equals a head without unit rows.

    Raises
    ------
    ValueError: the head divides rows by their norm, which no linear layer can.
    """
    if head.unit_rows:
        raise ValueError("a head with unit rows is not linear in its taps")
    weight_ND = head.weight_ND * head.scale_D
    return weight_ND, head.bias_N - weight_ND @ head.centre_D
