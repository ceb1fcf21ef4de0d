"""The generated head: ridge regression in closed form over taps, with meta-learned priors.

Shapes: S support images, Q queries, N classes, D features over all taps, R directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sgps.synthesizer.centre_pooling import object_centredness, spread
from sgps.synthesizer.head_parameters import SMALLEST_PENALTY, HeadParameters
from sgps.synthesizer.leave_one_out import SupportGrams
from sgps.synthesizer.support_labels import SupportLabels
from sgps.synthesizer.temperature import (
    log_temperature_by_evidence,
    log_temperature_by_separation,
    prior_spread,
)
from sgps.synthesizer.text_evidence import text_strength


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
    temperature = _log_temperature(support_taps, labels, parameters, unit_rows=unit_rows).exp()
    return LinearHead(
        centre_D, scale_D, weight_ND * temperature, unsolved.bias_N, unit_rows, temperature
    )


def _log_temperature(
    support_taps: tuple[Tensor, ...],
    labels: SupportLabels,
    parameters: HeadParameters,
    *,
    unit_rows: bool,
) -> Tensor:
    log_temperature = log_temperature_by_separation(support_taps, labels, parameters)
    if not parameters.temperature_evidence or not bool((labels.shots_N > 1).any()):
        return log_temperature
    grams = SupportGrams.of(support_taps, parameters)
    left_out_SN = grams.scores_of_left_out(labels, parameters, unit_rows=unit_rows)
    spread = prior_spread(parameters)
    return log_temperature_by_evidence(left_out_SN, labels, log_temperature, spread)


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
