"""Images of a request that look like those of classifiers that were made before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sgps.audit import Ledger
from sgps.datasets.hygiene import perceptual_hash
from sgps.service.requests import SynthesisRequest
from sgps.service.support import DecodedSupport, SupportCheck
from sgps.service.synthesis import LEDGER_KIND

KNOWN_IMAGE = "known_image"
_LOOKS_LIKE, _MADE_FROM = " looks like one that ", " was made from"
_HASHING_THREADS = 4


def find_known_images(
    request: SynthesisRequest, support: DecodedSupport, ledger: Ledger
) -> tuple[SupportCheck, ...]:
    """A finding for each image whose perceptual hash the ledger knows, with the newest such model.

    An erased record is not found. Raises StoreError.
    """
    kept = [
        (item, name, image.pixels)
        for item, images in zip(request.classes, support.images, strict=True)
        for name, image in images
    ]
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        hashes = list(pool.map(perceptual_hash, (pixels for _, _, pixels in kept)))
    return tuple(
        _known_image(item.name, item.images.index(name) + 1, entry.subject)
        for (item, name, _), image_hash in zip(kept, hashes, strict=True)
        for entry in ledger.find(image_hash=image_hash, limit=1)
    )


def _known_image(label: str, number: int, model_uri: str) -> SupportCheck:
    words = f"image {number}{_LOOKS_LIKE}{model_uri}{_MADE_FROM}"
    return SupportCheck(KNOWN_IMAGE, label, number, f"class {label!r}: {words}")


def findings_in_short(checks: Iterable[SupportCheck]) -> tuple[str, ...]:
    """The findings, with one line for all images known from one model; these lines come last."""
    others: list[str] = []
    known: Counter[str] = Counter()
    for check in checks:
        if check.check == KNOWN_IMAGE:
            known[check.finding.rpartition(_LOOKS_LIKE)[2].removesuffix(_MADE_FROM)] += 1
        else:
            others.append(check.finding)
    lines = (
        f"{count} image{'s look' if count > 1 else ' looks'} like what {model_uri} was made from"
        for model_uri, count in known.items()
    )
    return (*others, *lines)


def with_checks(support: DecodedSupport, checks: tuple[SupportCheck, ...]) -> DecodedSupport:
    """The support with further findings, which name no file."""
    findings = findings_in_short(checks)
    return replace(support, warnings=support.warnings + findings, checks=support.checks + checks)


def recorded_known_images(request_id: str, ledger: Ledger) -> tuple[str, ...]:
    """What was found of a request when it was accepted. Raises StoreError."""
    return findings_in_short(
        SupportCheck(**check)
        for entry in ledger.find(request_id=request_id)
        if entry.kind == LEDGER_KIND
        for check in entry.record["audit"].get("checks", ())
        if check["check"] == KNOWN_IMAGE
    )
