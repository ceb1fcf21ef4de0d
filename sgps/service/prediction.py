"""Images in, probabilities out, by a registered model whose bytes are those recorded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgps.datasets.decoding import Pixels, read_image
from sgps.errors import InputError
from sgps.service._loading import LoadedModel, load_model, unapproved_warning
from sgps.service.classifier_cache import ClassifierCache
from sgps.service.requests import UNSTATED
from sgps.service.workspace import Workspace, image_limits, open_workspace
from sgps.settings import Settings

if TYPE_CHECKING:
    from sgps.synthesizer.classifier import SynthesizedClassifier

__all__ = [
    "ACCESS_KIND",
    "ClassifierCache",
    "LoadedModel",
    "Prediction",
    "load_verified",
    "note_access",
    "predict_images",
    "predict_in_workspace",
    "predict_pixels",
    "unapproved_warning",
]

ACCESS_KIND = "access"
_log = logging.getLogger("sgps.prediction")


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one image.

    Attributes
    ----------
    image: its path or name.
    label: the most probable class.
    probabilities: of each class.
    state: of the model's review; "" where the ledger does not know the model.
    abstention_threshold: probability below which it is not sure, in [0, 1]; None where the model
        has none.
    margin: how much the image resembles the nearest class of the task, less how much it resembles
        the nearest class that the generator knows from meta-training as that counts; None where it
        knows none.
    resembles: name of that known class, such as ``ham10000: nv``; None likewise.
    foreign_margin: margin that one in ten left-out support images falls short of; None where it
        could not be told.
    """

    image: str
    label: str
    probabilities: dict[str, float]
    state: str = ""
    abstention_threshold: float | None = None
    margin: float | None = None
    resembles: str | None = None
    foreign_margin: float | None = None

    @property
    def abstains(self) -> bool:
        """Whether the most probable class is not probable enough to be an answer."""
        threshold = self.abstention_threshold
        return threshold is not None and self.probabilities[self.label] < threshold

    @property
    def foreign(self) -> bool:
        """Whether the image is less at home in the task than nine in ten left-out support images.

        A hint: where meta-training did not know what the image shows it is little better than
        chance.
        """
        if self.margin is None or self.foreign_margin is None:
            return False
        return self.margin < self.foreign_margin

    def at_home(self) -> dict[str, Any]:
        """``margin``, ``resembles`` and ``foreign``, JSON-able, as far as they are known."""
        facts = {
            "margin": self.margin,
            "resembles": self.resembles,
            "foreign": None if None in (self.margin, self.foreign_margin) else self.foreign,
        }
        return {name: value for name, value in facts.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; whether it abstains or is foreign only where that can be told."""
        facts: dict[str, Any] = {
            "image": self.image,
            "label": self.label,
            "probabilities": dict(self.probabilities),
            "state": self.state,
        }
        if self.abstention_threshold is not None:
            facts["abstains"] = self.abstains
            facts["abstention_threshold"] = self.abstention_threshold
        return facts | self.at_home()


def predict_images(
    model_uri: str,
    paths: Sequence[str | Path],
    settings: Settings,
    *,
    who: str = "",
    record_access: bool = True,
) -> list[Prediction]:
    """Classify the image files at ``paths`` with a registered model, in their order.

    Parameters
    ----------
    who: on whose behalf, for the ledger.
    record_access: whether the ledger keeps that the model was used.

    Raises
    ------
    InputError, ImageError: there is no image, or one cannot be decoded.
    UnknownNameError: there is no such model.
    IntegrityError: weights, class names or settings are not those that the ledger recorded, the
        model was erased, or the alias ``approved`` stands for a version that is not.
    StoreError: ledger or registry cannot be used.
    """
    with open_workspace(settings) as workspace:
        return predict_in_workspace(
            model_uri, paths, workspace, who=who, record_access=record_access
        )


def predict_in_workspace(
    model_uri: str,
    paths: Sequence[str | Path],
    workspace: Workspace,
    *,
    who: str = "",
    record_access: bool = True,
    cache: ClassifierCache | None = None,
) -> list[Prediction]:
    """Like :func:`predict_images`, in stores that are open already."""
    if not paths:
        raise InputError("no image to classify", remedy="give at least one image file")
    limits = image_limits(workspace.settings)
    images = [(str(path), read_image(Path(path), limits=limits).pixels) for path in paths]
    return predict_pixels(
        model_uri, images, workspace, who=who, record_access=record_access, cache=cache
    )


def predict_pixels(
    model_uri: str,
    images: Sequence[tuple[str, Pixels]],
    workspace: Workspace,
    *,
    who: str = "",
    record_access: bool = True,
    cache: ClassifierCache | None = None,
) -> list[Prediction]:
    """Like :func:`predict_images`, of names and decoded images, uint8 (H, W, 3) each.

    ``cache``: where loaded classifiers are kept; without one the model is loaded for this call.
    """
    load = load_model if cache is None else cache.load
    loaded = load(model_uri, workspace)
    if record_access:
        note_access(loaded, workspace, who=who, act="predict", images=len(images))
    _warn(loaded)
    names = loaded.classifier.class_names
    found = loaded.classifier.assess([pixels for _, pixels in images])
    return [
        Prediction(
            image=image,
            label=names[int(row.argmax())],
            probabilities={name: float(value) for name, value in zip(names, row, strict=True)},
            state=loaded.state.value if loaded.state else "",
            abstention_threshold=loaded.abstention_threshold,
            margin=None if found.margin_Q is None else float(found.margin_Q[number]),
            resembles=None if found.resembles_Q is None else found.resembles_Q[number],
            foreign_margin=loaded.foreign_margin,
        )
        for number, ((image, _), row) in enumerate(zip(images, found.probs_QN, strict=True))
    ]


def load_verified(model_uri: str, workspace: Workspace) -> SynthesizedClassifier:
    """Load a registered model; a warning is logged where it is not approved.

    Raises
    ------
    UnknownNameError: there is no such model.
    IntegrityError: the weights are not those that the ledger recorded, the model was erased, or
        the alias ``approved`` stands for a version that is not.
    StoreError: ledger or registry cannot be read.
    """
    loaded = load_model(model_uri, workspace)
    _warn(loaded)
    return loaded.classifier


def note_access(
    loaded: LoadedModel, workspace: Workspace, *, act: str, who: str = "", images: int = 0
) -> None:
    """Keep in the ledger that a model was used (``act``: predict, export, ...), and by whom.

    Raises
    ------
    StoreError: the ledger cannot be written.
    """
    record = {
        "act": act,
        "who": who or UNSTATED,
        "images": images,
        "request_id": loaded.version.request_id,
        "run_id": loaded.version.run_id,
        "state": loaded.state.value if loaded.state else None,
    }
    terms = {"access_to": loaded.version.request_id} if loaded.version.request_id else {}
    workspace.ledger.append(ACCESS_KIND, loaded.version.model_uri, record, terms=terms)


def _warn(loaded: LoadedModel) -> None:
    warning = unapproved_warning(loaded)
    if warning:
        _log.warning(warning)
