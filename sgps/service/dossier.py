"""The whole record of one model as a signed archive, and checking such an archive anywhere."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgps.audit import Checkpoint, Ledger, LedgerEntry, canonical_json, entry_digest
from sgps.errors import InputError, IntegrityError, UnknownNameError
from sgps.registry.contents import StoredVersion, find_stored, open_contents
from sgps.service._archive import Member, SignedArchive, write_archive
from sgps.service._record_checks import Finding, RecordedContents
from sgps.service._signing import SigningKey, fingerprint_of
from sgps.service.erasure import ERASURE_KIND, erasure_states
from sgps.service.prediction import ACCESS_KIND
from sgps.service.synthesis import LEDGER_KIND
from sgps.service.workspace import Workspace

EXPORT_FORMAT = "sgps-export-1"
_ENTRIES, _CHAIN, _CHECKPOINT = "entries.json", "chain.json", "checkpoint.json"
_FOREIGN = (
    *(LookupError, TypeError, ValueError, AttributeError, StopIteration, RecursionError),
    InputError,
)
_VERSION, _KEY, _ARTIFACTS = "version.json", "record_key.json", "artifacts/"


@dataclass(frozen=True)
class ExportReceipt:
    """What was written: ``fingerprint`` of the key goes to the reader by another way."""

    path: str
    model_uri: str
    fingerprint: str
    entries: int
    members: int
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


@dataclass(frozen=True)
class ExportCheck:
    """An archive that is whole and signed.

    Attributes
    ----------
    fingerprint: of the key it is signed with.
    trusted: whether that is the fingerprint asked for; None where none was.
    checkpoint: how far the ledger went when it was made.
    findings: what in it does not match its own ledger entry.
    """

    model_uri: str
    fingerprint: str
    trusted: bool | None
    entries: int
    members: int
    checkpoint: Checkpoint
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def export_record(model_uri: str, path: Path, workspace: Workspace, *, by: str) -> ExportReceipt:
    """Write everything about one model into a signed zip file; the ledger keeps who did so.

    In it: the ledger entries about the model, the digests of all entries from its first one to
    the newest, a checkpoint, the artifacts with the card, the labels of the version, and the key
    that makes the digests in its entries mean something.

    Raises
    ------
    UnknownNameError: the ledger knows no such model.
    StoreError: a store cannot be used, or the file not be written; then there is none.
    """
    ledger = workspace.ledger
    synthesis = _synthesis(model_uri, workspace)
    request_id = str(synthesis.record["audit"]["request_id"])
    key = SigningKey.open(workspace.settings)
    run_id = str(synthesis.record["registered"]["run_id"])
    access = {"act": "audit export", "who": by, "request_id": request_id, "run_id": run_id}
    ledger.append(ACCESS_KIND, synthesis.subject, access, terms={"access_to": request_id})
    checkpoint = ledger.checkpoint()
    entries = _entries_about(synthesis.subject, request_id, ledger)
    stored = _stored(synthesis.subject, workspace)
    record_key = ledger.record_keys.get(request_id)
    members: dict[str, Member] = {
        _ENTRIES: _json([asdict(entry) for entry in entries]),
        _CHAIN: _json(_chain(entries[0].number, checkpoint, ledger)),
        _CHECKPOINT: _json(asdict(checkpoint)),
    }
    if stored is not None:
        members[_VERSION] = _json(asdict(stored))
    if record_key is not None:
        members[_KEY] = _json({"request_id": request_id, "key": record_key.hex()})
    erased = request_id in erasure_states(ledger)
    with open_contents(workspace.registry, run_id) as folder:
        findings: list[Finding] = []
        if folder is not None and not erased:
            files = [file for file in folder.rglob("*") if file.is_file()]
            members |= {_ARTIFACTS + file.relative_to(folder).as_posix(): file for file in files}
            findings = _compare(folder, synthesis, record_key)
        facts = {
            "format": EXPORT_FORMAT,
            "model_uri": synthesis.subject,
            "request_id": request_id,
            "erased": erased,
            "findings": [finding.to_dict() for finding in findings],
        }
        write_archive(path, facts, members, key)
    return ExportReceipt(
        path=str(path),
        model_uri=synthesis.subject,
        fingerprint=fingerprint_of(key.public_key),
        entries=len(entries),
        members=len(members),
        findings=tuple(findings),
    )


def check_export(path: Path, *, fingerprint: str | None = None) -> ExportCheck:
    """Check an archive by itself, without ledger or registry; it may be hostile.

    Signature, digest of every member, digests and links of the entries, and artifacts against the
    entry about their synthesis. Who signed is only known by the ``fingerprint``.

    Raises
    ------
    IntegrityError: anything of the archive itself is wrong, or another key signed it.
    StoreError: the file cannot be read.
    """
    with SignedArchive.open(path) as archive:
        if archive.manifest.get("format") != EXPORT_FORMAT:
            raise _wrong("its format", EXPORT_FORMAT, str(archive.manifest.get("format")))
        if fingerprint is not None and archive.fingerprint != fingerprint.strip().lower():
            raise _wrong("the key that signed it", fingerprint, archive.fingerprint)
        try:
            entries = [LedgerEntry(**entry) for entry in archive.read_json(_ENTRIES)]
            checkpoint = Checkpoint(**archive.read_json(_CHECKPOINT))
            _require_chain(entries, archive.read_json(_CHAIN), checkpoint)
            synthesis = next(entry for entry in entries if entry.kind == LEDGER_KIND)
            erased = any(entry.kind == ERASURE_KIND for entry in entries)
            findings = [] if erased else _compare_unpacked(archive, synthesis)
        except _FOREIGN as error:
            raise _wrong("its content", "records of one model", type(error).__name__) from error
        return ExportCheck(
            model_uri=synthesis.subject,
            fingerprint=archive.fingerprint,
            trusted=None if fingerprint is None else True,
            entries=len(entries),
            members=len(archive.names),
            checkpoint=checkpoint,
            findings=tuple(findings),
        )


def _synthesis(model_uri: str, workspace: Workspace) -> LedgerEntry:
    found = workspace.ledger.entries(LEDGER_KIND, model_uri, limit=1)
    if not found:
        address = workspace.registry.describe(model_uri).model_uri
        found = workspace.ledger.entries(LEDGER_KIND, address, limit=1)
    if not found:
        raise UnknownNameError(
            f"the ledger knows nothing of {model_uri}",
            remedy="see what it knows with: sgps audit search",
        )
    return found[0]


def _entries_about(subject: str, request_id: str, ledger: Ledger) -> list[LedgerEntry]:
    found = [*ledger.entries(subject=subject), *ledger.find(request_id=request_id)]
    return [entry for _, entry in sorted({entry.number: entry for entry in found}.items())]


def _chain(first: int, checkpoint: Checkpoint, ledger: Ledger) -> list[list[Any]]:
    """Number, previous digest and digest of each entry from ``first`` to the checkpoint."""
    entries = (ledger.get(number) for number in range(first, checkpoint.number + 1))
    return [[entry.number, entry.previous_digest, entry.digest] for entry in entries]


def _stored(model_uri: str, workspace: Workspace) -> StoredVersion | None:
    name, version = model_uri.removeprefix("models:/").split("/")
    return find_stored(workspace.registry, name, version)


def _compare(folder: Path, synthesis: LedgerEntry, key: bytes | None) -> list[Finding]:
    audit = synthesis.record["audit"]
    if audit.get("sealed") and key is None:
        return []
    return RecordedContents(
        folder,
        synthesis.subject,
        synthesis.number,
        audit,
        key if audit.get("sealed") else None,
        synthesis.record.get("files"),
    ).check()


def _compare_unpacked(archive: SignedArchive, synthesis: LedgerEntry) -> list[Finding]:
    key = bytes.fromhex(archive.read_json(_KEY)["key"]) if _KEY in archive.names else None
    with tempfile.TemporaryDirectory(prefix="sgps-") as scratch:
        archive.unpack(_ARTIFACTS, Path(scratch))
        return _compare(Path(scratch), synthesis, key)


def _require_chain(entries: list[LedgerEntry], chain: list[Any], checkpoint: Checkpoint) -> None:
    digests = {}
    last = ""
    for number, (row_number, previous, digest) in enumerate(chain, start=entries[0].number):
        if row_number != number or (number > entries[0].number and previous != last):
            raise _wrong(f"entry {row_number}", "a chain without gaps", "a gap")
        digests[number] = last = digest
    if checkpoint.number != entries[0].number + len(chain) - 1 or last != checkpoint.digest:
        raise _wrong("the chain", "an end at the checkpoint", "another end")
    for entry in entries:
        fields = (entry.number, entry.time, entry.kind, entry.subject)
        digest = entry_digest(*fields, canonical_json(entry.record), entry.previous_digest)
        if not digest == entry.digest == digests.get(entry.number):
            raise _wrong(f"entry {entry.number}", "the entry as it was written", "an altered one")


def _json(value: Mapping[str, Any] | list[Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _wrong(what: str, expected: str, found: str) -> IntegrityError:
    return IntegrityError(f"the archive: {what} is {found}", expected=expected)
