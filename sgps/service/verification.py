"""Whether ledger, registry and artifacts agree, by digest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sgps.audit.checkpoints import Checkpoint
from sgps.errors import IntegrityError
from sgps.service._comparison import Comparison, Progress
from sgps.service._protection_checks import protection_findings
from sgps.service._record_checks import Finding
from sgps.service._version_checks import LABEL_KINDS
from sgps.service.workspace import Workspace

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
        comparison = Comparison(workspace.registry, ledger)
    except IntegrityError as error:
        if outcome.passed:
            findings.append(_chain_finding(None, error.what))
        return AuditReport(outcome.entries, outcome.head, 0, (), tuple(findings))
    compared = comparison.run(progress or (lambda _done, _total: None))
    findings += compared.findings
    return AuditReport(
        outcome.entries, outcome.head, compared.versions, compared.erased, tuple(findings)
    )


def _chain_finding(entry: int | None, reason: str) -> Finding:
    where = f"ledger entry {entry}" if entry is not None else "an entry"
    return Finding("chain", "the ledger", where, "the entry as it was written", reason, entry)
