"""Where a version stands in its review, as the ledger tells it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sgps.audit import Ledger, LedgerEntry
from sgps.registry import VersionSummary
from sgps.registry.states import State, StateChange
from sgps.service._recorded import RecordedVersion
from sgps.service._tombstones import erasure_entries

REVIEW_KIND = "review"


@dataclass(frozen=True)
class ReviewState:
    """Where a version stands, and the steps that led there, oldest first."""

    model_uri: str
    state: State
    history: tuple[StateChange, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "model_uri": self.model_uri,
            "state": self.state.value,
            "history": [change.to_dict() for change in self.history],
        }


def recorded_state(
    version: VersionSummary | RecordedVersion, recorded: RecordedVersion | None, ledger: Ledger
) -> ReviewState:
    """Where a version that was looked up already stands. Raises StoreError."""
    entries = ledger.entries(REVIEW_KIND, version.model_uri)
    history = history_of(entry for entry in entries if entry.record["run_id"] == version.run_id)
    state = history[-1].state if history else State.DRAFT
    if recorded is not None and recorded.is_erased(ledger):
        erasures = erasure_entries(recorded.request_id, ledger)
        history = (*history, *(_erasure(entry, state) for entry in erasures[-1:]))
        state = State.ERASED
    return ReviewState(version.model_uri, state, history)


def history_of(entries: Iterable[LedgerEntry]) -> tuple[StateChange, ...]:
    """The steps that entries of kind ``review`` tell of, which are about one and the same run.

    Raises KeyError or ValueError where one is no such entry.
    """
    return tuple(
        StateChange(
            state=State(entry.record["to"]),
            previous=State(entry.record["from"]),
            who=str(entry.record["reviewer"]),
            reason=str(entry.record["reason"]),
            time=entry.time,
            entry=entry.number,
            role=str(entry.record.get("role") or ""),
            authentication=str(entry.record.get("authentication") or ""),
            login=str(entry.record.get("login") or ""),
        )
        for entry in entries
    )


def is_about_model(entry: LedgerEntry, model_name: str) -> bool:
    """Whether the subject of an entry is a version of this model."""
    return entry.subject.rpartition("/")[0] == f"models:/{model_name}"


def last_approval(entries: Iterable[LedgerEntry], model_name: str) -> LedgerEntry | None:
    """The newest approval of a version of this model; None where it does not stand any more.

    ``entries`` are those of kind ``review``, oldest first.
    """
    newest: dict[tuple[str, str], LedgerEntry] = {}
    approval = None
    for entry in entries:
        if is_about_model(entry, model_name):
            newest[entry.subject, str(entry.record.get("run_id"))] = entry
            approval = entry if entry.record.get("to") == State.APPROVED else approval
    if approval is None:
        return None
    stands = newest[approval.subject, str(approval.record.get("run_id"))] is approval
    return approval if stands else None


def _erasure(entry: LedgerEntry, previous: State) -> StateChange:
    return StateChange(
        state=State.ERASED,
        previous=previous,
        who=str(entry.record.get("who") or ""),
        reason=str(entry.record.get("why") or ""),
        time=entry.time,
        entry=entry.number,
    )
