"""Whether ledger, registry and artifacts agree, by digest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sgps.audit import Ledger, LedgerEntry
from sgps.audit.checkpoints import Checkpoint
from sgps.errors import IntegrityError
from sgps.registry import ModelRegistry
from sgps.registry.contents import StoredVersion, list_versions, open_contents
from sgps.registry.labelling import compare_labels, tombstone_labels
from sgps.registry.states import APPROVED_ALIAS
from sgps.registry.versions import UNFINISHED
from sgps.service._index_checks import IndexChecks
from sgps.service._protection_checks import protection_findings
from sgps.service._record_checks import Finding
from sgps.service._review_history import (
    REVIEW_KIND,
    history_of,
    last_approval,
)
from sgps.service._tombstones import epitaphs_of
from sgps.service._version_checks import (
    LABEL_KINDS,
    check_contents,
    check_labels,
    finding_about,
    label_findings,
)
from sgps.service.erasure import ErasureState, erasure_states
from sgps.service.synthesis import LEDGER_KIND
from sgps.service.workspace import Workspace

Progress = Callable[[int, int], None]

_LABELS_REMEDY = "bring MLflow to what the ledger says: sgps review show MODEL --repair"


@dataclass(frozen=True)
class AuditReport:
    """Outcome of a verification.

    Attributes
    ----------
    entries: ledger entries found sound. head: digest of the last of them.
    versions: recorded versions that were compared; 0 where only the chain was walked.
    erased: versions whose content was erased, which is no fault.
    findings: what is not as recorded; empty where all agrees.
    """

    entries: int
    head: str
    versions: int
    erased: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether everything agrees."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"passed": self.passed, **asdict(self)}

    def require_passed(self) -> None:
        """Raise IntegrityError, naming the first finding, unless everything agrees."""
        if self.passed:
            return
        others = len(self.findings) - 1
        more = f" (and {others} more)" if others else ""
        raise IntegrityError(
            f"{self.findings[0]}{more}",
            remedy=_LABELS_REMEDY
            if all(finding.kind in LABEL_KINDS for finding in self.findings)
            else "restore ledger and artifacts from a backup and ask who had access",
        )


def verify_records(
    workspace: Workspace,
    *,
    chain_only: bool = False,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Walk the chain; then compare every recorded version with registry and artifacts.

    Parameters
    ----------
    chain_only: leave registry and artifacts alone.
    checkpoint: what the ledger held at an earlier moment, by which a truncation is noticed.
    progress: called with the number of versions compared, and of all.

    Raises
    ------
    StoreError: ledger or registry cannot be read.
    """
    ledger = workspace.ledger
    outcome = ledger.verify(checkpoint)
    findings = []
    if not outcome.passed:
        findings.append(_chain_finding(outcome.first_bad, outcome.reason))
    findings += protection_findings(ledger)
    if chain_only:
        return AuditReport(outcome.entries, outcome.head, 0, (), tuple(findings))
    try:
        comparison = _Comparison(workspace.registry, ledger)
    except IntegrityError as error:
        if outcome.passed:
            findings.append(_chain_finding(None, error.what))
        return AuditReport(outcome.entries, outcome.head, 0, (), tuple(findings))
    findings += comparison.run(progress or (lambda _done, _total: None))
    return AuditReport(
        outcome.entries,
        outcome.head,
        comparison.compared,
        tuple(comparison.erased),
        tuple(findings),
    )


def _chain_finding(entry: int | None, reason: str) -> Finding:
    where = f"ledger entry {entry}" if entry is not None else "an entry"
    return Finding("chain", "the ledger", where, "the entry as it was written", reason, entry)


class _Comparison:
    """All recorded versions beside those that the registry holds."""

    def __init__(self, registry: ModelRegistry, ledger: Ledger) -> None:
        self._registry = registry
        self._ledger = ledger
        self._entries = ledger.entries(LEDGER_KIND)
        self._erasures = erasure_states(ledger)
        self._index = IndexChecks(ledger, self._entries)
        self._reviews = ledger.entries(REVIEW_KIND)
        self._steps: dict[tuple[str, str], list[LedgerEntry]] = defaultdict(list)
        for entry in self._reviews:
            self._steps[entry.subject, str(entry.record.get("run_id"))].append(entry)
        self._stored = {version.model_uri: version for version in list_versions(registry)}
        self.compared = 0
        self.erased: list[str] = []

    def run(self, progress: Progress) -> list[Finding]:
        """Everything that differs."""
        findings: list[Finding] = []
        runs = set()
        for number, entry in enumerate(self._entries, start=1):
            try:
                runs.add(entry.record["registered"]["run_id"])
                findings += self._check_entry(entry)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                findings.append(
                    Finding(
                        "altered record",
                        entry.subject,
                        f"ledger entry {entry.number}",
                        "the record of a synthesis",
                        f"none ({type(error).__name__})",
                        entry.number,
                    )
                )
            progress(number, len(self._entries))
        findings += [
            Finding(
                "unknown version",
                version.model_uri,
                "the ledger",
                "an entry about its synthesis",
                "none",
            )
            for version in self._stored.values()
            if version.run_id not in runs and version.tags.get("state") != UNFINISHED
        ]
        return [*findings, *self._check_aliases(), *self._index.check_others()]

    def _check_entry(self, entry: LedgerEntry) -> list[Finding]:
        audit, registered = entry.record["audit"], entry.record["registered"]
        request_id = str(audit["request_id"])
        erasure = self._erasures.get(request_id)
        self.compared += 1
        if erasure is not None:
            return self._check_erased(entry, erasure)
        key = self._ledger.record_keys.get(request_id)
        if audit.get("sealed") and key is None:
            return [
                finding_about(
                    entry,
                    "missing key",
                    "record_keys",
                    "the key of the record",
                    "none, and no entry about an erasure",
                )
            ]
        stored = self._stored.get(entry.subject)
        if stored is None or stored.run_id != registered["run_id"]:
            found = f"a version of run {stored.run_id}" if stored else "no such version"
            run = f"the version of run {registered['run_id']}"
            return [finding_about(entry, "missing version", "the registry", run, found)]
        checked = check_contents(self._registry, entry, key, self._index)
        history = history_of(self._steps[entry.subject, stored.run_id])
        labels = check_labels(self._registry, entry, stored, checked.documents, history)
        return [*checked.findings, *labels, *checked.index]

    def _check_aliases(self) -> Iterator[Finding]:
        """Whether the alias of each model stands for the version that was approved last."""
        approved = {
            version.model_name: version
            for version in self._stored.values()
            if APPROVED_ALIAS in version.aliases
        }
        reviewed = {entry.subject.partition("/")[2].partition("/")[0] for entry in self._reviews}
        for model_name in sorted({*approved, *reviewed}):
            found, expected = approved.get(model_name), self._approved(model_name)
            if found != expected:
                yield Finding(
                    "wrong state",
                    f"models:/{model_name}",
                    f"alias {APPROVED_ALIAS}",
                    f"version {expected.version}" if expected else "no version",
                    f"version {found.version}" if found else "no version",
                )

    def _approved(self, model_name: str) -> StoredVersion | None:
        approval = last_approval(self._reviews, model_name)
        if approval is None or self._is_gone(approval.record):
            return None
        stored = self._stored.get(approval.subject)
        run_id = approval.record.get("run_id")
        return stored if stored is not None and stored.run_id == run_id else None

    def _is_gone(self, review: Mapping[str, Any]) -> bool:
        """Whether the version that an entry about a review tells of is erased, or lost its key."""
        request_id = str(review.get("request_id"))
        sealed = "weights_hmac" in review
        return request_id in self._erasures or (
            sealed and self._ledger.record_keys.get(request_id) is None
        )

    def _check_erased(self, entry: LedgerEntry, erasure: ErasureState) -> list[Finding]:
        self.erased.append(entry.subject)
        if not erasure.done:
            return [
                finding_about(
                    entry,
                    "unfinished erasure",
                    f"ledger entry {erasure.entry}",
                    "an erasure that came to its end",
                    "only its beginning; run it again",
                )
            ]
        registered = entry.record["registered"]
        findings = list(self._index.check_erased(entry))
        with open_contents(self._registry, registered["run_id"]) as folder:
            if folder is not None and any(path.is_file() for path in folder.rglob("*")):
                findings.append(
                    finding_about(entry, "not erased", "artifacts", "no files", "files")
                )
        if self._ledger.record_keys.get(erasure.request_id) is not None:
            findings.append(finding_about(entry, "not erased", "record_keys", "no key", "a key"))
        stored = self._stored.get(entry.subject)
        if stored is not None and stored.run_id == registered["run_id"]:
            epitaphs = epitaphs_of(erasure.request_id, self._ledger)
            labels = tombstone_labels(entry.record["audit"], epitaphs)
            differences = compare_labels(self._registry, stored, labels)
            findings += label_findings(entry, differences)
        return findings
