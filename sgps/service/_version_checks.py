"""One version beside what the ledger says of it: its artifacts, and what MLflow shows of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sgps.audit import LedgerEntry
from sgps.errors import ConflictError, IntegrityError
from sgps.registry import ModelRegistry, VersionSummary
from sgps.registry.contents import StoredVersion, find_stored, open_contents
from sgps.registry.labelling import (
    STATE_TAG,
    LabelDifference,
    Labels,
    compare_labels,
    record_labels,
)
from sgps.registry.states import APPROVED_ALIAS, State, StateChange
from sgps.service._record_checks import (
    AUDIT_FILE,
    TEXTS_FILE,
    Documents,
    Finding,
    RecordedContents,
)
from sgps.service._recorded import RecordedVersion
from sgps.service._review_history import REVIEW_KIND, history_of
from sgps.service.provenance import AUDIT_FORMAT
from sgps.service.workspace import Workspace

if TYPE_CHECKING:
    from sgps.service._index_checks import IndexChecks

LABEL_KINDS = ("altered label", "wrong state")
"""Kinds of findings that are mended from the ledger."""
_FIRST_TAGS = (
    "task", "requester", "purpose", "request_id", "generator", "generator_sha256",
    "weights_sha256", "architecture", STATE_TAG,
)  # fmt: skip
_MOST_NAMED = 3


@dataclass(frozen=True)
class CheckedContents:
    """What differs among the artifacts; ``documents`` is None where the record itself does.

    ``index``: what differs in the ledger's index, where that was asked for.
    """

    findings: tuple[Finding, ...]
    documents: Documents | None
    index: tuple[Finding, ...] = ()


def check_contents(
    registry: ModelRegistry,
    entry: LedgerEntry,
    key: bytes | None,
    index: IndexChecks | None = None,
) -> CheckedContents:
    """Compare every file of a version, and its part of the index, with the entry about it.

    Raises
    ------
    StoreError: the store cannot be read.
    KeyError: the entry is none about a synthesis.
    """
    with open_contents(registry, entry.record["registered"]["run_id"]) as folder:
        if folder is None:
            missing = finding_about(entry, "missing artifact", "all", "the run's artifacts", "none")
            return CheckedContents((missing,), None)
        contents = RecordedContents.of_entry(folder, entry, key)
        documents = contents.documents()
        audit = documents.audit if documents else None
        found = index.check_synthesis(entry, folder, audit) if index else ()
        return CheckedContents(tuple(contents.check()), documents, tuple(found))


def read_documents(
    registry: ModelRegistry, entry: LedgerEntry, key: bytes | None
) -> Documents | None:
    """Audit record and texts of a version, if they are as recorded. Raises as check_contents."""
    names = (AUDIT_FILE, TEXTS_FILE)
    with open_contents(registry, entry.record["registered"]["run_id"], names) as folder:
        if folder is None:
            return None
        return RecordedContents.of_entry(folder, entry, key).documents()


def expected_labels(
    registry: ModelRegistry,
    entry: LedgerEntry,
    documents: Documents | None,
    state: State,
    history: Sequence[StateChange],
) -> Labels:
    """What MLflow should show of a version; without documents, as far as the entry tells it.

    Raises StoreError.
    """
    audit = documents.audit if documents else entry.record["audit"]
    texts = documents.texts if documents else {}
    run_id = str(entry.record["registered"]["run_id"])
    return record_labels(registry, run_id, audit, texts, state, history)


def check_labels(
    registry: ModelRegistry,
    entry: LedgerEntry,
    stored: StoredVersion,
    documents: Documents | None,
    history: Sequence[StateChange],
) -> list[Finding]:
    """Whether tags and description of a version and its run are those of its record.

    Without documents only their state, and of records in an earlier format only the tags that it
    had. Raises StoreError.
    """
    state = history[-1].state if history else State.DRAFT
    labels = expected_labels(registry, entry, documents, state, history)
    differences = compare_labels(registry, stored, labels)
    if documents is None:
        differences = [one for one in differences if one.name == STATE_TAG]
    if entry.record["audit"].get("format") != AUDIT_FORMAT:
        differences = [one for one in differences if one.name in _FIRST_TAGS]
    return label_findings(entry, differences)


def label_findings(entry: LedgerEntry, differences: Iterable[LabelDifference]) -> list[Finding]:
    """Differences of labels as findings about the version that the entry tells of."""
    return [
        finding_about(
            entry,
            "wrong state" if difference.name == STATE_TAG else "altered label",
            difference.where,
            *difference.values,
        )
        for difference in differences
    ]


def require_contents(checked: CheckedContents, model_uri: str) -> None:
    """Raise IntegrityError with the findings, unless all artifacts are as recorded."""
    _require_none(checked.findings, model_uri)


def require_unaltered(
    version: VersionSummary,
    recorded: RecordedVersion,
    reviews: Sequence[LedgerEntry],
    workspace: Workspace,
) -> None:
    """See that artifacts and labels of a version are those that the ledger tells of.

    Parameters
    ----------
    reviews: the entries of its review that the coming step was found allowed by.

    Raises
    ------
    IntegrityError: they are not, with what differs; or the version is erased, or about to be.
    ConflictError: something differs, and somebody took a step of its review since ``reviews``.
    StoreError: ledger or registry cannot be read.
    """
    ledger, registry = workspace.ledger, workspace.registry
    if recorded.is_erased(ledger):
        raise recorded.erased_error()
    key = ledger.record_keys.get(recorded.request_id)
    entry = ledger.get(recorded.entry)
    history = history_of(one for one in reviews if one.record["run_id"] == version.run_id)
    checked = check_contents(registry, entry, key)
    findings = list(checked.findings)
    stored = find_stored(registry, version.model_name, version.version)
    if stored is not None:
        findings += check_labels(registry, entry, stored, checked.documents, history)
        if APPROVED_ALIAS in stored.aliases and (not history or history[-1].state != "approved"):
            alias = f"alias {APPROVED_ALIAS}"
            findings.append(finding_about(entry, "wrong state", alias, "none here", "this version"))
    if findings and recorded.is_erased(ledger):
        raise recorded.erased_error()
    if findings and len(ledger.entries(REVIEW_KIND, version.model_uri)) != len(reviews):
        raise ConflictError(
            f"{version.model_uri}: somebody else was quicker",
            remedy="look at it again, then decide",
        )
    _require_none(findings, version.model_uri)


def finding_about(entry: LedgerEntry, kind: str, where: str, expected: str, found: str) -> Finding:
    """A finding about the version that an entry tells of."""
    return Finding(kind, entry.subject, where, expected, found, entry.number)


def _require_none(findings: Sequence[Finding], model_uri: str) -> None:
    if not findings:
        return
    others = len(findings) - _MOST_NAMED
    named = "; ".join(
        f"{finding.kind}: {finding.where}: expected {finding.expected}, found {finding.found}"
        for finding in findings[:_MOST_NAMED]
    )
    labels_only = all(finding.kind in LABEL_KINDS for finding in findings)
    raise IntegrityError(
        f"{model_uri} is not as it was recorded: {named}"
        + (f" (and {others} more)" if others > 0 else ""),
        remedy=f"bring MLflow to what the ledger says: sgps review show {model_uri} --repair"
        if labels_only
        else "restore the artifacts from a backup, or synthesize it again; see: sgps audit verify",
    )
