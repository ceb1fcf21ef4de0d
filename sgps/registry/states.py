"""The states that a version passes through in review, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sgps.errors import RequestError

APPROVED_ALIAS = "approved"


class State(StrEnum):
    """What may be done with a version; ``ERASED`` is reached by erasure alone, not by review."""

    DRAFT = "draft"
    PENDING_REVIEW = "pending_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    ARCHIVED = "archived"
    ERASED = "erased"

    @property
    def words(self) -> str:
        """The state as a sentence uses it."""
        return self.value.replace("_", " ")


FOLLOWING: Mapping[State, tuple[State, ...]] = {
    State.DRAFT: (State.PENDING_REVIEW, State.ARCHIVED),
    State.PENDING_REVIEW: (State.APPROVED, State.REJECTED, State.ARCHIVED),
    State.APPROVED: (State.ARCHIVED,),
    State.REJECTED: (State.ARCHIVED,),
    State.ARCHIVED: (),
    State.ERASED: (),
}


@dataclass(frozen=True)
class StateChange:
    """One step of a review.

    Attributes
    ----------
    state: after the step. previous: before it.
    who: the person who took it, with ``role`` and ``authentication`` where they are known.
    login: login name of who typed it on a command line, "" elsewhere.
    time: UTC in ISO 8601.
    entry: its number in the ledger.
    """

    state: State
    who: str
    reason: str
    time: str
    entry: int
    previous: State = State.DRAFT
    role: str = ""
    authentication: str = ""
    login: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def require_transition(model_uri: str, current: State, wanted: State) -> None:
    """See that ``wanted`` may follow ``current``.

    Raises
    ------
    RequestError: it may not; the error names the state and what may follow it.
    """
    allowed = FOLLOWING[current]
    if wanted in allowed:
        return
    raise RequestError(
        f"{model_uri} is {current.words} and cannot become {wanted.words}",
        expected=" or ".join(state.words for state in allowed) or "no further change",
        remedy="" if allowed else "synthesize a new version",
    )
