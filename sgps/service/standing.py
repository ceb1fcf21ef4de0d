"""Who asked for a version, and where it stands in its review."""

from __future__ import annotations

from dataclasses import dataclass

from sgps.audit import Ledger, LedgerEntry
from sgps.errors import UnknownNameError
from sgps.service._recorded import RecordedVersion, find_recorded, recorded_version
from sgps.service._review_history import ReviewState, recorded_state
from sgps.service.workspace import Workspace


@dataclass(frozen=True)
class Standing:
    """One version: who asked for it, the ledger entry of its synthesis, and its review."""

    requester: str
    entry: int
    review: ReviewState


def standing_of(model_uri: str, workspace: Workspace) -> Standing:
    """Of a registered version.

    Raises
    ------
    UnknownNameError: there is no such version, or the ledger does not know it.
    StoreError: ledger or registry cannot be read.
    """
    version = workspace.registry.describe(model_uri)
    recorded = find_recorded(version, workspace.ledger)
    if recorded is None:
        raise UnknownNameError(
            f"{version.model_uri} is not in the ledger",
            expected="a version that was synthesized with this ledger",
        )
    return _standing(recorded, workspace.ledger)


def standing_of_entry(entry: LedgerEntry, ledger: Ledger) -> Standing | None:
    """Of the version that an entry about a synthesis tells of; the registry is not asked.

    None where a later entry tells of another version with this address, or where the entry tells
    of no version. Raises StoreError.
    """
    newest = ledger.entries(entry.kind, entry.subject, limit=1)
    if not newest or newest[0].number != entry.number:
        return None
    try:
        recorded = recorded_version(entry)
    except (KeyError, TypeError):
        return None
    return _standing(recorded, ledger)


def _standing(recorded: RecordedVersion, ledger: Ledger) -> Standing:
    review = recorded_state(recorded, recorded, ledger)
    return Standing(recorded.requester, recorded.entry, review)
