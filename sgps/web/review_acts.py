"""What may be done to a version in its review, by whom, and how that is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from sgps.audit import Ledger, LedgerEntry
from sgps.registry.states import FOLLOWING, State, StateChange
from sgps.service.identity import UNAUTHENTICATED
from sgps.service.review import is_same_person
from sgps.service.standing import Standing, standing_of_entry
from sgps.service.synthesis import LEDGER_KIND
from sgps.web.authentication import REVIEWER, STEWARD, Account, account_of

SUBMIT, APPROVE, REJECT, ARCHIVE = "submit", "approve", "reject", "archive"
LEADS_TO: Mapping[str, State] = {
    SUBMIT: State.PENDING_REVIEW,
    APPROVE: State.APPROVED,
    REJECT: State.REJECTED,
    ARCHIVE: State.ARCHIVED,
}
"""The acts, and the state that each leads to."""


def acts_of(account: Account | None, standing: Standing) -> list[str]:
    """The acts that are open to an account now; to anybody, where nobody has to sign in.

    Nobody decides on a request of their own. A steward may ask for a review of a version whose
    record they may read, which is one of their own.
    """
    following = FOLLOWING[standing.review.state]
    possible = [act for act, state in LEADS_TO.items() if state in following]
    if account is None:
        return possible
    if account.role == STEWARD:
        return [act for act in possible if act == SUBMIT]
    if account.role != REVIEWER:
        return []
    if is_same_person(account.name, standing.requester):
        return [act for act in possible if act not in (APPROVE, REJECT)]
    return possible


def describe_review(request: Request, standing: Standing) -> dict[str, Any]:
    """State, history and open acts of a version, JSON-able."""
    review = standing.review
    return {
        "model_uri": review.model_uri,
        "entry": standing.entry,
        "requester": standing.requester,
        "state": review.state.value,
        "history": [change.to_dict() | {"proof": _proof(change)} for change in review.history],
        "acts": acts_of(account_of(request), standing),
    }


def review_of_entry(request: Request, entry: LedgerEntry, ledger: Ledger) -> dict[str, Any] | None:
    """The review of the version that ``entry`` tells of, for its page.

    It is that of :func:`describe_review` with ``address``, where acts are sent to; None where the
    entry tells of no version, or of one whose address belongs to another by now. Raises StoreError.
    """
    if entry.kind != LEDGER_KIND:
        return None
    standing = standing_of_entry(entry, ledger)
    if standing is None:
        return None
    address = f"/api/models/{entry.subject.removeprefix('models:/')}/review"
    return describe_review(request, standing) | {"address": address}


def _proof(change: StateChange) -> str:
    """How the name of whoever took a step was proved, in words."""
    if change.authentication not in ("", UNAUTHENTICATED):
        return f"signed in as {change.role}" if change.role else "signed in"
    typed = f"; typed with the login {change.login}" if change.login else ""
    return f"name not proved{typed}"
