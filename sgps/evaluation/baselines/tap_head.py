"""The linear head on taps that gradient steps start from.

Shapes: S support images, Q queries, N classes, D features over the taps that a head reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Taps = tuple[Tensor, ...]
Start = Literal["zero", "prototypes", "ridge"]


@dataclass(frozen=True)
class TapHead:
    """A linear layer on unit rows of centred and scaled taps.

    ``logits = normalize((taps_D - centre_D) * scale_D) @ weight_ND^T + bias_N``, where the taps
    are those from number `first_tap` on: 0 for all of them, -1 for the last features alone.
    """

    first_tap: int
    centre_D: Tensor
    scale_D: Tensor
    weight_ND: Tensor
    bias_N: Tensor

    def rows(self, taps: Taps) -> Tensor:
        """Return what the linear layer sees, (Q, D), of taps of (Q, D_t) each."""
        rows_QD = (torch.cat(taps[self.first_tap :], dim=1) - self.centre_D) * self.scale_D
        return functional.normalize(rows_QD, dim=1, eps=1e-6)

    def logits(self, taps: Taps) -> Tensor:
        """Return (Q, N) of taps of (Q, D_t) each."""
        return self.score(self.rows(taps))

    def score(self, rows_QD: Tensor) -> Tensor:
        """Return logits (Q, N) of rows (Q, D)."""
        return rows_QD @ self.weight_ND.T + self.bias_N

    def parameters(self) -> list[Tensor]:
        """Return the tensors of the linear layer."""
        return [self.weight_ND, self.bias_N]

    def trainable(self) -> TapHead:
        """Return a copy whose linear layer takes gradients."""
        weight_ND, bias_N = self.weight_ND.clone(), self.bias_N.clone()
        return replace(self, weight_ND=weight_ND.requires_grad_(), bias_N=bias_N.requires_grad_())


def start_head(
    taps: Taps,
    class_S: Tensor,
    start: Start,
    *,
    first_tap: int = 0,
    scale: float = 1.0,
    strength: float = 0.3,
) -> TapHead:
    """Return a head that has seen support taps (S, D_t) and taken no gradient step.

    Each tap is centred and scaled to mean square norm 1 by the support. The linear layer begins at
    zero; or at the class means of the rows, ranking by Euclidean distance (Triantafillou et al.
    2020, Proto-MAML); or at ridge regression of some strength (linear probing before fine-tuning:
    Kumar et al. 2022). `scale` multiplies it. `first_tap`: see :class:`TapHead`.
    """
    members_SN = functional.one_hot(class_S).to(taps[0])
    weights_SN = members_SN / members_SN.sum(0)
    head = _zero_head(taps, weights_SN, first_tap)
    rows_SD = head.rows(taps)
    if start == "prototypes":
        means_ND = weights_SN.T @ rows_SD
        bias_N = -scale * means_ND.square().sum(1)
        return replace(head, weight_ND=2 * scale * means_ND, bias_N=bias_N)
    if start == "ridge":
        penalty_S = strength / (weights_SN.mean(1) * len(rows_SD))
        targets_SN = members_SN - 1 / members_SN.shape[1]
        kernel_SS = rows_SD @ rows_SD.T + torch.diag(penalty_S)
        dual_SN = torch.linalg.solve(kernel_SS, targets_SN)
        return replace(head, weight_ND=scale * dual_SN.T @ rows_SD)
    return head


def _zero_head(taps: Taps, weights_SN: Tensor, first_tap: int) -> TapHead:
    taps = taps[first_tap:]
    weights_S1 = weights_SN.mean(1, keepdim=True)
    centres = [(weights_S1 * tap).sum(0) for tap in taps]
    scales = [
        (weights_S1 * (tap - centre_D).square()).sum().add(1e-8).rsqrt().expand_as(centre_D)
        for tap, centre_D in zip(taps, centres, strict=True)
    ]
    centre_D, n_way = torch.cat(centres), weights_SN.shape[1]
    zeros = centre_D.new_zeros
    return TapHead(
        first_tap, centre_D, torch.cat(scales), zeros(n_way, len(centre_D)), zeros(n_way)
    )
