"""The synthesizer under test where one body serves all tasks: features from a bank, head by head.

The classifiers are those of :meth:`sgps.synthesizer.Synthesizer.synthesize`; what is spared is to
encode an image again in each of thousands of episodes. Leaving out one part at a time tells what
it is worth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgps.evaluation.bases import META, PUBLIC
from sgps.evaluation.features import TapBank, wait_for
from sgps.evaluation.methods import SGPS, EpisodeInputs, Images, Prediction
from sgps.evaluation.metrics import Ints
from sgps.evaluation.sources import SYNTHESIS_SOURCES, source_digest
from sgps.evaluation.text_bank import TextBank, any_described
from sgps.synthesizer import Synthesizer
from sgps.synthesizer.head import LinearHead, solve_head
from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.resemblance import Resemblance, resemblance_of
from sgps.synthesizer.scoring import familiarity
from sgps.synthesizer.support_labels import SupportLabels

Change = Callable[[HeadParameters], HeadParameters]


@dataclass(frozen=True)
class Part:
    """One part of the method, and what stands in its place when it is left out.

    base: the body. texts: whether descriptions are given. views: support views that are averaged,
    by default as many as the generator asks for.
    change: what becomes of the head's parameters.
    """

    name: str
    base: str = META
    texts: bool = True
    views: int | None = None
    change: Change = lambda parameters: parameters


def _without_whitening(parameters: HeadParameters) -> HeadParameters:
    return replace(parameters, whitening=None)


def _without_evidence(parameters: HeadParameters) -> HeadParameters:
    return replace(parameters, temperature_evidence=False, within_spread_K=None)


def _trusting_texts(parameters: HeadParameters) -> HeadParameters:
    return replace(parameters, text_evidence=False)


def _one_weight_for_all_taps(parameters: HeadParameters) -> HeadParameters:
    return replace(parameters, log_tap_weights_T=torch.zeros_like(parameters.log_tap_weights_T))


def _without_centres(parameters: HeadParameters) -> HeadParameters:
    log_weights_T = parameters.log_tap_weights_T.clone()
    log_weights_T[: len(parameters.centre_of)] = -torch.inf
    return replace(parameters, log_tap_weights_T=log_weights_T)


def _plain_head(parameters: HeadParameters) -> HeadParameters:
    nothing = torch.zeros_like(parameters.text_weights_ND)
    plain = replace(_without_whitening(_without_evidence(parameters)), text_weights_ND=nothing)
    return _without_centres(_one_weight_for_all_taps(plain))


WHOLE = Part(SGPS)
PARTS = (
    Part(f"{SGPS}/no_text", texts=False),
    Part(f"{SGPS}/no_body_synthesis", base=PUBLIC),
    Part(f"{SGPS}/no_generated_head", change=_plain_head),
    Part(f"{SGPS}/no_whitening", change=_without_whitening),
    Part(f"{SGPS}/no_centre_taps", change=_without_centres),
    Part(f"{SGPS}/no_tap_weights", change=_one_weight_for_all_taps),
    Part(f"{SGPS}/no_views", views=1),
    Part(f"{SGPS}/no_evidence", change=_without_evidence),
    Part(f"{SGPS}/no_text_check", change=_trusting_texts),
)
"""``no_generated_head`` keeps a ridge over the plain taps, without what meta-training knows."""


class BankedSynthesis:
    """SGPS, whole or without a part, on the features of a bank.

    texts: what the synthesizer makes of descriptions, shared by methods of the same synthesizer.

    Raises
    ------
    ValueError: the generator writes a body for each task, which no bank can hold.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        bases: Sequence[TapBank],
        part: Part = WHOLE,
        *,
        texts: TextBank | None = None,
    ) -> None:
        if synthesizer.hypernetwork.config.task_codes:
            raise ValueError("this generator writes another body for each task")
        self.name = part.name
        self._synthesizer = synthesizer
        self._bank = next(bank for bank in bases if bank.name == part.base)
        self._part = part
        self._views = part.views or synthesizer.hypernetwork.config.support_views
        self._texts = texts or TextBank(synthesizer.encode_texts)

    def details(self) -> dict[str, Any]:
        """Return the generator, its digest, the body and what was left out."""
        known = self._synthesizer.known_classes
        return {
            "generator": self._synthesizer.generator_name,
            "generator_sha256": self._synthesizer.generator_sha256,
            "known_classes_sha256": known.sha256 if known else None,
            "architecture": self._synthesizer.architecture,
            "resolution": self._synthesizer.resolution,
            "body_version": self._bank.version,
            "synthesizer_sources": source_digest(*SYNTHESIS_SOURCES),
            "texts": self._part.texts,
            "support_views": self._views,
        }

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Solve the head of the episode's task and score its queries.

        The time counts the mean time of encoding one image for each view of a support image, and
        that of embedding one text for each class, where descriptions are read.
        """
        rows = np.concatenate(episode.support_rows)
        described = self._part.texts and any_described(episode.descriptions)
        texts_NF = self._encode(episode.descriptions if described else [""] * episode.n_way)
        support_taps = self._support_taps(episode.pool, rows)
        query_taps = self._moved(self._bank.every_tap(episode.queries_from, episode.query_rows))
        device = self._synthesizer.device
        wait_for(device)
        started = time.perf_counter()
        class_S = torch.from_numpy(episode.support_labels).to(device)
        labels = SupportLabels(class_S, episode.n_way)
        hypernetwork = self._synthesizer.hypernetwork
        with torch.inference_mode():
            parameters = self._part.change(hypernetwork.generator.head_priors(texts_NF))
            head = solve_head(
                support_taps, labels, parameters, unit_rows=hypernetwork.config.unit_rows
            )
            resemblance = self._resemblance(support_taps, labels, head, parameters)
            wait_for(device)
            solved = time.perf_counter()
            rows_QD = head.features(query_taps)
            probs_QN = head.scores(rows_QD).softmax(dim=1).double().cpu().numpy()
            margin_Q = resemblance.margins(rows_QD)[0].cpu().numpy() if resemblance else None
        finished = time.perf_counter()
        an_image = self._bank.seconds_per_image
        embedding = episode.n_way * self._texts.seconds_per_text if described else 0.0
        return Prediction(
            probs_QN / probs_QN.sum(axis=1, keepdims=True),
            seconds=solved - started + len(rows) * self._views * an_image + embedding,
            query_seconds=finished - solved + len(episode.query_rows) * an_image,
            familiarity_Q=None if margin_Q is None else familiarity(probs_QN, margin_Q),
        )

    def _resemblance(
        self,
        support_taps: tuple[Tensor, ...],
        labels: SupportLabels,
        head: LinearHead,
        parameters: HeadParameters,
    ) -> Resemblance | None:
        """To known classes, whose features are those of the synthesized body alone."""
        background = self._synthesizer.background
        if background is None or self._part.base != META:
            return None
        return resemblance_of(background, support_taps, labels, head, parameters.whitening)

    def _support_taps(self, pool: Images, rows: Ints) -> tuple[Tensor, ...]:
        views = [self._bank.every_tap(pool, rows, view) for view in range(self._views)]
        return self._moved([np.mean(tap, axis=0) for tap in zip(*views, strict=True)])

    def _moved(self, arrays: Sequence[np.ndarray]) -> tuple[Tensor, ...]:
        device = self._synthesizer.device
        return tuple(torch.from_numpy(array.astype(np.float32)).to(device) for array in arrays)

    def _encode(self, descriptions: Sequence[str]) -> Tensor:
        if not any_described(descriptions):
            return self._synthesizer.encode_texts(descriptions)
        vectors_NF = torch.from_numpy(self._texts.vectors(descriptions)).float()
        return vectors_NF.to(self._synthesizer.device)
