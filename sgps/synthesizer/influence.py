"""What each support image does to a classifier: the same head, solved again without it.

Shapes: S support images, N classes, D_t features of a tap, F text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sgps.synthesizer.centre_pooling import centredness_of_spreads, middles_and_means
from sgps.synthesizer.head import (
    SMALLEST_PENALTY,
    HeadParameters,
    LinearHead,
    SupportLabels,
    text_strength,
)
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.synthesizer.task import Task, pixel_digest


@dataclass(frozen=True)
class SupportInfluence:
    """One row for each support image, in the order of the labels.

    Attributes
    ----------
    scores_SN: scores of the image by the classifier made without it, before the temperature.
    probabilities_SN: their softmax at the temperature of the head with every image.
    judged_S: bool, whether another image of its class was left to judge it by.
    contradicts_S: bool, whether the image is judged and would get another class than its own.
    influence_S: mean absolute change of the probabilities of the other support images when this
        one is left out, 0 to 1.
    temperature: of the head with every image; scalar.
    """

    scores_SN: Tensor
    probabilities_SN: Tensor
    judged_S: Tensor
    contradicts_S: Tensor
    influence_S: Tensor
    temperature: Tensor


@dataclass(frozen=True)
class ImageInfluence:
    """The influence of one image of a task; see :class:`SupportInfluence`.

    probabilities: by the task's classes, in their order, of the classifier made without the image.
    """

    probabilities: tuple[float, ...]
    judged: bool
    contradicts: bool
    influence: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "probabilities_without_it": [round(value, 6) for value in self.probabilities],
            "judged": self.judged,
            "contradicts_its_class": self.contradicts,
            "influence": round(self.influence, 6),
        }


def support_influence(
    support_taps: tuple[Tensor, ...],
    labels: SupportLabels,
    head: LinearHead,
    parameters: HeadParameters,
) -> SupportInfluence:
    """Leave each support image out in turn and solve the head again from the others.

    Unlike the scores behind the temperature, which hold the centre and scale of the features, the
    head is solved whole; only its temperature stays that of the head with every image, so that
    probabilities compare. A class left empty is known by its text alone. Where the others are all
    of one class, no classifier could be made without the image, and every class is as likely.

    Parameters
    ----------
    support_taps: (S, D_t) each, that the head was solved from.
    labels: of the S images.
    head: solved from all of them, classes in the order of the labels.
    parameters: that the head was solved with.

    Raises
    ------
    ValueError: the head does not know its temperature.
    """
    if head.temperature is None:
        raise ValueError("a head without a temperature")
    temperature = head.temperature
    grams = _SupportGrams.of(support_taps, parameters)
    complete_SN = head.logits(support_taps).softmax(dim=1)
    scores_SN = torch.zeros_like(complete_SN)
    influence_S = complete_SN.new_zeros(len(complete_SN))
    for image in range(len(complete_SN)):
        kept_S = torch.arange(len(complete_SN), device=complete_SN.device) != image
        every_SN = grams.scores(kept_S, labels, parameters, unit_rows=head.unit_rows)
        scores_SN[image] = every_SN[image]
        moved_SN = (temperature * every_SN).softmax(dim=1) - complete_SN
        influence_S[image] = moved_SN[kept_S].abs().mean()
    judged_S = (labels.shots_N > 1)[labels.class_S]
    return SupportInfluence(
        scores_SN=scores_SN,
        probabilities_SN=(temperature * scores_SN).softmax(dim=1),
        judged_S=judged_S,
        contradicts_S=judged_S & (scores_SN.argmax(dim=1) != labels.class_S),
        influence_S=influence_S,
        temperature=temperature,
    )


def synthesis_influence(
    hypernetwork: Hypernetwork, images: Tensor, labels: SupportLabels, texts_NF: Tensor
) -> SupportInfluence:
    """Synthesize from images (S, 3, H, W), uint8, and measure: a pass more than is needed where
    the synthesis is at hand (see :func:`support_influence`)."""
    synthesis = hypernetwork.generate(images, labels, texts_NF)
    if hypernetwork.config.task_codes:
        taps = hypernetwork.taps(synthesis, images)
    else:
        taps = hypernetwork.support_taps(synthesis.tensors, images)
    return support_influence(taps, labels, synthesis.head, synthesis.codes.head)


def influence_by_image(
    task: Task, influence: SupportInfluence
) -> tuple[tuple[ImageInfluence, ...], ...]:
    """The influence of ``task.classes[i].images[j]`` at ``[i][j]``.

    influence: of the support in the order of ``task.canonical()``, in which it is synthesized.
    """
    position = task.canonical().position
    shots = [len(task.classes[index].images) for index in _inverse(position)]
    first = [sum(shots[:place]) for place in range(len(shots))]
    by_class = []
    for index, support in enumerate(task.classes):
        digests = [pixel_digest(pixels) for pixels in support.images]
        ranks = _inverse(sorted(range(len(digests)), key=digests.__getitem__))
        rows = [first[position[index]] + rank for rank in ranks]
        by_class.append(tuple(_image_influence(influence, row, position) for row in rows))
    return tuple(by_class)


def _image_influence(
    influence: SupportInfluence, row: int, position: tuple[int, ...]
) -> ImageInfluence:
    probabilities_N = influence.probabilities_SN[row].tolist()
    return ImageInfluence(
        probabilities=tuple(probabilities_N[place] for place in position),
        judged=bool(influence.judged_S[row]),
        contradicts=bool(influence.contradicts_S[row]),
        influence=float(influence.influence_S[row]),
    )


def _inverse(order: Sequence[int]) -> list[int]:
    """Where each number stands in a permutation."""
    return sorted(range(len(order)), key=order.__getitem__)


@dataclass(frozen=True)
class _SupportGrams:
    """All that the head needs of a support's taps, without their width, tap by tap.

    gram_TSS: inner products. directions_TSR: along the whitening's directions (R may be 0).
    prior_TSN: with the text weights (N may be 1, for all classes). The taps are taken around their
    mean over the images, for precision. apart_BSS, means_BSS: of each block's middle less its mean,
    and of its mean; no block where there are no centre taps.
    """

    gram_TSS: Tensor
    directions_TSR: Tensor
    prior_TSN: Tensor
    apart_BSS: Tensor
    means_BSS: Tensor

    @classmethod
    def of(cls, support_taps: tuple[Tensor, ...], parameters: HeadParameters) -> _SupportGrams:
        widths = [tap.shape[1] for tap in support_taps]
        prior_ND = parameters.text_weights_ND
        basis_RD = parameters.whitening.basis_RD if parameters.whitening else prior_ND[:0]
        centred = [tap - tap.mean(dim=0) for tap in support_taps]
        pairs = middles_and_means(centred, parameters.centre_of)
        return cls(
            torch.stack([tap @ tap.T for tap in centred]),
            _project(centred, torch.split(basis_RD, widths, dim=1)),
            _project(centred, torch.split(prior_ND, widths, dim=1)),
            _grams([middle_SC - mean_SC for middle_SC, mean_SC in pairs], like=prior_ND),
            _grams([mean_SC for _, mean_SC in pairs], like=prior_ND),
        )

    def scores(
        self, kept_S: Tensor, labels: SupportLabels, parameters: HeadParameters, *, unit_rows: bool
    ) -> Tensor:
        """Scores (S, N) of every image by the head of the images kept (bool), untempered.

        What :func:`sgps.synthesizer.head.solve_head` solves, in inner products alone.
        """
        rest = replace(labels, class_S=labels.class_S[kept_S], dtype=self.gram_TSS.dtype)
        if int((rest.shots_N > 0).sum()) < 2:
            return self.prior_TSN.new_zeros(len(kept_S), labels.ways)
        weights_K = rest.weights_S / rest.weights_S.sum()
        kernel_SS, prior_SN = self._rows(kept_S, weights_K, parameters, unit_rows=unit_rows)
        targets_KN = rest.one_hot_SN - 1.0 / rest.ways
        penalty_K = parameters.log_ridge.exp() / (weights_K * len(weights_K))
        kernel_KK, prior_KN = kernel_SS[kept_S][:, kept_S], prior_SN[kept_S]
        if parameters.whitening is not None:
            penalty_K = penalty_K * kernel_KK.diagonal().mean()
        kernel_KK = kernel_KK + torch.diag(penalty_K.clamp_min(SMALLEST_PENALTY))
        if parameters.text_evidence:
            strength = text_strength(kernel_KK, prior_KN, targets_KN)
            prior_SN, prior_KN = strength * prior_SN, strength * prior_KN
        dual_KN = torch.linalg.solve(kernel_KK, targets_KN - prior_KN)
        scores_SN: Tensor = prior_SN + kernel_SS[:, kept_S] @ dual_KN
        return scores_SN

    def _rows(
        self, kept_S: Tensor, weights_K: Tensor, parameters: HeadParameters, *, unit_rows: bool
    ) -> tuple[Tensor, Tensor]:
        """Inner products of the head's whitened rows (S, S), and of its rows with the texts."""
        share_S = self.gram_TSS.new_zeros(len(kept_S))
        share_S[kept_S] = weights_K
        to_centre_TS = self.gram_TSS @ share_S
        norm_T = to_centre_TS @ share_S
        gram_TSS = (
            self.gram_TSS - to_centre_TS.unsqueeze(2) - to_centre_TS.unsqueeze(1)
            + norm_T.view(-1, 1, 1)
        )  # fmt: skip
        spread_T = gram_TSS.diagonal(dim1=1, dim2=2) @ share_S
        weights_T = parameters.tap_weights(self._centredness(share_S))
        scale_T = weights_T / (spread_T.clamp_min(0.0) + 1e-8).sqrt()
        kernel_SS = torch.einsum("t,tsu->su", scale_T.square(), gram_TSS)
        rows = (
            torch.einsum("t,tsk->sk", scale_T, part_TSK - (share_S @ part_TSK).unsqueeze(1))
            for part_TSK in (self.directions_TSR, self.prior_TSN)
        )
        directions_SR, prior_SN = rows
        if unit_rows:
            norm_S1 = kernel_SS.diagonal().clamp_min(1e-12).sqrt().unsqueeze(1)
            kernel_SS = kernel_SS / norm_S1 / norm_S1.T
            directions_SR, prior_SN = directions_SR / norm_S1, prior_SN / norm_S1
        if parameters.whitening is not None:
            left_R = 1 - (1 - parameters.whitening.shares_R).square()
            kernel_SS = kernel_SS - (directions_SR * left_R) @ directions_SR.T
        return kernel_SS, prior_SN

    def _centredness(self, share_S: Tensor) -> Tensor | None:
        if not len(self.apart_BSS):
            return None
        return centredness_of_spreads(
            _spreads(self.apart_BSS, share_S), _spreads(self.means_BSS, share_S)
        )


def _grams(rows: Sequence[Tensor], *, like: Tensor) -> Tensor:
    """Inner products (B, S, S) within each of B sets of rows (S, C)."""
    return torch.stack([row @ row.T for row in rows]) if rows else like.new_zeros(0, 0, 0)


def _spreads(gram_BSS: Tensor, share_S: Tensor) -> Tensor:
    """Mean square distance (B,) from the mean, both with shares summing to 1."""
    return (gram_BSS.diagonal(dim1=1, dim2=2) @ share_S - (gram_BSS @ share_S) @ share_S).clamp_min(
        0.0
    )


def _project(taps: Sequence[Tensor], parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([tap @ part.T for tap, part in zip(taps, parts, strict=True)])
