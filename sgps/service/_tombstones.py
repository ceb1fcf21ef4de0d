"""What the ledger says of an erasure, for those who look at the version."""

from __future__ import annotations

from sgps.audit import Ledger, LedgerEntry
from sgps.registry.erasing import Epitaph
from sgps.service._erasure_plan import ERASURE_KIND


def erasure_entries(request_id: str, ledger: Ledger) -> list[LedgerEntry]:
    """Entries about the erasure of a request, oldest first. Raises StoreError."""
    return [
        entry
        for entry in ledger.entries(ERASURE_KIND)
        if request_id in entry.record.get("requests", ())
    ]


def epitaphs_of(request_id: str, ledger: Ledger) -> list[Epitaph]:
    """What the version of an erased request says, the newest entry's first; [] where it is not.

    The others name an earlier entry of the same erasure: an interrupted one leaves them. Raises
    StoreError.
    """
    entries = erasure_entries(request_id, ledger)
    if not entries:
        return []
    newest = entries[-1]
    who, why = str(newest.record["who"]), str(newest.record["why"])
    numbers = {newest.number, *(entry.number for entry in entries), *newest.record.get("begun", ())}
    days = dict.fromkeys(entry.time[:10] for entry in reversed(entries))
    return [
        Epitaph(who, why, day, number) for number in sorted(numbers, reverse=True) for day in days
    ]
