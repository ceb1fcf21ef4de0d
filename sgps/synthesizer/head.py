"""The generated head: ridge regression in closed form over taps, with a text prior.

Shapes: S support images, Q queries, N classes, D features over all taps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor


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
class HeadParameters:
    """What the generator says of the head.

    Attributes
    ----------
    log_tap_weights_T: weight of each tap, log scale.
    log_ridge: ridge strength relative to unit-norm features, log scale; scalar.
    log_temperature: factor from ridge scores to logits, log scale; scalar.
    text_weights_ND: prior mean of the linear layer, from the class texts; zero where absent.
    """

    log_tap_weights_T: Tensor
    log_ridge: Tensor
    log_temperature: Tensor
    text_weights_ND: Tensor


@dataclass(frozen=True)
class LinearHead:
    """A linear layer over taps, ready to be exported.

    ``logits = unit(scale_D * (taps_D - centre_D)) @ weight_ND^T + bias_N``, where ``unit`` divides
    a row by its norm if ``unit_rows`` is set and is the identity otherwise.
    """

    centre_D: Tensor
    scale_D: Tensor
    weight_ND: Tensor
    bias_N: Tensor
    unit_rows: bool

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
        return self.features(taps) @ self.weight_ND.T + self.bias_N


def solve_head(
    support_taps: tuple[Tensor, ...],
    labels: SupportLabels,
    parameters: HeadParameters,
    *,
    unit_rows: bool,
) -> LinearHead:
    """Solve the head from the support set, differentiably.

    Minimises ``sum_s r_s |y_s - W phi_s|^2 + lambda |W - W_text|^2`` with class-balanced weights
    r, in its dual form (an S x S system), after each tap was centred and scaled by the support.
    Ridge regression as a differentiable head: Bertinetto et al. 2019 (R2-D2).
    """
    centre_D, scale_D = _standardisation(support_taps, labels, parameters.log_tap_weights_T)
    width = centre_D.shape[0]
    unsolved = LinearHead(
        centre_D, scale_D, centre_D.new_zeros(labels.ways, width),
        centre_D.new_zeros(labels.ways), unit_rows,
    )  # fmt: skip
    rows_SD = unsolved.features(support_taps)
    targets_SN = labels.one_hot_SN.to(rows_SD.dtype) - 1.0 / labels.ways
    prior_ND = parameters.text_weights_ND
    images = rows_SD.shape[0]
    penalty_S = parameters.log_ridge.exp() / (labels.weights_S * images)
    kernel_SS = rows_SD @ rows_SD.T + torch.diag(penalty_S)
    dual_SN = torch.linalg.solve(kernel_SS, targets_SN - rows_SD @ prior_ND.T)
    weight_ND = prior_ND + dual_SN.T @ rows_SD
    return LinearHead(
        centre_D, scale_D, weight_ND * parameters.log_temperature.exp(), unsolved.bias_N, unit_rows
    )


def _standardisation(
    support_taps: tuple[Tensor, ...], labels: SupportLabels, log_tap_weights_T: Tensor
) -> tuple[Tensor, Tensor]:
    """Centre (D,) and scale (D,): each tap has class-balanced mean 0 and mean square norm w_t^2."""
    weights_S1 = labels.weights_S.unsqueeze(1)
    centres: list[Tensor] = []
    scales: list[Tensor] = []
    for tap, features_SD in enumerate(support_taps):
        centre_D = (weights_S1 * features_SD).sum(dim=0)
        spread = (weights_S1 * (features_SD - centre_D).square()).sum()
        scale = log_tap_weights_T[tap].exp() / (spread + 1e-8).sqrt()
        centres.append(centre_D)
        scales.append(scale.expand(features_SD.shape[1]))
    return torch.cat(centres), torch.cat(scales)


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
