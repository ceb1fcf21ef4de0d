"""Review of registered versions: the ledger holds the decisions, MLflow shows them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

from sgps.audit import Ledger
from sgps.errors import IntegrityError, RequestError, StoreError, UnknownNameError
from sgps.registry import VersionSummary
from sgps.registry.states import State, StateChange, require_transition
from sgps.service._recorded import RecordedVersion, find_recorded
from sgps.service._review_history import REVIEW_KIND, ReviewState, recorded_state
from sgps.service._review_labels import follow_ledger
from sgps.service._text_rules import one_line, several_lines
from sgps.service._version_checks import check_contents, require_contents, require_unaltered
from sgps.service.identity import UNAUTHENTICATED
from sgps.service.workspace import Workspace

__all__ = [
    "REVIEW_KIND",
    "ReviewState",
    "State",
    "StateChange",
    "approve",
    "archive",
    "is_same_person",
    "reject",
    "repair_all_labels",
    "repair_labels",
    "state_of",
    "submit_for_review",
]

LONGEST_NAME = 120
LONGEST_REASON = 1_000
_DECISIONS = (State.APPROVED, State.REJECTED)


def submit_for_review(
    model_uri: str,
    workspace: Workspace,
    *,
    reviewer: str,
    reason: str = "",
    role: str = "",
    authentication: str = UNAUTHENTICATED,
    login: str = "",
) -> ReviewState:
    """Ask for a review of a draft; whoever synthesized it may do so.

    Parameters
    ----------
    model_uri: every form of address, such as ``models:/name/version``.
    reviewer: who takes this step. role: of that person, where it is known.
    authentication: how the name was proved; see :class:`~sgps.service.RequesterIdentity`.
    login: login name of who typed this on a command line, "" elsewhere.

    Raises
    ------
    RequestError: the version's state does not allow it, or a text is missing or too long.
    ConflictError: somebody else was quicker.
    UnknownNameError: there is no such version, or the ledger does not know it.
    IntegrityError: the version was erased, or (on approval) its artifacts or labels are not those
        that the ledger tells of; the error names what differs, and nothing was changed.
    StoreError: ledger or registry cannot be used; where the ledger was written already, the error
        says so, and :func:`repair_labels` does the rest.
    """
    step = _Step(reviewer, reason, role, authentication, login)
    return _take_step(model_uri, workspace, State.PENDING_REVIEW, step)


def approve(
    model_uri: str,
    workspace: Workspace,
    *,
    reviewer: str,
    reason: str,
    role: str = "",
    authentication: str = UNAUTHENTICATED,
    login: str = "",
) -> ReviewState:
    """Approve a version that waits for review; never one's own. See :func:`submit_for_review`."""
    step = _Step(reviewer, reason, role, authentication, login)
    return _take_step(model_uri, workspace, State.APPROVED, step)


def reject(
    model_uri: str,
    workspace: Workspace,
    *,
    reviewer: str,
    reason: str,
    role: str = "",
    authentication: str = UNAUTHENTICATED,
    login: str = "",
) -> ReviewState:
    """Reject a version that waits for review; never one's own. See :func:`submit_for_review`."""
    step = _Step(reviewer, reason, role, authentication, login)
    return _take_step(model_uri, workspace, State.REJECTED, step)


def archive(
    model_uri: str,
    workspace: Workspace,
    *,
    reviewer: str,
    reason: str = "",
    role: str = "",
    authentication: str = UNAUTHENTICATED,
    login: str = "",
) -> ReviewState:
    """Take a version out of use, whatever its state. See :func:`submit_for_review`."""
    step = _Step(reviewer, reason, role, authentication, login)
    return _take_step(model_uri, workspace, State.ARCHIVED, step)


def state_of(model_uri: str, workspace: Workspace) -> ReviewState:
    """Where a version stands, by the ledger.

    Raises
    ------
    UnknownNameError: there is no such version.
    StoreError: ledger or registry cannot be read.
    """
    version = workspace.registry.describe(model_uri)
    return recorded_state(version, find_recorded(version, workspace.ledger), workspace.ledger)


def repair_labels(model_uri: str, workspace: Workspace) -> tuple[str, ...]:
    """Bring tags, description and the alias in MLflow to what the ledger says; what changed.

    Nothing is taken from MLflow's labels themselves.

    Raises
    ------
    UnknownNameError: there is no such version, or the ledger does not know it.
    IntegrityError: the artifacts that the labels are made from are not as recorded.
    StoreError: ledger or registry cannot be used.
    """
    version = workspace.registry.describe(model_uri, unfinished=True)
    ledger = workspace.ledger
    recorded = _require_known(version, ledger)
    if not recorded.is_erased(ledger):
        entry, key = ledger.get(recorded.entry), ledger.record_keys.get(recorded.request_id)
        checked = check_contents(workspace.registry, entry, key)
        if checked.findings and not recorded.is_erased(ledger):
            require_contents(checked, version.model_uri)
    return follow_ledger(version, recorded, workspace)


def repair_all_labels(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """:func:`repair_labels` of every version that was ever reviewed; what changed in which.

    Versions that are no longer registered, or whose artifacts are altered, are passed over. Raises
    StoreError.
    """
    subjects = dict.fromkeys(entry.subject for entry in workspace.ledger.entries(REVIEW_KIND))
    repaired = {}
    for model_uri in subjects:
        try:
            changes = repair_labels(model_uri, workspace)
        except (UnknownNameError, IntegrityError):
            continue
        if changes:
            repaired[model_uri] = changes
    return repaired


def is_same_person(one: str, other: str) -> bool:
    """Whether two names are one person's, whatever their case, spaces and Unicode form."""
    return _plain_name(one) == _plain_name(other)


@dataclass(frozen=True)
class _Step:
    """Who takes a step and why, as given."""

    who: str
    reason: str
    role: str
    authentication: str
    login: str

    def checked(self, *, needs_reason: bool) -> _Step:
        """The same, its texts stripped. Raises RequestError."""
        try:
            who = one_line(self.who.strip())
            reason = several_lines(self.reason.strip())
        except ValueError as error:
            raise RequestError(f"reviewer or reason: {error}") from error
        if not 1 <= len(who) <= LONGEST_NAME:
            raise RequestError(
                f"the reviewer's name has {len(who)} characters",
                expected=f"1 to {LONGEST_NAME}",
                remedy="say who you are",
            )
        if len(reason) > LONGEST_REASON or (needs_reason and not reason):
            raise RequestError(
                f"the reason has {len(reason)} characters",
                expected=f"{1 if needs_reason else 0} to {LONGEST_REASON:,}",
                remedy="say in a sentence why" if not reason else "shorten it",
            )
        role, authentication = self.role.strip()[:40], self.authentication.strip()[:40]
        return _Step(who, reason, role, authentication or UNAUTHENTICATED, self.login)


def _take_step(model_uri: str, workspace: Workspace, wanted: State, step: _Step) -> ReviewState:
    is_decision = wanted in _DECISIONS
    step = step.checked(needs_reason=is_decision)
    ledger = workspace.ledger
    version = workspace.registry.describe(model_uri)
    recorded = _require_recorded(version, ledger)
    entries = ledger.entries(REVIEW_KIND, version.model_uri)
    current = recorded_state(version, recorded, ledger).state
    require_transition(version.model_uri, current, wanted)
    if is_decision:
        _require_another_person(step, recorded)
    if wanted is State.APPROVED:
        require_unaltered(version, recorded, entries, workspace)
    entry = ledger.append_after(
        REVIEW_KIND,
        version.model_uri,
        _record(current, wanted, step, recorded),
        expect_newest=entries[-1].number if entries else None,
        terms={
            "model_name": version.model_name,
            "version": version.version,
            "request_id": recorded.request_id,
            "reviewer": step.who,
            "state": wanted.value,
        },
    )
    try:
        follow_ledger(version, recorded, workspace)
    except StoreError as error:
        raise StoreError(
            f"the decision is recorded (ledger entry {entry.number}), but {error.what}",
            remedy=f"when the registry answers: sgps review show {version.model_uri} --repair",
        ) from error
    return recorded_state(version, recorded, ledger)


def _require_another_person(step: _Step, recorded: RecordedVersion) -> None:
    reviewer = [name for name in (step.who, step.login) if name]
    for name in (recorded.requester, recorded.login):
        if name and any(is_same_person(name, one) for one in reviewer):
            typed = name != recorded.requester
            raise RequestError(
                f"{recorded.model_uri} was asked for by {recorded.requester}"
                + (f", with the login {name}" if typed else ""),
                expected="a reviewer who is not the requester"
                + (", with another login" if typed else ""),
                remedy="ask somebody else to review it",
            )


def _require_recorded(version: VersionSummary, ledger: Ledger) -> RecordedVersion:
    recorded = _require_known(version, ledger)
    if recorded.is_erased(ledger):
        raise recorded.erased_error()
    return recorded


def _require_known(version: VersionSummary, ledger: Ledger) -> RecordedVersion:
    recorded = find_recorded(version, ledger)
    if recorded is None:
        raise UnknownNameError(
            f"{version.model_uri} is not in the ledger",
            expected="a version that was synthesized with this ledger",
            remedy="nobody can review what nobody can tell the origin of",
        )
    return recorded


def _record(
    current: State, wanted: State, step: _Step, recorded: RecordedVersion
) -> dict[str, Any]:
    return {
        "from": current.value,
        "to": wanted.value,
        "reviewer": step.who,
        "role": step.role or None,
        "authentication": step.authentication,
        "login": step.login or None,
        "reason": step.reason,
        "request_id": recorded.request_id,
        "run_id": recorded.run_id,
        "synthesis_entry": recorded.entry,
        **recorded.weights_digest(),
    }


def _plain_name(name: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    visible = "".join(mark for mark in folded if unicodedata.category(mark) != "Cf")
    return " ".join(visible.split())
