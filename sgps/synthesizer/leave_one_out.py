"""The heads of a support without each of its images in turn, many at once, in inner products alone.

Shapes: S support images, N classes, T taps; L images that are left out, each of a head of its own,
and K = S - 1 that each of these keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sgps.synthesizer.centre_pooling import centredness_of_spreads, middles_and_means
from sgps.synthesizer.head_parameters import SMALLEST_PENALTY, HeadParameters
from sgps.synthesizer.support_labels import SupportLabels
from sgps.synthesizer.text_evidence import text_strength

_LARGEST_BATCH = 2**22
"""Inner products that are at hand at once: 16 MB in single precision."""


@dataclass(frozen=True)
class SupportGrams:
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
    def of(cls, support_taps: tuple[Tensor, ...], parameters: HeadParameters) -> SupportGrams:
        """Of a support's taps (S, D_t) each, and what the generator says of the head."""
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

    def scores_without(
        self, out_L: Tensor, labels: SupportLabels, parameters: HeadParameters, *, unit_rows: bool
    ) -> Tensor:
        """Scores (L, S, N) of every image by the heads made without image ``out_L[l]``, untempered.

        What :func:`sgps.synthesizer.head.solve_head` solves, in inner products alone; zero where
        the other images are of one class, or all alike.
        """
        kept_LK = _all_but(out_L, len(labels.class_S))
        weights_LK = _weights(kept_LK, labels).to(self.gram_TSS.dtype)
        share_LS = weights_LK.new_zeros(len(out_L), len(labels.class_S))
        share_LS.scatter_(1, kept_LK, weights_LK)
        kernel_LSS, prior_LSN = self._rows(share_LS, parameters, unit_rows=unit_rows)
        targets_LKN = replace(labels, dtype=prior_LSN.dtype).one_hot_SN[kept_LK] - 1 / labels.ways
        each_L = torch.arange(len(out_L), device=out_L.device).unsqueeze(1)
        to_kept_LSK = kernel_LSS.gather(2, kept_LK.unsqueeze(1).expand(-1, kernel_LSS.shape[1], -1))
        kernel_LKK, prior_LKN = to_kept_LSK[each_L, kept_LK], prior_LSN[each_L, kept_LK]
        penalty_LK = parameters.log_ridge.exp() / (weights_LK * weights_LK.shape[1])
        if parameters.whitening is not None:
            sizes_LK = kernel_LKK.diagonal(dim1=1, dim2=2)
            penalty_LK = penalty_LK * sizes_LK.mean(dim=1, keepdim=True)
        kernel_LKK = kernel_LKK + torch.diag_embed(penalty_LK.clamp_min(SMALLEST_PENALTY))
        if parameters.text_evidence:
            strength_L11 = text_strength(kernel_LKK, prior_LKN, targets_LKN)[:, None, None]
            prior_LSN, prior_LKN = strength_L11 * prior_LSN, strength_L11 * prior_LKN
        root_LKK, singular_L = torch.linalg.cholesky_ex(kernel_LKK)
        dual_LKN = torch.cholesky_solve(targets_LKN - prior_LKN, root_LKK)
        scores_LSN: Tensor = prior_LSN + to_kept_LSK @ dual_LKN
        unsolved_L = (_classes_left(out_L, labels) < 2) | (singular_L != 0)
        unsolved_L = unsolved_L | ~scores_LSN.isfinite().all(dim=2).all(dim=1)
        return scores_LSN.masked_fill(unsolved_L[:, None, None], 0.0)

    def scores_of_left_out(
        self, labels: SupportLabels, parameters: HeadParameters, *, unit_rows: bool
    ) -> Tensor:
        """Scores (S, N) of each image by the head made without it, as in :meth:`scores_without`."""
        own = []
        for out_L in batches_to_leave_out(labels):
            scores_LSN = self.scores_without(out_L, labels, parameters, unit_rows=unit_rows)
            own.append(scores_LSN[torch.arange(len(out_L), device=out_L.device), out_L])
        return torch.cat(own)

    def _rows(
        self, share_LS: Tensor, parameters: HeadParameters, *, unit_rows: bool
    ) -> tuple[Tensor, Tensor]:
        """Inner products (L, S, S) of whitened rows, and (L, S, N) of plain ones with the texts.

        share_LS: what each image counts in the centre and scale of the rows.
        """
        to_centre_LTS = torch.einsum("tsu,lu->lts", self.gram_TSS, share_LS)
        norm_LT = torch.einsum("lts,ls->lt", to_centre_LTS, share_LS)
        mean_square_LT = torch.einsum("tss,ls->lt", self.gram_TSS, share_LS)
        spread_LT = (mean_square_LT - norm_LT).clamp_min(0.0)
        weights_LT = parameters.tap_weights(self._centredness(share_LS))
        scale_LT = weights_LT / (spread_LT + 1e-8).sqrt()
        square_LT = scale_LT.square()
        to_centre_LS = torch.einsum("lt,lts->ls", square_LT, to_centre_LTS)
        norm_L11 = (square_LT * norm_LT).sum(dim=1)[:, None, None]
        kernel_LSS = torch.einsum("lt,tsu->lsu", square_LT, self.gram_TSS)
        kernel_LSS = kernel_LSS - to_centre_LS.unsqueeze(2) - to_centre_LS.unsqueeze(1) + norm_L11
        directions_LSR = _around_centre(self.directions_TSR, share_LS, scale_LT)
        prior_LSN = _around_centre(self.prior_TSN, share_LS, scale_LT)
        if unit_rows:
            sizes_LS = kernel_LSS.diagonal(dim1=1, dim2=2).clamp_min(1e-12)
            norm_LS1 = sizes_LS.sqrt().unsqueeze(2)
            kernel_LSS = kernel_LSS / norm_LS1 / norm_LS1.mT
            directions_LSR, prior_LSN = directions_LSR / norm_LS1, prior_LSN / norm_LS1
        if parameters.whitening is not None:
            left_R = 1 - (1 - parameters.whitening.shares_R).square()
            kernel_LSS = kernel_LSS - (directions_LSR * left_R) @ directions_LSR.mT
        return kernel_LSS, prior_LSN

    def _centredness(self, share_LS: Tensor) -> Tensor | None:
        if not len(self.apart_BSS):
            return None
        return centredness_of_spreads(
            _spreads(self.apart_BSS, share_LS), _spreads(self.means_BSS, share_LS)
        )


def batches_to_leave_out(labels: SupportLabels) -> tuple[Tensor, ...]:
    """The numbers of all S images, in parts small enough to be left out at once."""
    numbers_S = torch.arange(len(labels.class_S), device=labels.class_S.device)
    return torch.split(numbers_S, max(1, _LARGEST_BATCH // len(numbers_S) ** 2))


def _all_but(out_L: Tensor, images: int) -> Tensor:
    """The numbers (L, S - 1) of all images but ``out_L[l]``, in order."""
    places_K = torch.arange(images - 1, device=out_L.device)
    return places_K + (places_K >= out_L.unsqueeze(1)).long()


def _weights(kept_LK: Tensor, labels: SupportLabels) -> Tensor:
    """Weights (L, K) of the images kept: classes that have one weigh alike, 1 altogether."""
    one_hot_LKN = labels.one_hot_SN[kept_LK]
    of_class_LK = (one_hot_LKN * one_hot_LKN.sum(dim=1, keepdim=True)).sum(dim=2)
    weights_LK = of_class_LK.reciprocal()
    return weights_LK / weights_LK.sum(dim=1, keepdim=True)


def _classes_left(out_L: Tensor, labels: SupportLabels) -> Tensor:
    """How many classes (L,) have an image when ``out_L[l]`` is left out."""
    shots_LN = labels.shots_N - labels.one_hot_SN[out_L]
    return (shots_LN > 0).sum(dim=1)


def _around_centre(parts_TSK: Tensor, share_LS: Tensor, scale_LT: Tensor) -> Tensor:
    """Products (L, S, K) of scaled rows around their centre, from those of each tap as it is."""
    centre_LTK = torch.einsum("ls,tsk->ltk", share_LS, parts_TSK)
    around_L1K = torch.einsum("lt,ltk->lk", scale_LT, centre_LTK).unsqueeze(1)
    return torch.einsum("lt,tsk->lsk", scale_LT, parts_TSK) - around_L1K


def _grams(rows: Sequence[Tensor], *, like: Tensor) -> Tensor:
    """Inner products (B, S, S) within each of B sets of rows (S, C)."""
    return torch.stack([row @ row.T for row in rows]) if rows else like.new_zeros(0, 0, 0)


def _spreads(gram_BSS: Tensor, share_LS: Tensor) -> Tensor:
    """Mean square distance (L, B) from the mean, both with shares summing to 1."""
    square_LB = torch.einsum("bss,ls->lb", gram_BSS, share_LS)
    norm_LB = torch.einsum("bsu,ls,lu->lb", gram_BSS, share_LS, share_LS)
    return (square_LB - norm_LB).clamp_min(0.0)


def _project(taps: Sequence[Tensor], parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([tap @ part.T for tap, part in zip(taps, parts, strict=True)])
