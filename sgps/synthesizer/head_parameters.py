"""What a generator says of a head before any support is seen.

Shapes: N classes, D features over all taps, T taps, R directions, K deep taps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST_PENALTY = 1e-9
"""Of the ridge, so that images which are all alike still have a solution."""


@dataclass(frozen=True)
class Whitening:
    """A symmetric map that shrinks the directions in which images of one class differ.

    ``x - sum_r share_r (x . basis_r) basis_r``; shares of 0 change nothing.

    Attributes
    ----------
    basis_RD: orthonormal directions; rows of zeros where fewer are known.
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
    temperature_evidence: whether the temperature moves from where it starts to what the support
        says when each image is left out in turn; needs two images of a class.
    text_evidence: whether the text weights are taken back as far as the support contradicts them.
    within_spread_K: mean square distance of an image from its class in meta-training, for each of
        the last K taps; the temperature starts at what the support's own distances speak for, in
        units of it (:mod:`sgps.synthesizer.temperature`). None: it starts at `log_temperature`.
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
    within_spread_K: Tensor | None = None
    centre_of: tuple[int, ...] = ()

    def tap_weights(self, centredness: Tensor | None) -> Tensor:
        """Weight of each tap, (..., T), in tasks that are as object-centred as this (...)."""
        weights_T = self.log_tap_weights_T.exp()
        if centredness is None:
            return weights_T
        numbers_T = torch.arange(len(weights_T), device=weights_T.device)
        return torch.where(
            numbers_T < len(self.centre_of), weights_T * centredness.unsqueeze(-1), weights_T
        )
