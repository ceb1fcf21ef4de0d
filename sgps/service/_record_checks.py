"""Comparing the artifacts of one version with the record of its synthesis."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgps.audit import LedgerEntry, canonical_json, seal_record
from sgps.datasets.decoding import decode_image
from sgps.errors import ImageError, UserError
from sgps.service._file_digests import SUPPORT_FOLDER, compare_files, seal_files
from sgps.service.provenance import sha256_of_text
from sgps.service.support import OWN_COPIES

AUDIT_FILE, REQUEST_FILE, TEXTS_FILE = "audit.json", "request.json", "texts.json"
_MOST_DIFFERENCES = 3
_LONGEST_JSON = 50_000_000


@dataclass(frozen=True)
class Finding:
    """Something that is not as the ledger recorded it.

    Attributes
    ----------
    kind: "chain", "missing protection", "altered index", "missing version", "unknown version",
        "altered artifact", "missing artifact", "unknown artifact", "altered record",
        "altered label", "wrong state", "missing key", "unfinished erasure" or "not erased".
    subject: what it is about, such as ``models:/name/1``.
    where: the entry, artifact, label or field.
    expected, found: in short, for people.
    entry: number of the ledger entry concerned; None for none.
    """

    kind: str
    subject: str
    where: str
    expected: str
    found: str
    entry: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.subject}: {self.where}: expected {self.expected},"
            f" found {self.found}"
        )


@dataclass(frozen=True)
class Documents:
    """Content of ``audit.json`` and ``texts.json``, as the ledger recorded them."""

    audit: Mapping[str, Any]
    texts: Mapping[str, Any]


class RecordedContents:
    """The artifacts of one version in ``folder``, beside the record of their synthesis.

    Parameters
    ----------
    recorded: the audit record as the ledger entry ``entry`` holds it, sealed or plain.
    key: the key of the record; None where the entry is plain.
    files: sealed digests of the files as the entry holds them; None where it holds none.
    """

    def __init__(
        self,
        folder: Path,
        subject: str,
        entry: int,
        recorded: Mapping[str, Any],
        key: bytes | None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._subject = subject
        self._entry = entry
        self._recorded = recorded
        self._key = key
        self._files = files

    @classmethod
    def of_entry(cls, folder: Path, entry: LedgerEntry, key: bytes | None) -> RecordedContents:
        """Beside the entry about their synthesis. Raises KeyError where it is none."""
        record = entry.record
        used = key if record["audit"].get("sealed") else None
        files = record.get("files")
        return cls(folder, entry.subject, entry.number, record["audit"], used, files)

    def check(self) -> list[Finding]:
        """Everything that differs; what is behind a damaged ``audit.json`` is not compared."""
        findings = self._compare_contents()
        told = [finding.where.split(",")[0].split(" ")[0] for finding in findings]
        return findings + [
            finding
            for finding in self._compare_files()
            if not any(_is_within(finding.where, place) for place in told)
        ]

    def documents(self) -> Documents | None:
        """The audit record and the texts among the artifacts; None where they differ."""
        audit = self._read_json(AUDIT_FILE)
        try:
            if self._compare_record(audit) or [*self._compare_texts(audit["inputs"])]:
                return None
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        return Documents(audit, self._read_json(TEXTS_FILE))

    def _compare_contents(self) -> list[Finding]:
        """What differs, in terms of what the files hold."""
        audit = self._read_json(AUDIT_FILE)
        if not isinstance(audit, dict):
            return [self._unreadable(AUDIT_FILE)]
        differences = self._compare_record(audit)
        try:
            return [*differences, *self._compare_artifacts(audit)]
        except (KeyError, TypeError, ValueError, AttributeError):
            return differences or [self._unreadable(AUDIT_FILE)]

    def _compare_files(self) -> Iterator[Finding]:
        """Whatever else differs: the card, the generator's documents, files that MLflow reads."""
        if self._files is None or self._key is None:
            return
        for path, recorded, found in compare_files(
            self._files, seal_files(self._folder, self._key)
        ):
            if recorded is None:
                yield self._finding("unknown artifact", path, "no such file", "a file")
            else:
                yield self._digest_finding(path, recorded, found)

    def _compare_record(self, audit: dict[str, Any]) -> list[Finding]:
        try:
            form = audit if self._key is None else seal_record(audit, self._key)
        except (KeyError, TypeError, ValueError, AttributeError):
            return [self._unreadable(AUDIT_FILE)]
        return [
            self._finding("altered artifact", f"{AUDIT_FILE} {place}", expected, found)
            for place, expected, found in _differences(self._recorded, form, "")
        ]

    def _compare_artifacts(self, audit: Mapping[str, Any]) -> Iterator[Finding]:
        inputs = audit["inputs"]
        yield from self._compare_request(inputs)
        yield from self._compare_texts(inputs)
        yield from self._compare_images(inputs["classes"])
        yield from self._compare_classifier(audit["outputs"])

    def _compare_request(self, inputs: Mapping[str, Any]) -> Iterator[Finding]:
        request = self._read_json(REQUEST_FILE)
        digest = sha256_of_text(canonical_json(request)) if request is not None else None
        if digest != inputs["request_sha256"]:
            yield self._digest_finding(REQUEST_FILE, inputs["request_sha256"], digest)

    def _compare_texts(self, inputs: Mapping[str, Any]) -> Iterator[Finding]:
        try:
            texts = self._read_json(TEXTS_FILE)["classes"]
            given = {str(item["name"]): str(item["description"]) for item in texts}
        except (KeyError, TypeError):
            yield self._unreadable(TEXTS_FILE)
            return
        wanted = {item["name"]: item["description_sha256"] for item in inputs["classes"]}
        for name in sorted(wanted.keys() | given.keys()):
            digest = sha256_of_text(given[name]) if name in given else None
            if digest != wanted.get(name):
                place = f"{TEXTS_FILE}, description of {name!r}"
                yield self._digest_finding(place, wanted.get(name), digest)

    def _compare_images(self, classes: list[Mapping[str, Any]]) -> Iterator[Finding]:
        images = [image for item in classes for image in item["images"]]
        names = [str(image["artifact"]) for image in images]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(self._pixel_digest, names))
        for image, name, digest in zip(images, names, found, strict=True):
            if digest != image["pixel_sha256"]:
                yield self._digest_finding(name, image["pixel_sha256"], digest)
        for path in sorted((self._folder / SUPPORT_FOLDER).rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if not path.is_dir() and name not in names:
                yield self._finding("unknown artifact", name, "no such file", "a file")

    def _compare_classifier(self, outputs: Mapping[str, Any]) -> Iterator[Finding]:
        from sgps.registry.contents import CLASSIFIER_FOLDER, foreign_loading  # noqa: PLC0415
        from sgps.synthesizer.classifier import SynthesizedClassifier  # noqa: PLC0415 heavy

        try:
            classifier = SynthesizedClassifier.load(self._folder / CLASSIFIER_FOLDER)
        except (UserError, KeyError, TypeError, ValueError) as error:
            there = (self._folder / CLASSIFIER_FOLDER).is_dir()
            kind = "altered artifact" if there else "missing artifact"
            reason = error.what if isinstance(error, UserError) else type(error).__name__
            yield self._finding(kind, CLASSIFIER_FOLDER, "the weights as recorded", reason)
        else:
            found = {
                "weights_sha256": classifier.weights_sha256,
                "description_sha256": classifier.description_sha256,
            }
            for name, digest in found.items():
                if outputs[name] != digest:
                    place = f"{CLASSIFIER_FOLDER}, {name}"
                    yield self._digest_finding(place, outputs[name], digest)
        foreign = foreign_loading(self._folder)
        if foreign:
            yield self._finding("altered artifact", "model/MLmodel", "our own loader", foreign)

    def _pixel_digest(self, name: str) -> str | None:
        path = self._inside(name)
        if path is None or not path.is_file():
            return None
        try:
            return decode_image(path.read_bytes(), name=name, limits=OWN_COPIES).pixel_sha256
        except (ImageError, OSError):
            return "no readable PNG"

    def _read_json(self, name: str) -> Any:
        path = self._inside(name)
        try:
            if path is None or path.stat().st_size > _LONGEST_JSON:
                return None
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None

    def _inside(self, name: str) -> Path | None:
        """The file of that name, unless it leads out of the folder."""
        root = self._folder.resolve()
        path = (root / name).resolve()
        return path if path.is_relative_to(root) else None

    def _unreadable(self, name: str) -> Finding:
        there = (self._folder / name).is_file()
        kind = "altered artifact" if there else "missing artifact"
        return self._finding(kind, name, "the record as it was written", "nothing readable")

    def _digest_finding(self, where: str, expected: str | None, found: str | None) -> Finding:
        kind = "missing artifact" if found is None else "altered artifact"
        return self._finding(kind, where, _short(expected), _short(found))

    def _finding(self, kind: str, where: str, expected: str, found: str) -> Finding:
        return Finding(kind, self._subject, where, expected, found, self._entry)


def _is_within(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def _differences(one: Any, other: Any, place: str) -> list[tuple[str, str, str]]:
    """The first few places where two JSON values differ, with both values in short."""
    if one == other:
        return []
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        found = [
            difference
            for name in sorted(one.keys() | other.keys())
            for difference in _differences(
                one.get(name), other.get(name), f"{place}.{name}" if place else str(name)
            )
        ]
        return found[:_MOST_DIFFERENCES]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        found = [
            difference
            for number, pair in enumerate(zip(one, other, strict=True))
            for difference in _differences(*pair, f"{place}[{number}]")
        ]
        return found[:_MOST_DIFFERENCES]
    return [(place or "as a whole", _short(one), _short(other))]


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= 80 else text[:79] + "…"
