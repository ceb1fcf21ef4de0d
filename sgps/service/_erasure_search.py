"""Where an image or a person is found: in the sealed entries, by the index, in the spool."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sgps.audit import Ledger, LedgerEntry, seal_digest
from sgps.service._spool import Spool
from sgps.service.provenance import sha256_of_text
from sgps.service.synthesis import LEDGER_KIND

_MANIFEST = "request.json"


def syntheses_of_image(digest: str, ledger: Ledger) -> list[LedgerEntry]:
    """Entries about a synthesis from an image with this pixel digest, oldest first.

    The digest is sealed with the key of each record and looked for in the entry itself: an index
    that was altered neither hides one nor adds one. Raises StoreError.
    """
    return _syntheses_of("pixel", digest, ledger, ledger.find(image=digest))


def syntheses_of_person(person: str, ledger: Ledger) -> list[LedgerEntry]:
    """Entries about a synthesis whose request named this pseudonym, oldest first.

    Like :func:`syntheses_of_image`; the index adds requests that named the person for an image
    which was given twice. Raises StoreError.
    """
    indexed = ledger.find(person=person)
    found = _syntheses_of("person", sha256_of_text(person), ledger, indexed)
    known = {entry.number for entry in found}
    return sorted(
        [*found, *(one for one in syntheses(indexed) if one.number not in known)],
        key=lambda entry: entry.number,
    )


def syntheses(entries: list[LedgerEntry]) -> list[LedgerEntry]:
    """The entries about a synthesis among others."""
    return [entry for entry in entries if entry.kind == LEDGER_KIND]


def spooled_requests(digest: str, person: str, home: Path) -> Iterator[str]:
    """Requests that wait with an image of these pixels, or of this person; empty for neither."""
    spool = Spool(home)
    for request_id in spool.request_ids() if digest or person else ():
        manifest = read_spooled(home, request_id)
        if manifest is None:
            continue
        digests = {image["pixel_sha256"] for row in manifest["images"] for image in row}
        persons = {name for row in manifest["persons"] for name in row}
        if (digest and digest in digests) or (person and person in persons):
            yield request_id


def read_spooled(home: Path, request_id: str) -> dict[str, Any] | None:
    """The description of a request that waits; None where there is none."""
    manifest = read_json(Spool(home).path / request_id / _MANIFEST)
    return manifest if isinstance(manifest, dict) else None


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _syntheses_of(
    name: str, digest: str, ledger: Ledger, indexed: list[LedgerEntry]
) -> list[LedgerEntry]:
    """Where a record has no key to tell by, the index is believed."""
    known = {entry.number for entry in indexed}
    found = []
    for entry in ledger.entries(LEDGER_KIND):
        shown = _shows(entry, name, digest, ledger)
        if shown or (shown is None and entry.number in known):
            found.append(entry)
    return found


def _shows(entry: LedgerEntry, name: str, digest: str, ledger: Ledger) -> bool | None:
    """Whether an image of the record has this digest; None where that cannot be told."""
    try:
        audit = entry.record["audit"]
        images = [image for item in audit["inputs"]["classes"] for image in item["images"]]
        if not audit.get("sealed"):
            return _holds(images, f"{name}_sha256", digest)
        key = ledger.record_keys.get(str(audit["request_id"]))
        return None if key is None else _holds(images, f"{name}_hmac", seal_digest(key, digest))
    except (KeyError, TypeError, AttributeError):
        return None


def _holds(images: list[Mapping[str, Any]], field: str, value: str) -> bool:
    return any(image.get(field) == value for image in images)
