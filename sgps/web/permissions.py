"""Who may make classifiers, and who may read which records."""

from __future__ import annotations

from starlette.requests import Request

from sgps.audit import Ledger, LedgerEntry
from sgps.errors import UnknownNameError
from sgps.service.review import REVIEW_KIND
from sgps.service.synthesis import LEDGER_KIND
from sgps.web.authentication import (
    AUDITOR,
    REVIEWER,
    STEWARD,
    Account,
    account_of,
    require_role,
)
from sgps.web.refusals import NotAllowedError


def may_make(account: Account | None) -> bool:
    """Whether classifiers may be made and tried; by anybody, where nobody has to sign in."""
    return account is None or account.role in (STEWARD, REVIEWER)


def require_reader(request: Request) -> str | None:
    """Whose records may be read: None for everybody's, else the name of the steward who asks.

    Raises
    ------
    NotAllowedError: none at all.
    """
    account = account_of(request)
    if account is not None and account.role == STEWARD:
        return account.name
    require_role(request, AUDITOR, REVIEWER)
    return None


def reads_entry(request: Request, entry: LedgerEntry, ledger: Ledger) -> bool:
    """Whether who asks may read ``entry``. Raises StoreError."""
    account = account_of(request)
    if account is None or account.role in (AUDITOR, REVIEWER):
        return True
    return account.role == STEWARD and is_about(entry, account.name, ledger)


def require_entry(request: Request, entry: LedgerEntry, ledger: Ledger) -> None:
    """Refuse an entry to a steward whose request it is not about.

    Raises
    ------
    NotAllowedError: it is not. StoreError: the ledger cannot be read.
    """
    if not reads_entry(request, entry, ledger):
        raise NotAllowedError(
            f"entry {entry.number} is not about a request of yours",
            expected="an entry about a request that you sent",
            remedy="look for it among your records, or ask an auditor",
        )


def is_about(entry: LedgerEntry, name: str, ledger: Ledger) -> bool:
    """Whether an entry tells of a request that the account ``name`` sent, or of its review.

    Who merely typed that name without signing in is somebody else. Raises StoreError.
    """
    if entry.kind == REVIEW_KIND:
        made = _get(ledger, entry.record.get("synthesis_entry"))
        return made is not None and made.kind == LEDGER_KIND and is_about(made, name, ledger)
    who = entry.record.get("audit", {}).get("who", {}) if entry.kind == LEDGER_KIND else {}
    return who.get("requester") == name and who.get("authentication") == "basic"


def _get(ledger: Ledger, number: object) -> LedgerEntry | None:
    if not isinstance(number, int):
        return None
    try:
        return ledger.get(number)
    except UnknownNameError:
        return None
