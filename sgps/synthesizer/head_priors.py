"""What meta-training knows of every head: a whitening, a map from text to weights, a spread.

Empirical Bayes in closed form, on classes of meta-training: the covariance within them says which
directions of the features tell nothing of a class, and a ridge map from class texts to class means
says where a described class is to be expected. The spread within them is the unit in which a task
measures how far apart its classes lie.

Shapes: C classes, I images, D features, R directions, F text width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sgps.synthesizer.generator_config import GeneratorConfig
from sgps.synthesizer.head import unit_rows_of_domain
from sgps.synthesizer.head_parameters import HeadParameters, Whitening
from sgps.synthesizer.known_background import KnownBackground
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.tapped_network import TapLayout


@dataclass(frozen=True)
class DomainFeatures:
    """Features of one dataset's training classes.

    Attributes
    ----------
    taps: (I, D_t) for each tap.
    class_I: class number of each image.
    texts_CF: embedding of each class's description; zero where there is none.
    """

    taps: tuple[Tensor, ...]
    class_I: Tensor
    texts_CF: Tensor


class HeadPriors(nn.Module):
    """Emits the parameters of the closed-form head; knows nothing until it is fitted.

    Parameters
    ----------
    config: sizes and constants.
    layout: of the features D.
    """

    basis_RD: Tensor
    shares_R: Tensor
    text_down_FK: Tensor
    text_up_KD: Tensor
    within_spread_K: Tensor

    def __init__(self, config: GeneratorConfig, layout: TapLayout) -> None:
        super().__init__()
        self.config = config
        self.layout = layout
        rank, width = config.text_rank, sum(layout.widths)
        self.register_buffer("basis_RD", torch.zeros(config.whitening_rank, width))
        self.register_buffer("shares_R", torch.zeros(config.whitening_rank))
        self.register_buffer("text_down_FK", torch.zeros(config.text_width, rank))
        self.register_buffer("text_up_KD", torch.zeros(rank, width))
        deep = min(config.separation_taps, len(layout.plain_widths))
        if deep:
            self.register_buffer("within_spread_K", torch.zeros(deep))
        self.log_tap_weights_T = nn.Parameter(
            torch.tensor(config.initial_tap_weights).log(), requires_grad=False
        )
        self.log_ridge = nn.Parameter(
            torch.tensor(math.log(config.initial_ridge)), requires_grad=False
        )
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.initial_temperature)))

    def forward(self, texts_NF: Tensor) -> HeadParameters:
        """Parameters of the head for classes with these text embeddings (N, F)."""
        return replace(
            self._on_all_taps(),
            log_temperature=self.log_temperature.new_tensor(self.config.temperature).log(),
            text_weights_ND=centred_texts(texts_NF) @ self.text_down_FK @ self.text_up_KD,
            whitening=Whitening(self.basis_RD, self.shares_R),
            temperature_evidence=True,
            text_evidence=True,
            within_spread_K=self._known_spread(),
        )

    def background_of(self, known: KnownClasses) -> KnownBackground | None:
        """Known classes as any task sees them; None where they do not differ."""
        floor = 1 / self.config.whitening_shrinkage
        parameters = replace(self._on_all_taps(), whitening=Whitening(self.basis_RD, self.shares_R))
        return KnownBackground.of(known, self.layout.widths, parameters, floor=floor)

    def _known_spread(self) -> Tensor | None:
        if not self.config.separation_taps or not bool((self.within_spread_K > 0).all()):
            return None
        return self.within_spread_K

    def plain(self) -> HeadParameters:
        """Parameters of the head over plain taps alone, without the fitted priors.

        The body is trained through it.
        """
        return HeadParameters(
            log_tap_weights_T=self.log_tap_weights_T,
            log_ridge=self.log_ridge,
            log_temperature=self.log_temperature,
            text_weights_ND=self.text_up_KD.new_zeros(1, sum(self.layout.plain_widths)),
        )

    def _on_all_taps(self) -> HeadParameters:
        centre_of = self.layout.centre_of
        log_weight = math.log(self.config.centre_weight)
        centre_weights_T = self.log_tap_weights_T.new_full((len(centre_of),), log_weight)
        return replace(
            self.plain(),
            log_tap_weights_T=torch.cat([centre_weights_T, self.log_tap_weights_T]),
            text_weights_ND=self.text_up_KD.new_zeros(1, self.text_up_KD.shape[1]),
            centre_of=centre_of,
        )

    @torch.no_grad()
    def fit(self, domains: Sequence[DomainFeatures]) -> None:
        """Fit whitening, text map and spread to classes of meta-training, dataset by dataset.

        For the first two every dataset's features are centred, scaled tap by tap and brought to
        unit rows as the head does it with a support set; what is left are directions that mean the
        same everywhere.
        """
        within: list[Tensor] = []
        means: list[Tensor] = []
        texts: list[Tensor] = []
        for domain in domains:
            rows_ID = unit_rows_of_domain(domain.taps, self._on_all_taps())
            means_CD = _class_means(rows_ID, domain)
            within.append(rows_ID - means_CD[domain.class_I])
            present = domain.texts_CF.abs().sum(dim=1) > 0
            if int(present.sum()) > 1:
                means.append(means_CD[present] - means_CD[present].mean(dim=0))
                texts.append(centred_texts(domain.texts_CF[present]))
        self._fit_whitening(torch.cat(within))
        if self.config.separation_taps:
            self._fit_within_spread(domains)
        if texts:
            self._fit_text_map(torch.cat(texts), torch.cat(means))

    def _fit_within_spread(self, domains: Sequence[DomainFeatures]) -> None:
        for place, spread in enumerate(self.within_spread_K, start=-len(self.within_spread_K)):
            squares = [
                _from_class_mean(domain.taps[place], domain).square().sum(dim=1)
                for domain in domains
            ]
            spread.copy_(torch.cat(squares).mean())

    def _fit_whitening(self, residuals_ID: Tensor) -> None:
        rank, width = self.config.whitening_rank, residuals_ID.shape[1]
        values_K, vectors_KD = _principal_directions(residuals_ID)
        level = values_K.sum() / width * self.config.whitening_shrinkage
        shares_K = 1 - (level / (values_K[-rank:].clamp_min(0) + level)).sqrt()
        self.basis_RD.zero_()[-len(shares_K) :] = vectors_KD[-rank:]
        self.shares_R.zero_()[-len(shares_K) :] = shares_K

    def _fit_text_map(self, texts_CF: Tensor, means_CD: Tensor) -> None:
        ridge_CC = self.config.text_ridge * torch.eye(len(texts_CF)).to(texts_CF)
        gram_CC = (texts_CF @ texts_CF.T + ridge_CC).double()
        map_FD = texts_CF.T @ torch.linalg.solve(gram_CC, means_CD.double()).to(texts_CF.dtype)
        left_FK, values_K, right_KD = torch.linalg.svd(map_FD, full_matrices=False)
        rank = self.config.text_rank
        roots_K = (values_K[:rank] * self.config.text_strength).sqrt()
        self.text_down_FK.copy_(left_FK[:, :rank] * roots_K)
        self.text_up_KD.copy_(roots_K.unsqueeze(1) * right_KD[:rank])


def centred_texts(texts_NF: Tensor) -> Tensor:
    """Texts (N, F) around the mean of the classes that have one; zero for the others."""
    present_N1 = (texts_NF.abs().sum(dim=1, keepdim=True) > 0).to(texts_NF.dtype)
    mean_F = (texts_NF * present_N1).sum(dim=0) / present_N1.sum().clamp_min(1.0)
    return (texts_NF - mean_F) * present_N1


def _principal_directions(rows_ID: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (K,) of rows about 0, least first, and their directions (K, D); K = min(I, D)."""
    if len(rows_ID) < rows_ID.shape[1]:
        _, roots_K, vectors_KD = torch.linalg.svd(rows_ID.double(), full_matrices=False)
        return roots_K.square().flip(0) / len(rows_ID), vectors_KD.flip(0)
    covariance_DD = rows_ID.T @ rows_ID / len(rows_ID)
    values_D, vectors_DD = torch.linalg.eigh(covariance_DD.double())
    return values_D, vectors_DD.T


def _class_means(rows_ID: Tensor, domain: DomainFeatures) -> Tensor:
    classes = len(domain.texts_CF)
    sums_CD = rows_ID.new_zeros(classes, rows_ID.shape[1]).index_add_(0, domain.class_I, rows_ID)
    counts_C = torch.bincount(domain.class_I, minlength=classes).clamp_min(1)
    return sums_CD / counts_C.unsqueeze(1)


def _from_class_mean(rows_ID: Tensor, domain: DomainFeatures) -> Tensor:
    return rows_ID - _class_means(rows_ID, domain)[domain.class_I]
