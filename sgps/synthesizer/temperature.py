"""How sure a head may be: the factor from its scores to logits, told by the support.

Images of two classes that lie no further apart than images of one class do in meta-training make
an uncertain classifier, however well the scores separate the few that are seen. That much one image
a class tells, and no label beyond it. With two images of a class, those left out tell more.

Shapes: S support images, N classes, D_t features of a tap, K deep taps, G steps of a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sgps.synthesizer.centre_pooling import spread
from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.support_labels import SupportLabels

SLOPE = 1.5
TYPICAL_SEPARATION = 0.5
DOUBT = 2.0
"""Of the temperature by separation: what a unit of it adds to the log temperature, at which one a
head has the generator's own, and how many images a belief in that one counts as. Chosen on
novel_val; a line through the best temperatures of its datasets has slope 1.5 to 2.1 with two
classes or five, one image or five, and of the 53 datasets of meta-training 1.5."""

LEAST_SEPARATION, LARGEST_SEPARATION = 0.0, 1.0
"""Between which the line was seen; beyond, a support counts as the nearer of them."""

EVIDENCE_WEIGHT = 0.5
SPREAD_BY_SEPARATION = 0.5
SPREAD = 1.0
MARKUP = 0.1
"""Of the temperature by evidence: what one left-out image counts, standard deviation of the prior's
log (where it knows the separation, and where not), and what is added to the log, since the head
with every image is better than each without one. Chosen on novel_val for a prior that knows the
separation; one that does not would want a markup of 0.35."""


def separation(
    support_taps: Sequence[Tensor], labels: SupportLabels, within_spread_K: Tensor
) -> Tensor:
    """How far apart images of different classes lie, in units of those of one class: a scalar.

    Half the mean square distance of two images of different classes, over the mean square distance
    of an image from its class in meta-training; the log of it, averaged over the last K taps. About
    0 where nothing tells the classes apart; 0.06 to 1.05 on the datasets of novel_val.

    Parameters
    ----------
    support_taps: (S, D_t) each, of which the last K are looked at.
    labels: of the S images; classes weigh alike, whatever their number of images.
    within_spread_K: as in :class:`sgps.synthesizer.head_parameters.HeadParameters`.
    """
    labels = replace(labels, dtype=support_taps[-1].dtype)
    weights_S = labels.weights_S
    of_class_N = labels.one_hot_SN.T @ weights_S
    within_S = weights_S * of_class_N[labels.class_S]
    means_NS = labels.one_hot_SN.T / labels.shots_N.clamp_min(1).unsqueeze(1)
    logs = []
    for rows_SD, within in zip(support_taps[-len(within_spread_K) :], within_spread_K, strict=True):
        rest_SD = rows_SD - (means_NS @ rows_SD)[labels.class_S]
        of_one_class = (within_S * rest_SD.square().sum(dim=1)).sum()
        apart = spread(rows_SD, weights_S) - of_one_class
        pairs = 1 - of_class_N.square().sum()
        logs.append((apart / pairs.clamp_min(1e-6) / within).clamp_min(1e-6).log())
    return torch.stack(logs).mean()


def log_temperature_by_separation(
    support_taps: Sequence[Tensor], labels: SupportLabels, parameters: HeadParameters
) -> Tensor:
    """Log temperature (scalar) before any image is left out."""
    if parameters.within_spread_K is None:
        return parameters.log_temperature
    seen = separation(support_taps, labels, parameters.within_spread_K)
    images = len(labels.class_S)
    believed = images / (images + DOUBT)
    off = seen.clamp(LEAST_SEPARATION, LARGEST_SEPARATION) - TYPICAL_SEPARATION
    return parameters.log_temperature + SLOPE * believed * off


def prior_spread(parameters: HeadParameters) -> float:
    """Standard deviation of the best log temperature around the one before evidence."""
    return SPREAD if parameters.within_spread_K is None else SPREAD_BY_SEPARATION


def log_temperature_by_evidence(
    left_out_SN: Tensor, labels: SupportLabels, log_prior: Tensor, prior_spread: float
) -> Tensor:
    """Log temperature (scalar) that a task's own left-out scores speak for.

    The mean under ``p(T) ~ exp(-w sum_s CE_s(T)) N(log T; log_prior, prior_spread^2)`` on a grid,
    the sum over images whose class has another one, and the markup; without any such image the
    prior.

    left_out_SN: scores of each support image by the head without it, before the temperature.
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
    fit_G = EVIDENCE_WEIGHT * losses_GS.sum(dim=1) + 0.5 * (steps_G / prior_spread).square()
    log_temperature: Tensor = ((-fit_G).softmax(dim=0) * grid_G).sum() + MARKUP
    return log_temperature
