"""Where a version stands in its review, as the ledger tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sgps.audit import Ledger, LedgerEntry
from sgps.registry import VersionSummary
from sgps.registry.states import State, StateChange
from sgps.service._recorded import RecordedVersion

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
    version: VersionSummary, recorded: RecordedVersion | None, ledger: Ledger
) -> ReviewState:
    """Where a version that was looked up already stands. Raises StoreError."""
    history = _history(ledger.entries(REVIEW_KIND, version.model_uri), version.run_id)
    state = history[-1].state if history else State.DRAFT
    if recorded is not None and recorded.is_erased(ledger):
        state = State.ERASED
    return ReviewState(version.model_uri, state, history)


def _history(entries: list[LedgerEntry], run_id: str) -> tuple[StateChange, ...]:
    """The steps about this very run; a version number can have belonged to another before."""
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
        )
        for entry in entries
        if entry.record["run_id"] == run_id
    )
