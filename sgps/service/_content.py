"""What makes two requests the same: the digest of their content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgps.audit import canonical_json
from sgps.errors import IntegrityError
from sgps.service.requests import SynthesisRequest
from sgps.service.support import DecodedSupport
from sgps.service.versions import STEP_VERSIONS
from sgps.settings import Settings
from sgps.synthesizer.generator_folder import find_generator

if TYPE_CHECKING:
    from sgps.synthesizer import Synthesizer

CONTENT_FORMAT = "sgps-content-2"
_DECISIVE_STEPS = ("decode_support", "synthesize_weights")


@dataclass(frozen=True)
class GeneratorDigests:
    """Of all that a generator brings to a classifier.

    Attributes
    ----------
    tensors: digest of its tensors.
    known_classes: digest of the classes that it knows; None where it knows none.
    """

    tensors: str
    known_classes: str | None

    @classmethod
    def of_loaded(cls, synthesizer: Synthesizer) -> GeneratorDigests:
        """Of a generator that is loaded."""
        known = synthesizer.known_classes
        return cls(synthesizer.generator_sha256, known.sha256 if known else None)

    @classmethod
    def of_settings(cls, settings: Settings) -> GeneratorDigests:
        """Of the generator that the settings name, without loading it.

        Raises
        ------
        UnknownNameError: there is no such generator.
        IntegrityError: its description or its known classes cannot be read.
        """
        from sgps.synthesizer.known_classes import KnownClasses  # noqa: PLC0415 heavy

        tensors = generator_digest(settings)
        known = KnownClasses.load(find_generator(settings.generator), tensors)
        return cls(tensors, known.sha256 if known else None)


def content_digest(
    request: SynthesisRequest, support: DecodedSupport, generator: GeneratorDigests
) -> str:
    """sha256 (64 hex digits) of everything that decides what comes out and what is recorded.

    In it: task, requester, purpose, legal basis; of each class its name, its description and the
    digests of its pixels with the persons they show; the digests of the generator and of the
    classes it knows; the versions of the steps that compute. The classes count as a set and the
    images of one as a multiset, so that their order changes nothing.

    Not in it: names and encodings of image files, images left out as repeats, and settings that
    only admit or refuse a request or say where it runs (limits, device, stores).
    """
    classes = [
        [item.name, item.description, sorted(_images(support, number))]
        for number, item in enumerate(request.classes)
    ]
    content: dict[str, Any] = {
        "format": CONTENT_FORMAT,
        "task": request.task,
        "requester": request.requester,
        "purpose": request.purpose,
        "legal_basis": request.legal_basis,
        "classes": sorted(classes),
        "generator": generator.tensors,
        "known_classes": generator.known_classes,
        "steps": {name: STEP_VERSIONS[name] for name in _DECISIVE_STEPS},
    }
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def generator_digest(settings: Settings) -> str:
    """Digest of the tensors of the generator that the settings name, without loading it.

    Raises
    ------
    UnknownNameError: there is no such generator.
    IntegrityError: its description cannot be read.
    """
    path = find_generator(settings.generator) / "generator.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["tensors_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path}: holds no digest of a generator", expected="a generator of ours"
        ) from error


def _images(support: DecodedSupport, number: int) -> list[list[str]]:
    persons = support.persons[number]
    images = [image for _, image in support.images[number]]
    return [[image.pixel_sha256, person] for image, person in zip(images, persons, strict=True)]
