"""How class descriptions enter the baselines that read them.

A baseline has no training data to learn from which features a text speaks of. What anybody has is
the public classifier of 1000 ImageNet classes and the classes' definitions: ridge regression from
the embedded definitions to the classifier's weights, in closed form, turns any text into weights
over the last features. (A kernel between the texts that smooths the class means, which needs no
such map, moved accuracy on novel_val by less than 0.1 points.)

Shapes: R rows of support features, Q queries, N classes, F text width, D last features.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from sgps.encoders._torchvision_operators import import_timm
from sgps.encoders.target_networks import packaged_state_dict, packaged_target_networks
from sgps.encoders.text import load_text_encoder
from sgps.evaluation.baselines.space import EPSILON, Support, Taps, unit_rows
from sgps.evaluation.metrics import Floats
from sgps.evaluation.text_bank import TextBank

TEXT_ENCODER = "minilm"
MAP_RIDGE = 10.0
"""Strength of the ridge from definitions to weights, chosen on novel_val."""

_CLASSES = 1000
_WORDS = 8


@dataclass(frozen=True)
class ZeroShot:
    """A classifier made of class texts alone, but for the centre of its features.

    Attributes
    ----------
    centre_D: the support's mean of the last features.
    weight_ND: of mean square norm 1 over the described classes; zero for the others.
    """

    centre_D: Floats
    weight_ND: Floats

    @classmethod
    def of(cls, texts_NF: Floats, map_FD: Floats, support: Support) -> ZeroShot:
        """Return the classifier of class texts; rows of zeros stand for classes without one."""
        described_N1 = (texts_NF != 0).any(axis=1, keepdims=True)
        count = max(int(described_N1.sum()), 1)
        weight_ND = (texts_NF - texts_NF.sum(0) / count) * described_N1 @ map_FD
        square = (weight_ND**2).sum() / count
        return cls(support.weights_R @ support.taps[-1], weight_ND / np.sqrt(square + EPSILON))

    def similarity(self, taps: Taps) -> Floats:
        """Inner products (Q, N) of the centred last features, of norm 1, with the weights."""
        return np.asarray(unit_rows(taps[-1] - self.centre_D) @ self.weight_ND.T)


@functools.lru_cache(maxsize=1)
def text_bank() -> TextBank:
    """Return the bank that all baselines of the process share."""
    return TextBank(load_text_encoder(TEXT_ENCODER).encode)


def text_details(body: nn.Module) -> dict[str, Any]:
    """Return what defines the text term on a body, ready for JSON.

    ``text_map`` is None, and nothing else is there, where no text is read for want of a map.
    """
    if _mapped_architecture(body) is None:
        return {"text_map": None}
    encoder = load_text_encoder(TEXT_ENCODER)
    return {
        "text_encoder": encoder.name,
        "text_encoder_version": encoder.version,
        "text_map": "ridge from ImageNet definitions to the public classifier's weights",
        "text_map_ridge": MAP_RIDGE,
    }


def text_map_of(body: nn.Module) -> Floats | None:
    """Return the map (F, D) from text vectors to weights over the last features of a body.

    None where no package carries an ImageNet classifier of the body's architecture. The map must
    not be altered; the first call takes some seconds.
    """
    architecture = _mapped_architecture(body)
    return None if architecture is None else _packaged_map(architecture)


def _mapped_architecture(body: nn.Module) -> str | None:
    config = getattr(body, "pretrained_cfg", None) or {}
    architecture = str(config.get("architecture", ""))
    return architecture if architecture in packaged_target_networks() else None


@functools.lru_cache(maxsize=4)
def _packaged_map(architecture: str) -> Floats:
    weight_CD = packaged_state_dict(architecture)["classifier.weight"].double().numpy()
    texts_CF = load_text_encoder(TEXT_ENCODER).encode(_definitions()).double().numpy()
    return fit_text_map(texts_CF, weight_CD, MAP_RIDGE)


def fit_text_map(texts_CF: Floats, weight_CD: Floats, ridge: float) -> Floats:
    """Ridge regression (F, D) from centred texts (C, F) to centred weights (C, D)."""
    centred_CF = texts_CF - texts_CF.mean(0)
    gram_FF = centred_CF.T @ centred_CF + ridge * np.eye(texts_CF.shape[1])
    return np.asarray(np.linalg.solve(gram_FF, centred_CF.T @ (weight_CD - weight_CD.mean(0))))


def _definitions() -> list[str]:
    """Names of the ImageNet classes and what they are (WordNet), in the order of the weights.

    Cut to the first words, which say as much on novel_val in half the time.
    """
    classes = import_timm().data.ImageNetInfo()
    texts = [classes.index_to_description(number, detailed=True) for number in range(_CLASSES)]
    return [" ".join(text.split()[:_WORDS]) for text in texts]
