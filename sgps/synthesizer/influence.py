"""What each support image does to a classifier: the same head, solved again without it.

Shapes: S support images, N classes, D_t features of a tap, F text width; L images that are left out
at once, each of a head of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sgps.synthesizer.head import LinearHead
from sgps.synthesizer.head_parameters import HeadParameters
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.synthesizer.leave_one_out import SupportGrams, batches_to_leave_out
from sgps.synthesizer.support_labels import SupportLabels
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

    The head is solved whole; only its temperature stays that of the head with every image, so that
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
    grams = SupportGrams.of(support_taps, parameters)
    complete_SN = head.logits(support_taps).softmax(dim=1)
    numbers_S = torch.arange(len(complete_SN), device=complete_SN.device)
    own: list[Tensor] = []
    influence: list[Tensor] = []
    for out_L in batches_to_leave_out(labels):
        every_LSN = grams.scores_without(out_L, labels, parameters, unit_rows=head.unit_rows)
        own.append(every_LSN[numbers_S[: len(out_L)], out_L])
        moved_LS = ((temperature * every_LSN).softmax(dim=2) - complete_SN).abs().mean(dim=2)
        others_LS = numbers_S != out_L.unsqueeze(1)
        influence.append((moved_LS * others_LS).sum(dim=1) / others_LS.sum(dim=1))
    scores_SN, influence_S = torch.cat(own), torch.cat(influence)
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
