"""The public face: load a generator, synthesize classifiers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgps.encoders.text import TextEncoder, load_text_encoder
from sgps.errors import InputError
from sgps.synthesizer.abstention import abstention_threshold
from sgps.synthesizer.centre_pooling import object_centredness
from sgps.synthesizer.checkpoint import load_generator
from sgps.synthesizer.classifier import SynthesizedClassifier
from sgps.synthesizer.compact import codes_to_tensors
from sgps.synthesizer.generator_folder import find_generator
from sgps.synthesizer.hypernetwork import Hypernetwork, SharedBody, Synthesis
from sgps.synthesizer.influence import influence_by_image, support_influence
from sgps.synthesizer.known_background import KnownBackground
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.resemblance import (
    Resemblance,
    foreign_margin,
    nearest_known,
    resemblance_of,
)
from sgps.synthesizer.scoring import images_to_tensor
from sgps.synthesizer.sealed import digest_tensors
from sgps.synthesizer.support_labels import SupportLabels
from sgps.synthesizer.task import ClassSupport, Task
from sgps.synthesizer.temperature import log_temperature_by_separation, separation

DEFAULT_TEXT_ENCODER = "minilm"


class Synthesizer:
    """Turns tasks into classifiers with one forward pass of a meta-trained generator.

    Parameters
    ----------
    hypernetwork: generator and target network.
    name: what the generator is called in records.
    sha256: digest of the generator's tensors; computed where it is not given.
    text_encoder: name of the encoder of class descriptions.
    lineage: facts of the training, kept with the checkpoint.
    known_classes: of meta-training, beside which an image may turn out to be foreign to a task.
    device: where synthesis runs.
    allow_downloads: whether a text encoder that no package brings may come from the hub.
    """

    def __init__(
        self,
        hypernetwork: Hypernetwork,
        *,
        name: str = "unnamed",
        sha256: str | None = None,
        text_encoder: str = DEFAULT_TEXT_ENCODER,
        lineage: dict[str, Any] | None = None,
        known_classes: KnownClasses | None = None,
        device: torch.device | str = "cpu",
        allow_downloads: bool = False,
    ) -> None:
        self._allow_downloads = allow_downloads
        self.device = torch.device(device)
        self.hypernetwork = hypernetwork.to(self.device).eval().requires_grad_(False)
        self._text_encoder_name = text_encoder
        self.generator_name = name
        self.generator_sha256 = sha256 or digest_tensors(hypernetwork.generator.state_dict())
        self.lineage = lineage or {}
        self.known_classes = known_classes.to(self.device) if known_classes else None

    @classmethod
    def load(
        cls,
        checkpoint_or_name: str | Path = "default",
        *,
        device: str = "auto",
        allow_downloads: bool = False,
    ) -> Synthesizer:
        """Load a shipped generator by name or a checkpoint by path.

        ``allow_downloads`` lets a target network that no package brings come from the hub.

        Raises
        ------
        UnknownNameError: there is no such generator.
        IntegrityError: its files are foreign, corrupted or altered.
        InputError: the device is not there.
        """
        folder = find_generator(checkpoint_or_name)
        hypernetwork, description = load_generator(folder, allow_downloads=allow_downloads)
        known = KnownClasses.load(folder, description["tensors_sha256"])
        if known is not None:
            known.require_width(sum(hypernetwork.layout.widths))
        return cls(
            hypernetwork,
            name=description["name"],
            sha256=description["tensors_sha256"],
            text_encoder=description["text_encoder"],
            lineage=description["lineage"],
            known_classes=known,
            device=choose_device(device),
            allow_downloads=allow_downloads,
        )

    @property
    def architecture(self) -> str:
        """The timm name of the target network."""
        return self.hypernetwork.config.architecture

    @property
    def resolution(self) -> int:
        """Side of the square input image, in pixels."""
        return self.hypernetwork.config.resolution

    @cached_property
    def _body(self) -> SharedBody | None:
        return self.hypernetwork.frozen_body()

    @cached_property
    def background(self) -> KnownBackground | None:
        """The known classes as any task sees them; None where none are known."""
        if self.known_classes is None or self.hypernetwork.config.task_codes:
            return None
        with torch.inference_mode():
            return self.hypernetwork.generator.head_priors.background_of(self.known_classes)

    def __getstate__(self) -> dict[str, Any]:
        """All but what is made again from the weights."""
        again = ("_body", "background")
        return {name: value for name, value in self.__dict__.items() if name not in again}

    @cached_property
    def _text_encoder(self) -> TextEncoder:
        return load_text_encoder(self._text_encoder_name, allow_downloads=self._allow_downloads)

    def synthesize(self, task: Task) -> SynthesizedClassifier:
        """Synthesize every parameter of a classifier for ``task``, without a gradient step.

        The order of the support images changes nothing; the order of the classes only that of the
        outputs.
        """
        started = time.perf_counter()
        canonical = task.canonical()
        images, labels = self._support(canonical.classes)
        texts_NF = self.encode_texts([support.description for support in canonical.classes])
        with torch.inference_mode():
            synthesis = self.hypernetwork.generate(images, labels, texts_NF, body=self._body)
            seconds = time.perf_counter() - started
            judgement = _judge(task, synthesis, labels)
            resemblance, at_home = self._resemblance(synthesis, labels)
        order = torch.tensor(canonical.position, device=self.device)
        return SynthesizedClassifier(
            synthesis.tensors,
            synthesis.head.reordered(order),
            class_names=task.class_names,
            architecture=self.architecture,
            resolution=self.resolution,
            taps=self.hypernetwork.network.taps,
            centres=self.hypernetwork.network.centres,
            details=self._details(synthesis, labels, seconds) | judgement | at_home,
            codes=codes_to_tensors(synthesis.codes) if self.hypernetwork.config.task_codes else {},
            resemblance=resemblance.reordered(order) if resemblance else None,
            body_digest=self._body.digest if self._body else None,
            device=self.device,
        )

    def _resemblance(
        self, synthesis: Synthesis, labels: SupportLabels
    ) -> tuple[Resemblance | None, dict[str, Any]]:
        """Resemblance to known classes, and from where on an image is foreign."""
        if self.known_classes is None or self.background is None:
            return None, {}
        taps, head, whitening = (
            synthesis.support_taps,
            synthesis.head,
            synthesis.codes.head.whitening,
        )
        resemblance = resemblance_of(self.background, taps, labels, head, whitening)
        return resemblance, {
            "known_classes_sha256": self.known_classes.sha256,
            "nearest_known_classes": list(nearest_known(resemblance, taps, labels, head)),
            "foreign_margin": foreign_margin(resemblance, taps, labels, head, whitening),
        }

    def _support(self, classes: Sequence[ClassSupport]) -> tuple[Tensor, SupportLabels]:
        images = images_to_tensor(
            [pixels for support in classes for pixels in support.images], self.resolution
        )
        numbers = [number for number, support in enumerate(classes) for _ in support.images]
        labels = SupportLabels(torch.tensor(numbers, device=self.device), len(classes))
        return images.to(self.device), labels

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (N, F) of class descriptions; zero for an empty one."""
        width = self.hypernetwork.config.text_width
        if not any(text.strip() for text in texts):
            return torch.zeros(len(texts), width, device=self.device)
        return self._text_encoder.encode(list(texts)).to(self.device)

    def _details(
        self, synthesis: Synthesis, labels: SupportLabels, seconds: float
    ) -> dict[str, Any]:
        codes = synthesis.codes
        return {
            "generator": self.generator_name,
            "generator_sha256": self.generator_sha256,
            "text_encoder": self._text_encoder_name,
            "device": str(self.device),
            "seconds": seconds,
            "shots": [int(shots) for shots in labels.shots_N],
            "tap_weights": [round(float(w.exp()), 6) for w in codes.head.log_tap_weights_T],
            "object_centredness": _centredness(synthesis, labels),
            "ridge": float(codes.head.log_ridge.exp()),
            "temperature": _number(synthesis.head.temperature),
            "separation": _separation(synthesis, labels),
            "temperature_before_evidence": float(
                log_temperature_by_separation(synthesis.support_taps, labels, codes.head).exp()
            ),
            "text_prior_norm": float(codes.head.text_weights_ND.norm()),
            "share_of_deltas": float(codes.gates_L.mean()),
            "statistics_mixing_mean": float(codes.mixing_L.mean()),
        }


def _judge(task: Task, synthesis: Synthesis, labels: SupportLabels) -> dict[str, Any]:
    """What the support says of itself: the influence of each image, when rather not to answer."""
    found = support_influence(synthesis.support_taps, labels, synthesis.head, synthesis.codes.head)
    return {
        "abstention_threshold": abstention_threshold(found.scores_SN, labels, found.temperature),
        "influence": [
            [image.to_dict() for image in images] for images in influence_by_image(task, found)
        ],
    }


def _centredness(synthesis: Synthesis, labels: SupportLabels) -> float | None:
    """How far the task's images show one thing in their middle; None where nothing asks for it."""
    centre_of = synthesis.codes.head.centre_of
    if not centre_of:
        return None
    return float(object_centredness(synthesis.support_taps, labels.weights_S, centre_of))


def _separation(synthesis: Synthesis, labels: SupportLabels) -> float | None:
    """How far the task's classes lie apart; None where nothing asks for it."""
    within_spread_K = synthesis.codes.head.within_spread_K
    if within_spread_K is None:
        return None
    return float(separation(synthesis.support_taps, labels, within_spread_K))


def _number(value: Tensor | None) -> float | None:
    return None if value is None else float(value)


def choose_device(name: str) -> torch.device:
    """Resolve "auto", "cpu" or "cuda".

    Raises
    ------
    InputError: the name is unknown, or no CUDA device is there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {name!r}", expected="auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("no CUDA device is here", remedy="choose --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
