"""Letting MLflow show what the ledger says of reviews."""

from __future__ import annotations

from sgps.audit import Ledger
from sgps.errors import UnknownNameError
from sgps.registry import VersionSummary
from sgps.registry.labelling import label_version, point_approved_alias
from sgps.registry.states import State
from sgps.service._recorded import find_recorded
from sgps.service._review_history import recorded_state
from sgps.service.workspace import Workspace

_ATTEMPTS = 10


def follow_ledger(version: VersionSummary, workspace: Workspace) -> tuple[str, ...]:
    """Label until nothing happened in the ledger meanwhile: then the newest state is shown."""
    ledger = workspace.ledger
    changes: list[str] = []
    for _ in range(_ATTEMPTS):
        before = _newest_review(version.model_name, ledger)
        review = recorded_state(version, find_recorded(version, ledger), ledger)
        if not (review.state is State.ERASED and version.state == State.ERASED):
            changes += label_version(workspace.registry, version, review.state, review.history)
        approved = _approved_version(version.model_name, workspace)
        changes += point_approved_alias(workspace.registry, version.model_name, approved)
        if _newest_review(version.model_name, ledger) == before:
            break
    return tuple(changes)


def _newest_review(model_name: str, ledger: Ledger) -> int:
    newest = ledger.find(model_name=model_name, limit=1)
    return newest[-1].number if newest else 0


def _approved_version(model_name: str, workspace: Workspace) -> str | None:
    """The version that was approved last, if it still is."""
    ledger = workspace.ledger
    for entry in ledger.find(model_name=model_name, state=State.APPROVED.value, limit=1):
        try:
            version = workspace.registry.describe(entry.subject)
        except UnknownNameError:
            return None
        review = recorded_state(version, find_recorded(version, ledger), ledger)
        return version.version if review.state is State.APPROVED else None
    return None
