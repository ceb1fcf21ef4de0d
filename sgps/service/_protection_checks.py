"""What tells that a ledger was opened to changes, or that entries are gone from it."""

from __future__ import annotations

from collections.abc import Iterator

from sgps.audit import Ledger
from sgps.service._record_checks import Finding

KIND = "missing protection"


def protection_findings(ledger: Ledger) -> Iterator[Finding]:
    """Triggers that are not there, and entries that other tables tell of.

    Raises
    ------
    StoreError: the ledger cannot be read.
    """
    for name in ledger.missing_protection():
        place = f"trigger {name}"
        yield Finding(KIND, "the ledger", place, "a trigger that refuses changes", "none that does")
    for number, about in ledger.lost_entries():
        where = "an entry" if number is None else f"ledger entry {number}"
        yield Finding("chain", "the ledger", where, f"the entry of {about}", "none", number)
