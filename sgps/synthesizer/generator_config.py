"""Sizes, constants and starting values of a generator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes and starting values of a generator.

    Attributes
    ----------
    architecture: timm name of the target network.
    resolution: side of the square input image, in pixels.
    task_codes: whether layer codes, gates and statistics are generated for each task; else the body
        is the base plus a share of the meta-trained deltas, and the task decides the head.
    delta_scale: how far the body goes from the base to the meta-trained weights, without task
        codes, in [0, 1].
    support_views: 1, or 3: the support as given, mirrored and upside down, features averaged.
    initial_tap_weights: weight of each plain tap, (T,).
    centre_widths: of the means around the middle, where edges lie at 1; none with task codes.
    centre_weight: of each of those taps where a task is object-centred.
    whitening_rank: R, directions of the within-class covariance that are kept.
    whitening_shrinkage: eigenvalue, in units of the mean one, at which a direction is halved in
        variance.
    text_ridge: ridge strength of the map from class texts to class means.
    text_strength: factor from the predicted class mean to the prior of a class's weights.
    code_width: R, numbers a layer's code holds.
    task_width: E, width of the task vector.
    depth: attention layers over the class tokens.
    text_width: width of the text encoder's embeddings.
    text_rank: rank of the map from text to head weights.
    unit_rows: whether the head divides its feature rows by their norm.
    initial_ridge: ridge strength before training, relative to unit feature rows.
    initial_temperature: factor from ridge scores to logits before training.
    temperature: factor at synthesis, without task codes, in a task of typical separation, before
        its own evidence moves it.
    separation_taps: K, how many of the last plain taps separation is told by
        (:mod:`sgps.synthesizer.temperature`); with 0 every task has the same temperature before
        evidence.
    """

    architecture: str = "tf_efficientnet_lite0"
    resolution: int = 128
    task_codes: bool = False
    delta_scale: float = 0.5
    support_views: int = 3
    initial_tap_weights: tuple[float, ...] = (0.5, 0.7, 1.0, 1.0, 1.0)
    centre_widths: tuple[float, ...] = (0.35, 0.2)
    centre_weight: float = 0.7
    whitening_rank: int = 256
    whitening_shrinkage: float = 5.0
    text_ridge: float = 10.0
    text_strength: float = 8.0
    code_width: int = 16
    task_width: int = 128
    depth: int = 2
    text_width: int = 384
    text_rank: int = 128
    unit_rows: bool = True
    initial_ridge: float = 0.3
    initial_temperature: float = 8.0
    temperature: float = 7.0
    separation_taps: int = 3
