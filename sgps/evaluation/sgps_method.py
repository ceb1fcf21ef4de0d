"""The synthesizer as a method under test."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from sgps.evaluation.banked_synthesis import PARTS, WHOLE, BankedSynthesis
from sgps.evaluation.features import TapBank
from sgps.evaluation.methods import SGPS, EpisodeInputs, Images, Method, Prediction
from sgps.evaluation.sources import SYNTHESIS_SOURCES, source_digest
from sgps.evaluation.text_bank import TextBank
from sgps.synthesizer import ClassSupport, Synthesizer, Task


class SynthesizerMethod:
    """Synthesizes a classifier for each episode; no gradient step."""

    name = SGPS

    def __init__(self, synthesizer: Synthesizer) -> None:
        self._synthesizer = synthesizer

    def details(self) -> dict[str, Any]:
        """Return the generator's name and digest, the target network and its resolution."""
        known = self._synthesizer.known_classes
        return {
            "generator": self._synthesizer.generator_name,
            "generator_sha256": self._synthesizer.generator_sha256,
            "known_classes_sha256": known.sha256 if known else None,
            "architecture": self._synthesizer.architecture,
            "resolution": self._synthesizer.resolution,
            "synthesizer_sources": source_digest(*SYNTHESIS_SOURCES),
        }

    def predict(self, episode: EpisodeInputs) -> Prediction:
        """Synthesize a classifier from the support and its descriptions; score the queries."""
        task = Task(
            name="benchmark",
            classes=tuple(
                ClassSupport(name=name, images=_channels_last(images), description=description)
                for name, images, description in zip(
                    episode.class_names, episode.support_images, episode.descriptions, strict=True
                )
            ),
        )
        start = time.perf_counter()
        classifier = self._synthesizer.synthesize(task)
        seconds = time.perf_counter() - start
        found = classifier.assess(_channels_last(episode.query_images))
        return Prediction(
            np.asarray(found.probs_QN, dtype=np.float64), seconds, familiarity_Q=found.familiarity_Q
        )


def own_methods(
    synthesizer: Synthesizer, bases: Sequence[TapBank], *, parts: bool = False
) -> tuple[Method, ...]:
    """SGPS, on the banks where its generator allows, and with `parts` itself without each part."""
    if synthesizer.hypernetwork.config.task_codes or not bases:
        return (SynthesizerMethod(synthesizer),)
    texts = TextBank(synthesizer.encode_texts)
    wanted = (WHOLE, *PARTS) if parts else (WHOLE,)
    return tuple(BankedSynthesis(synthesizer, bases, part, texts=texts) for part in wanted)


def _channels_last(images: Sequence[Images] | Images) -> tuple[Images, ...]:
    return tuple(np.ascontiguousarray(image.transpose(1, 2, 0)) for image in images)
