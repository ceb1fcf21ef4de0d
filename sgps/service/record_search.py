"""Finding recorded models by the ledger's own index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgps.audit import Ledger, LedgerEntry
from sgps.datasets.decoding import read_image
from sgps.errors import InputError
from sgps.registry.contents import find_image_versions
from sgps.registry.states import State
from sgps.service._content import generator_digest
from sgps.service._review_history import REVIEW_KIND
from sgps.service.erasure import erasure_states
from sgps.service.synthesis import LEDGER_KIND
from sgps.service.workspace import Workspace, image_limits
from sgps.settings import override_settings

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{6,63}")


@dataclass(frozen=True)
class RecordQuery:
    """What to search for; what is None does not matter.

    Attributes
    ----------
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
    states = _States(workspace.ledger)
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
    terms = {"requester": query.requester, "task": query.task, "person": query.person}
    given: dict[str, Any] = {name: value for name, value in terms.items() if value is not None}
    if query.generator is not None:
        given["generator"] = _generator(query.generator, workspace)
    prefix = ""
    if query.image is not None:
        digest = _image(query.image, workspace)
        prefix = digest if len(digest) < 64 else ""
        given |= {} if prefix else {"image": digest}
    if prefix:
        wanted = {stored.model_uri for stored in find_image_versions(workspace.registry, prefix)}
        for model_uri in sorted(wanted):
            name, version = model_uri.removeprefix("models:/").split("/")
            yield from _syntheses(ledger.find(model_name=name, version=version, **given))
    elif given:
        yield from _syntheses(ledger.find(limit=limit, **given))
    else:
        yield from ledger.entries(LEDGER_KIND, limit=limit)


def _syntheses(entries: list[LedgerEntry]) -> list[LedgerEntry]:
    return [entry for entry in entries if entry.kind == LEDGER_KIND]


def _found(entry: LedgerEntry, states: _States) -> FoundRecord:
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


class _States:
    """The state of every recorded model, read once."""

    def __init__(self, ledger: Ledger) -> None:
        self._erased = erasure_states(ledger)
        self._reviews = {
            (entry.subject, entry.record.get("run_id")): str(entry.record.get("to"))
            for entry in ledger.entries(REVIEW_KIND)
        }

    def of(self, entry: LedgerEntry) -> str:
        if entry.record["audit"]["request_id"] in self._erased:
            return State.ERASED.value
        run_id = entry.record["registered"]["run_id"]
        return self._reviews.get((entry.subject, run_id), State.DRAFT.value)


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
