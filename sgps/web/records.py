"""Ledger entries as people read them: who did what to which classifier, and where it stands."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sgps.audit import Ledger, LedgerEntry, Verification
from sgps.registry.states import State
from sgps.service.review import REVIEW_KIND
from sgps.service.synthesis import LEDGER_KIND

ERASURE_KIND = "erasure"
MOST_SHOWN = 1_000
_MOST_SEARCHED = 20_000
_SECONDS_VALID = 60.0
ACTS = {
    LEDGER_KIND: "classifier made",
    REVIEW_KIND: "review",
    "access": "use",
    ERASURE_KIND: "erasure",
    "checkpoint": "checkpoint",
    "promotion": "generator promoted",
    "refused": "request refused",
}


@dataclass(frozen=True)
class Query:
    """What to look for; "" for anything. model: a name, or ``models:/name/version``."""

    requester: str = ""
    task: str = ""
    state: str = ""
    model: str = ""
    kind: str = ""


@dataclass(frozen=True)
class RecordLine:
    """One entry in a list; ``state`` is that of a classifier now, "" for other entries."""

    number: int
    time: str
    act: str
    subject: str
    who: str
    about: str
    state: str


def find_records(ledger: Ledger, query: Query, *, limit: int) -> list[RecordLine]:
    """Entries that match, newest first, at most ``limit``. Raises StoreError."""
    states = _states(ledger)
    entries = _candidates(ledger, query, limit=_MOST_SEARCHED if query.state else limit)
    lines = [_line(entry, states) for entry in reversed(entries)]
    if query.state:
        lines = [line for line in lines if line.state == query.state]
    return lines[:limit]


def describe_entry(entry: LedgerEntry) -> RecordLine:
    """One entry alone."""
    return _line(entry, {})


class ChainCheck:
    """Whether the chain of the whole ledger is sound, walked at most once a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: Verification | None = None
        self._until = 0.0

    def verify(self, ledger: Ledger) -> Verification:
        """Outcome of a walk that is at most a minute old. Raises StoreError."""
        with self._lock:
            if self._found is None or time.monotonic() > self._until:
                self._found = ledger.verify()
                self._until = time.monotonic() + _SECONDS_VALID
            return self._found


def _candidates(ledger: Ledger, query: Query, *, limit: int) -> list[LedgerEntry]:
    kind = LEDGER_KIND if query.state else query.kind or None
    terms = {"requester": query.requester, "task": query.task}
    if query.model.startswith("models:/"):
        name, _, version = query.model.removeprefix("models:/").partition("/")
        terms |= {"model_name": name, "version": version}
    else:
        terms |= {"model_name": query.model}
    given = {name: value for name, value in terms.items() if value}
    if not given:
        return ledger.entries(kind, limit=limit)
    found = ledger.find(limit=limit, **given)
    return [entry for entry in found if kind is None or entry.kind == kind]


def _states(ledger: Ledger) -> dict[tuple[str, str], str]:
    """State now by address and run, of every version that was reviewed or erased."""
    states: dict[tuple[str, str], str] = {}
    for entry in ledger.entries(REVIEW_KIND, limit=_MOST_SEARCHED):
        states[entry.subject, str(entry.record.get("run_id", ""))] = str(entry.record.get("to", ""))
    for entry in ledger.entries(ERASURE_KIND, limit=_MOST_SEARCHED):
        states[entry.subject, ""] = State.ERASED.value
    return states


def _line(entry: LedgerEntry, states: Mapping[tuple[str, str], str]) -> RecordLine:
    record = entry.record
    who, about, state = "", "", ""
    if entry.kind == LEDGER_KIND:
        audit = _mapping(record.get("audit"))
        who = _text(_mapping(audit.get("who")).get("requester"))
        about = _text(audit.get("task")) or _text(_mapping(audit.get("request")).get("task"))
        run_id = _text(_mapping(record.get("registered")).get("run_id"))
        state = states.get((entry.subject, "")) or states.get((entry.subject, run_id), "draft")
    elif entry.kind == REVIEW_KIND:
        who, about = _text(record.get("reviewer")), f"{record.get('from')} → {record.get('to')}"
    else:
        who = _text(record.get("who") or record.get("requester"))
        about = _text(record.get("act") or record.get("reason"))
        images = record.get("images")
        if isinstance(images, int) and images:
            about += f", {images} image{'s' if images > 1 else ''}"
    act = ACTS.get(entry.kind, entry.kind)
    return RecordLine(entry.number, entry.time, act, entry.subject, who, about, state)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
