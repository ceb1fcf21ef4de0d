"""Comparing the index of the ledger, which the chain does not cover, with what it points to.

An altered index hides a record from a search and from an erasure. Everything in it can be made
again from the entry and from the artifacts that match it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sgps.audit import Ledger, LedgerEntry, canonical_json, term_value
from sgps.datasets.decoding import ImageLimits, decode_image, perceptual_hash
from sgps.errors import ImageError
from sgps.service._record_checks import REQUEST_FILE, Finding
from sgps.service._review_history import REVIEW_KIND
from sgps.service.erasure import ERASURE_KIND, FORGOTTEN_TERMS
from sgps.service.prediction import ACCESS_KIND
from sgps.service.provenance import sha256_of_text
from sgps.service.support import MAX_TOTAL_PIXELS

KIND = "altered index"
_LATER_TERMS = ("image_hash", "person")
_LIMITS = ImageLimits(
    max_bytes=4 * MAX_TOTAL_PIXELS, max_pixels=MAX_TOTAL_PIXELS, min_side=1, formats=("PNG",)
)

Terms = dict[str, frozenset[str]]


class IndexChecks:
    """The index beside the entries of one ledger."""

    def __init__(self, ledger: Ledger, syntheses: list[LedgerEntry]) -> None:
        self._ledger = ledger
        self._found = ledger.terms([entry.number for entry in syntheses])

    def check_synthesis(
        self, entry: LedgerEntry, folder: Path, audit: Mapping[str, Any] | None
    ) -> Iterator[Finding]:
        """What differs of a recorded version.

        ``audit`` is the record among the artifacts in ``folder``, None where it is not the one
        recorded: then only what the entry says in plain is compared.

        Raises
        ------
        KeyError, TypeError, AttributeError: the entry holds no record of a synthesis.
        """
        expected = _terms_of_synthesis(entry)
        if audit is not None:
            expected |= _terms_of_artifacts(audit, folder)
        if not entry.record["audit"].get("sealed"):  # version 0.1.0 had no such terms
            expected = {name: v for name, v in expected.items() if name not in _LATER_TERMS}
        found = self._found.get(entry.number, {})
        unknown = set(found) - set(_ALL_TERMS)
        for name in sorted({*expected, *unknown}):
            yield from _compare(entry, name, expected.get(name, frozenset()), found)

    def check_erased(self, entry: LedgerEntry) -> Iterator[Finding]:
        """What an erased version is still found by, or no longer found by."""
        found = self._found.get(entry.number, {})
        for name, values in _terms_of_synthesis(entry).items():
            yield from _compare(entry, name, values, found)
        for name in sorted(set(FORGOTTEN_TERMS) & set(found)):
            yield _finding(entry, name, "nothing, for it was erased", f"{len(found[name])} values")

    def check_others(self) -> Iterator[Finding]:
        """What differs of the entries about reviews, accesses and erasures."""
        for kind, terms_of in _TERMS_OF_OTHERS.items():
            entries = self._ledger.entries(kind)
            found = self._ledger.terms([entry.number for entry in entries])
            for entry in entries:
                try:
                    expected = terms_of(entry)
                except (TypeError, AttributeError):
                    continue
                for name in sorted({*expected, *found[entry.number]}):
                    values = expected.get(name, frozenset())
                    yield from _compare(entry, name, values, found[entry.number])


_ALL_TERMS = (
    "request_id", "model_name", "version", "requester", "task", "generator", "weights", "image",
    *_LATER_TERMS,
)  # fmt: skip


def _terms_of_synthesis(entry: LedgerEntry) -> Terms:
    """What the entry tells in plain, sealed or not."""
    audit, registered = entry.record["audit"], entry.record["registered"]
    return _terms(
        request_id=[audit["request_id"]],
        model_name=[registered["model_name"]],
        version=[registered["version"]],
        generator=[audit["generator"]["sha256"]],
    )


def _terms_of_artifacts(audit: Mapping[str, Any], folder: Path) -> Terms:
    """What the artifacts add, ``audit`` being the recorded one."""
    images = [image for item in audit["inputs"]["classes"] for image in item["images"]]
    terms = _terms(
        requester=[audit["who"]["requester"]],
        task=[audit["task"]],
        weights=[audit["outputs"]["weights_sha256"]],
        image=[image["pixel_sha256"] for image in images],
    )
    request = _read_json(folder / REQUEST_FILE)
    if sha256_of_text(canonical_json(request)) == audit["inputs"]["request_sha256"]:
        persons = [person for item in request["classes"] for person in item.get("persons", ())]
        terms |= _terms(person=filter(None, persons))
    with ThreadPoolExecutor(2) as pool:
        looks = list(pool.map(lambda image: _look(folder, image), images))
    if None not in looks:
        terms |= _terms(image_hash=looks)
    return terms


def _terms_of_review(entry: LedgerEntry) -> Terms:
    name, _, version = entry.subject.removeprefix("models:/").partition("/")
    record = entry.record
    return _terms(
        model_name=[name],
        version=[version],
        request_id=[record.get("request_id")],
        reviewer=[record.get("reviewer")],
        state=[record.get("to")],
    )


def _terms_of_access(entry: LedgerEntry) -> Terms:
    return _terms(access_to=[entry.record.get("request_id")])


def _terms_of_erasure(entry: LedgerEntry) -> Terms:
    named = [str(name) for name in entry.record.get("erased", ())]
    models = [name for name in named if name.startswith("models:/")]
    return _terms(request_id=entry.record.get("requests", ()), model=models)


_TERMS_OF_OTHERS = {
    REVIEW_KIND: _terms_of_review,
    ACCESS_KIND: _terms_of_access,
    ERASURE_KIND: _terms_of_erasure,
}


def _terms(**values: Any) -> Terms:
    return {
        name: frozenset(term_value(str(one)) for one in ones if one not in (None, ""))
        for name, ones in values.items()
    }


def _look(folder: Path, image: Mapping[str, Any]) -> str | None:
    """Perceptual hash of a support image; None where its pixels are not those recorded."""
    path = (folder / str(image.get("artifact"))).resolve()
    if not path.is_relative_to(folder.resolve()):
        return None
    try:
        decoded = decode_image(path.read_bytes(), name=path.name, limits=_LIMITS)
    except (ImageError, OSError):
        return None
    same = decoded.pixel_sha256 == image["pixel_sha256"]
    return perceptual_hash(decoded.pixels) if same else None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _compare(
    entry: LedgerEntry, name: str, expected: frozenset[str], terms: Mapping[str, frozenset[str]]
) -> Iterator[Finding]:
    found = terms.get(name, frozenset())
    if found == expected:
        return
    if name in FORGOTTEN_TERMS:  # not to be told again
        missing, foreign = len(expected - found), len(found - expected)
        yield _finding(entry, name, f"{len(expected)} values", f"{missing} lack, {foreign} are odd")
    else:
        yield _finding(entry, name, _told(expected), _told(found))


def _told(values: frozenset[str]) -> str:
    return ", ".join(sorted(values)[:3]) or "nothing"


def _finding(entry: LedgerEntry, name: str, expected: str, found: str) -> Finding:
    where = f"term {name} of ledger entry {entry.number}"
    return Finding(KIND, entry.subject, where, expected, found, entry.number)
