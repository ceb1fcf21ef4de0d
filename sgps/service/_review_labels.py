"""Letting MLflow show what the ledger says of a version."""

from __future__ import annotations

from sgps.audit import Ledger
from sgps.errors import UnknownNameError
from sgps.registry import VersionSummary
from sgps.registry.labelling import Labels, label_version, point_approved_alias, tombstone_labels
from sgps.registry.states import State
from sgps.service._erasure_plan import ERASURE_KIND
from sgps.service._recorded import RecordedVersion, find_recorded
from sgps.service._review_history import (
    REVIEW_KIND,
    is_about_model,
    last_approval,
    recorded_state,
)
from sgps.service._tombstones import epitaphs_of
from sgps.service._version_checks import expected_labels, read_documents
from sgps.service.workspace import Workspace

_ATTEMPTS = 10


def follow_ledger(
    version: VersionSummary, recorded: RecordedVersion, workspace: Workspace
) -> tuple[str, ...]:
    """Label until nothing happened in the ledger meanwhile: then the newest state is shown.

    Tags and description are made from the audit record and the texts among the artifacts. Where
    these are not as recorded, they are made from the ledger alone, as far as it tells them.
    """
    ledger = workspace.ledger
    changes: list[str] = []
    for _ in range(_ATTEMPTS):
        before = _newest_change(version.model_name, ledger)
        labels = _labels(version, recorded, workspace)
        changes += label_version(workspace.registry, version.model_name, version.version, labels)
        approved = _approved_version(version.model_name, workspace)
        changes += point_approved_alias(workspace.registry, version.model_name, approved)
        if _newest_change(version.model_name, ledger) == before:
            break
    return tuple(changes)


def _labels(version: VersionSummary, recorded: RecordedVersion, workspace: Workspace) -> Labels:
    ledger, registry = workspace.ledger, workspace.registry
    entry = ledger.get(recorded.entry)
    epitaphs = epitaphs_of(recorded.request_id, ledger)
    if epitaphs:
        return tombstone_labels(entry.record["audit"], epitaphs)
    review = recorded_state(version, recorded, ledger)
    key = ledger.record_keys.get(recorded.request_id)
    documents = None
    if review.state is not State.ERASED:
        documents = read_documents(registry, entry, key)
    return expected_labels(registry, entry, documents, review.state, review.history)


def _newest_change(model_name: str, ledger: Ledger) -> int:
    """Number of the newest entry that may change what the model's versions show."""
    reviews = ledger.entries(REVIEW_KIND)
    numbers = [one.number for one in reviews if is_about_model(one, model_name)]
    numbers += [one.number for one in ledger.entries(ERASURE_KIND, limit=1)]
    return max(numbers, default=0)


def _approved_version(model_name: str, workspace: Workspace) -> str | None:
    """The version that was approved last, if it still is."""
    ledger = workspace.ledger
    approval = last_approval(ledger.entries(REVIEW_KIND), model_name)
    if approval is None:
        return None
    try:
        version = workspace.registry.describe(approval.subject)
    except UnknownNameError:
        return None
    review = recorded_state(version, find_recorded(version, ledger), ledger)
    return version.version if review.state is State.APPROVED else None
