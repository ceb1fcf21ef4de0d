"""Whether ledger, registry and artifacts agree, by digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sgps.audit import Ledger, LedgerEntry
from sgps.audit.checkpoints import Checkpoint
from sgps.errors import IntegrityError
from sgps.registry import ModelRegistry
from sgps.registry.contents import ERASED, StoredVersion, list_versions, open_contents
from sgps.registry.states import APPROVED_ALIAS, State
from sgps.service._record_checks import Finding, RecordedContents
from sgps.service._review_history import REVIEW_KIND
from sgps.service.erasure import ErasureState, erasure_states
from sgps.service.synthesis import LEDGER_KIND
from sgps.service.workspace import Workspace

Progress = Callable[[int, int], None]

_LABELS = ("request_id", "task", "requester", "generator_sha256", "weights_sha256")


_KINDS_OF_LABELS = ("altered label", "wrong state")
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
            if all(finding.kind in _KINDS_OF_LABELS for finding in self.findings)
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
        self._states = {
            (entry.subject, entry.record.get("run_id")): str(entry.record.get("to"))
            for entry in ledger.entries(REVIEW_KIND)
        }
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
            except (KeyError, TypeError, AttributeError) as error:
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
            if version.run_id not in runs
        ]
        return findings

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
                self._finding(
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
            return [self._finding(entry, "missing version", "the registry", run, found)]
        return self._check_version(entry, stored, key if audit.get("sealed") else None)

    def _check_version(
        self, entry: LedgerEntry, stored: StoredVersion, key: bytes | None
    ) -> list[Finding]:
        with open_contents(self._registry, stored.run_id) as folder:
            if folder is None:
                return [
                    self._finding(entry, "missing artifact", "all", "the run's artifacts", "none")
                ]
            contents = RecordedContents(
                folder,
                entry.subject,
                entry.number,
                entry.record["audit"],
                key,
                entry.record.get("files"),
            )
            findings = contents.check()
            audit = contents.audit()
        if not findings and audit is not None:
            findings = self._check_labels(entry, stored, audit)
        return findings + self._check_state(entry, stored)

    def _check_labels(
        self, entry: LedgerEntry, stored: StoredVersion, audit: Mapping[str, Any]
    ) -> list[Finding]:
        expected = {
            "request_id": audit["request_id"],
            "task": audit["task"],
            "requester": audit["who"]["requester"],
            "generator_sha256": audit["generator"]["sha256"],
            "weights_sha256": audit["outputs"]["weights_sha256"],
        }
        return [
            self._finding(
                entry,
                "altered label",
                f"tag {name}",
                str(expected[name]),
                stored.tags.get(name, "nothing"),
            )
            for name in _LABELS
            if stored.tags.get(name) != expected[name]
        ]

    def _check_state(self, entry: LedgerEntry, stored: StoredVersion) -> list[Finding]:
        expected = self._states.get((entry.subject, stored.run_id), State.DRAFT.value)
        found = stored.tags.get("state", "nothing")
        findings = []
        if found != expected:
            findings.append(self._finding(entry, "wrong state", "tag state", expected, found))
        if APPROVED_ALIAS in stored.aliases and expected != State.APPROVED:
            findings.append(
                self._finding(
                    entry,
                    "wrong state",
                    f"alias {APPROVED_ALIAS}",
                    "an approved version",
                    f"one that is {expected}",
                )
            )
        return findings

    def _check_erased(self, entry: LedgerEntry, erasure: ErasureState) -> list[Finding]:
        self.erased.append(entry.subject)
        if not erasure.done:
            return [
                self._finding(
                    entry,
                    "unfinished erasure",
                    f"ledger entry {erasure.entry}",
                    "an erasure that came to its end",
                    "only its beginning; run it again",
                )
            ]
        registered = entry.record["registered"]
        findings = []
        with open_contents(self._registry, registered["run_id"]) as folder:
            if folder is not None and any(path.is_file() for path in folder.rglob("*")):
                findings.append(
                    self._finding(entry, "not erased", "artifacts", "no files", "files")
                )
        if self._ledger.record_keys.get(erasure.request_id) is not None:
            findings.append(self._finding(entry, "not erased", "record_keys", "no key", "a key"))
        stored = self._stored.get(entry.subject)
        if (
            stored is not None
            and stored.run_id == registered["run_id"]
            and stored.tags.get("state") != ERASED
        ):
            found = stored.tags.get("state", "nothing")
            findings.append(self._finding(entry, "wrong state", "tag state", ERASED, found))
        return findings

    def _finding(
        self, entry: LedgerEntry, kind: str, where: str, expected: str, found: str
    ) -> Finding:
        return Finding(kind, entry.subject, where, expected, found, entry.number)
