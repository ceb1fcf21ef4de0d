"""Finding recorded models by the ledger's own index."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgps.audit import Ledger, LedgerEntry
from sgps.datasets.decoding import read_image
from sgps.errors import InputError
from sgps.registry.states import State
from sgps.service._content import generator_digest
from sgps.service._review_history import REVIEW_KIND
from sgps.service.erasure import ERASURE_KIND, erasure_states
from sgps.service.prediction import ACCESS_KIND
from sgps.service.promotion import LEDGER_KIND as PROMOTION_KIND
from sgps.service.synthesis import LEDGER_KIND
from sgps.service.workspace import Workspace, image_limits
from sgps.settings import override_settings

KINDS = (LEDGER_KIND, REVIEW_KIND, ACCESS_KIND, ERASURE_KIND, PROMOTION_KIND)
"""The kinds of entries that a ledger holds."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{6,63}")


@dataclass(frozen=True)
class RecordQuery:
    """What to search for; what is None does not matter.

    Attributes
    ----------
    requester, task, person: in whatever case and spacing.
    state: of the review, or "erased".
    generator: name, path or digest.
    image: digest of its pixels, the first 6 or more digits of one, or an image file.
    person: pseudonym.
    """

    requester: str | None = None
    task: str | None = None
    state: str | None = None
    generator: str | None = None
    image: str | None = None
    person: str | None = None

    def __str__(self) -> str:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return " and ".join(f"for {name} {value!r}" for name, value in given.items()) or "at all"


@dataclass(frozen=True)
class FoundRecord:
    """One recorded model; ``entry`` is the number of the entry about its synthesis."""

    entry: int
    time: str
    model_uri: str
    request_id: str
    task: str
    requester: str
    generator: str
    state: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def require_kind(kind: str) -> None:
    """Refuse what is no kind of a ledger entry. Raises InputError."""
    if kind not in KINDS:
        raise InputError(f"there are no entries of kind {kind!r}", expected=" or ".join(KINDS))


def search_records(
    query: RecordQuery, workspace: Workspace, *, limit: int = 50
) -> list[FoundRecord]:
    """The newest recorded models that match, oldest first.

    Raises
    ------
    InputError, ImageError: a value has a wrong form.
    UnknownNameError: there is no generator of that name.
    StoreError: a store cannot be read.
    """
    if query.state is not None and query.state not in tuple(State):
        raise InputError(f"state {query.state!r}", expected=" or ".join(State))
    states = RecordStates(workspace.ledger)
    found = []
    for entry in _candidates(query, workspace, limit if query.state is None else None):
        record = _found(entry, states)
        if query.state in (None, record.state):
            found.append(record)
    return sorted(found, key=lambda one: one.entry)[-limit:]


def _candidates(
    query: RecordQuery, workspace: Workspace, limit: int | None
) -> Iterator[LedgerEntry]:
    ledger = workspace.ledger
    texts = {"requester": query.requester, "task": query.task, "person": query.person}
    given: dict[str, str | list[str]] = {
        name: spellings(name, text, ledger) for name, text in texts.items() if text is not None
    }
    if query.generator is not None:
        given["generator"] = _generator(query.generator, workspace)
    if query.image is not None:
        given["image"] = ledger.term_values("image", _image(query.image, workspace))
    if given:
        yield from _syntheses(ledger.find(limit=limit, **given))
    else:
        yield from ledger.entries(LEDGER_KIND, limit=limit)


def spellings(name: str, text: str, ledger: Ledger) -> list[str]:
    """The values of a term that are ``text`` in whatever case and spacing. Raises StoreError."""
    wanted = _plain(text)
    return [value for value in ledger.term_values(name) if _plain(value) == wanted]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _syntheses(entries: list[LedgerEntry]) -> list[LedgerEntry]:
    return [entry for entry in entries if entry.kind == LEDGER_KIND]


def _found(entry: LedgerEntry, states: RecordStates) -> FoundRecord:
    audit = entry.record["audit"]
    return FoundRecord(
        entry=entry.number,
        time=entry.time,
        model_uri=entry.subject,
        request_id=str(audit["request_id"]),
        task=str(audit["task"]),
        requester=str(audit["who"]["requester"]),
        generator=str(audit["generator"]["name"]),
        state=states.of(entry),
    )


class RecordStates:
    """The state of every recorded model, read once from ``ledger``. Raises StoreError."""

    def __init__(self, ledger: Ledger) -> None:
        self._erased = erasure_states(ledger)
        self._reviews = {
            (entry.subject, entry.record.get("run_id")): str(entry.record.get("to"))
            for entry in ledger.entries(REVIEW_KIND)
        }

    def of(self, entry: LedgerEntry) -> str:
        """State now of what an entry about a synthesis is about."""
        audit, registered = (_mapping(entry.record.get(name)) for name in ("audit", "registered"))
        if audit.get("request_id") in self._erased:
            return State.ERASED.value
        return self._reviews.get((entry.subject, registered.get("run_id")), State.DRAFT.value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _generator(name: str, workspace: Workspace) -> str:
    if _DIGEST.fullmatch(name):
        return name
    return generator_digest(override_settings(workspace.settings, generator=name))


def _image(image: str, workspace: Workspace) -> str:
    """A digest, or the first digits of one, in lower case."""
    if Path(image).is_file():
        return read_image(Path(image), limits=image_limits(workspace.settings)).pixel_sha256
    digest = image.lower()
    if _DIGEST.fullmatch(digest) or _PREFIX.fullmatch(digest):
        return digest
    raise InputError(
        f"{image!r} is no image", expected="an image file, or 6 to 64 hex digits of a pixel digest"
    )
