"""Ledger entries as people read them: who did what to which classifier, and where it stands."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sgps.audit import Ledger, LedgerEntry, OutboxRow, Verification
from sgps.service.record_search import RecordStates, spellings
from sgps.service.review import REVIEW_KIND
from sgps.service.synthesis import LEDGER_KIND
from sgps.web.permissions import is_about
from sgps.web.titles import Titles, title_of

ERASURE_KIND = "erasure"
MOST_SHOWN = 1_000
FEWEST_DIGITS = 6
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
OWN_KINDS = (LEDGER_KIND, REVIEW_KIND)


@dataclass(frozen=True)
class Query:
    """What to look for; "" for anything.

    model: a name, or ``models:/name/version``. generator: a name, or the first digits of a digest.
    image: the first 6 or more digits of the digest of its pixels. account: whose own requests
    alone, and the reviews of what came of them.
    """

    requester: str = ""
    task: str = ""
    state: str = ""
    model: str = ""
    kind: str = ""
    generator: str = ""
    image: str = ""
    account: str = ""

    @property
    def is_of_syntheses(self) -> bool:
        """Whether only entries about a synthesis can match."""
        return bool(self.state or self.generator or self.image or self.requester or self.task)


@dataclass(frozen=True)
class RecordLine:
    """One entry in a list.

    title: of the task, where the name of the classifier does not tell it. state: that of a
    classifier now, "" for other entries.
    """

    number: int
    time: str
    act: str
    subject: str
    title: str
    who: str
    about: str
    state: str


def find_records(ledger: Ledger, query: Query, *, limit: int) -> list[RecordLine]:
    """Entries that match, newest first, at most ``limit``. Raises StoreError."""
    states, titles = RecordStates(ledger), Titles(ledger)
    entries = _own(ledger, query) if query.account else _candidates(ledger, query, limit=limit)
    matching = (entry for entry in reversed(entries) if _matches(entry, query, states))
    return [_line(entry, states, titles) for entry in itertools.islice(matching, limit)]


def describe_entry(entry: LedgerEntry, ledger: Ledger) -> RecordLine:
    """One entry alone. Raises StoreError."""
    return _line(entry, RecordStates(ledger), Titles(ledger))


def newest_requests(ledger: Ledger, *, account: str = "", limit: int) -> list[OutboxRow]:
    """The newest requests, at most ``limit``; with ``account``, under its name alone.

    Raises
    ------
    StoreError: the ledger cannot be read.
    """
    if not account:
        return ledger.outbox.recent(limit)
    rows = ledger.outbox.recent(_MOST_SEARCHED)
    return [row for row in rows if row.requester == account][:limit]


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
    """Entries that the ledger's index finds, of which not all need match."""
    texts = {"requester": query.requester, "task": query.task}
    terms = {name: spellings(name, text, ledger) for name, text in texts.items() if text}
    if query.image:
        terms["image"] = ledger.term_values("image", query.image.strip().lower())
    if terms:
        return ledger.find(limit=_MOST_SEARCHED, **terms)
    kind = LEDGER_KIND if query.is_of_syntheses else query.kind or None
    narrowed = query.is_of_syntheses or query.model
    return ledger.entries(kind, limit=_MOST_SEARCHED if narrowed else limit)


def _own(ledger: Ledger, query: Query) -> list[LedgerEntry]:
    """Entries about the requests of ``query.account`` that match the rest of ``query``."""
    sent = ledger.find(requester=query.account, limit=_MOST_SEARCHED)
    made = [entry for entry in sent if is_about(entry, query.account, ledger)]
    runs = {_text(_mapping(entry.record.get("registered")).get("run_id")) for entry in made}
    reviews = ledger.entries(REVIEW_KIND, limit=_MOST_SEARCHED)
    own = made + [entry for entry in reviews if entry.record.get("run_id") in runs]
    return sorted(own, key=lambda one: one.number)


def _matches(entry: LedgerEntry, query: Query, states: RecordStates) -> bool:
    name = query.model.strip().removeprefix("models:/")
    address = entry.subject.removeprefix("models:/")
    if query.kind not in ("", entry.kind) or name not in ("", address, address.partition("/")[0]):
        return False
    if not query.is_of_syntheses:
        return True
    return (
        entry.kind == LEDGER_KIND
        and query.task.casefold() in ("", title_of(entry.record).casefold())
        and query.state in ("", states.of(entry))
        and _is_by(entry, query.generator.strip().casefold())
    )


def _is_by(entry: LedgerEntry, generator: str) -> bool:
    facts = _mapping(_mapping(entry.record.get("audit")).get("generator"))
    digest = _text(facts.get("sha256"))
    return generator in ("", _text(facts.get("name")).casefold()) or (
        len(generator) >= FEWEST_DIGITS and digest.startswith(generator)
    )


def _line(entry: LedgerEntry, states: RecordStates, titles: Titles) -> RecordLine:
    record = entry.record
    who, about, state = "", "", ""
    if entry.kind == LEDGER_KIND:
        audit = _mapping(record.get("audit"))
        who = _text(_mapping(audit.get("who")).get("requester"))
        about = title_of(record) or _text(_mapping(audit.get("request")).get("task"))
        state = states.of(entry)
    elif entry.kind == REVIEW_KIND:
        who, about = _text(record.get("reviewer")), f"{record.get('from')} → {record.get('to')}"
    else:
        who = _text(record.get("who") or record.get("requester")) or "not signed in"
        about = _about(record)
    act = ACTS.get(entry.kind, entry.kind)
    title = "" if entry.kind == LEDGER_KIND else titles.of(entry.subject)
    return RecordLine(entry.number, entry.time, act, entry.subject, title, who, about, state)


def _about(record: Mapping[str, Any]) -> str:
    """What was done, to how many images, and why, as far as it is recorded."""
    images = record.get("images")
    counted = isinstance(images, int) and images
    parts = (
        _text(record.get("act") or record.get("stage") or record.get("reason")),
        f"{images} image{'s' if images != 1 else ''}" if counted else "",
        _text(record.get("why")),
    )
    return ", ".join(filter(None, parts))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
