"""What an erasure would take: the requests behind an image, a person or a model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgps.audit import Ledger, LedgerEntry, RequestState
from sgps.datasets.decoding import perceptual_hash, read_image
from sgps.errors import InputError, UnknownNameError
from sgps.service._spool import Spool
from sgps.service.synthesis import LEDGER_KIND
from sgps.service.workspace import Workspace, image_limits

ERASURE_KIND = "erasure"
BEGUN, DONE = "begun", "done"
COPIES = (
    "Backups, exports and copies on other machines are not touched: whoever keeps them has to erase"
    " them too."
)
ALONE = (
    "Requests that named no person are not found by a pseudonym: look for each image of the person"
    " too, with --image."
)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_OPEN = (RequestState.ACCEPTED, RequestState.RUNNING)


@dataclass(frozen=True)
class ErasureSelection:
    """Whose content goes: exactly one of the three is given.

    Attributes
    ----------
    image: digest of its pixels (64 hex digits), or path of an image file with these pixels.
    person: pseudonym, as the requests gave it.
    model_uri: ``models:/name/version``.
    """

    image: str | None = None
    person: str | None = None
    model_uri: str | None = None


@dataclass(frozen=True)
class ErasureTarget:
    """One request: its version, run and ledger entry, where it came so far.

    ``entry`` is 0, and the texts are empty, where it did not.
    """

    request_id: str
    model_uri: str = ""
    run_id: str = ""
    entry: int = 0
    images: int = 0

    @property
    def name(self) -> str:
        """The model's address, or the request's id."""
        return self.model_uri or f"request {self.request_id}"


@dataclass(frozen=True)
class ErasurePlan:
    """What goes.

    Attributes
    ----------
    targets: the requests, with everything made from them.
    digests: pixel digests of the selected image, to look for among dropped images.
    continues: entries of erasures that were interrupted and are brought to their end with this.
    notes: what the person who erases should know.
    """

    targets: tuple[ErasureTarget, ...]
    digests: tuple[str, ...]
    uploads: tuple[str, ...]
    continues: tuple[int, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {name: value for name, value in asdict(self).items() if name != "digests"}


def plan_erasure(selection: ErasureSelection, workspace: Workspace) -> ErasurePlan:
    """Find everything that an erasure has to take; nothing is changed.

    Raises
    ------
    InputError, ImageError: not exactly one thing is selected, or it is of a wrong form.
    UnknownNameError: nothing is known of it, or it was erased already.
    StoreError: a store cannot be read.
    """
    given = [value for value in asdict(selection).values() if value]
    if len(given) != 1:
        raise InputError(
            f"{len(given)} things to erase", expected="one image, one person or one model"
        )
    ledger = workspace.ledger
    digest, look = _image(selection, workspace)
    begun = unfinished_erasures(ledger)
    targets = {target.request_id: target for entry in begun for target in _targets_of(entry)}
    done = {name for name, state in erasure_states(ledger).items() if state.done}
    for entry in _entries(selection, digest, ledger):
        found = _target(entry)
        if found.request_id not in done:
            targets.setdefault(found.request_id, found)
    for request_id in _spooled(selection, digest, workspace):
        targets.setdefault(request_id, ErasureTarget(request_id))
    digests = (digest,) if digest else ()
    uploads = tuple(path.stem for path in find_uploads(workspace, digests))
    if not targets and not uploads:
        raise UnknownNameError(
            f"nothing is kept of {given[0]}", expected="content that was not erased yet",
            remedy="see what there is with: sgps audit search",
        )  # fmt: skip
    found_targets = tuple(targets.values())
    other_ways = (ALONE,) if selection.person is not None else ()
    notes = (*_notes(found_targets, look, ledger), *other_ways, COPIES)
    return ErasurePlan(found_targets, digests, uploads, tuple(e.number for e in begun), notes)


@dataclass(frozen=True)
class ErasureState:
    """How far the erasure of a request is; ``entry`` is its newest ledger entry about that."""

    request_id: str
    entry: int
    done: bool


def erasure_states(ledger: Ledger) -> dict[str, ErasureState]:
    """Every request whose erasure was begun. Raises StoreError."""
    return {
        str(request_id): ErasureState(
            str(request_id), entry.number, entry.record.get("stage") == DONE
        )
        for entry in ledger.entries(ERASURE_KIND)
        for request_id in entry.record.get("requests", ())
    }


def unfinished_erasures(ledger: Ledger) -> list[LedgerEntry]:
    """Entries of erasures that were begun and did not come to their end. Raises StoreError."""
    entries = ledger.entries(ERASURE_KIND)
    ended = {
        number
        for entry in entries
        if entry.record.get("stage") == DONE
        for number in entry.record.get("begun", ())
    }
    return [
        entry
        for entry in entries
        if entry.record.get("stage") == BEGUN and entry.number not in ended
    ]


def find_uploads(workspace: Workspace, digests: Iterable[str]) -> Iterator[Path]:
    """The descriptions of images that were dropped on the page and have one of these pixels."""
    wanted = set(digests)
    folder = workspace.settings.home_folder / "uploads"
    for path in sorted(folder.glob("*.json")) if wanted else ():
        facts = _read_json(path)
        if isinstance(facts, dict) and facts.get("pixel_sha256") in wanted:
            yield path


def _image(selection: ErasureSelection, workspace: Workspace) -> tuple[str, str]:
    """Pixel digest of the selected image and, where it is a file, its perceptual hash."""
    if not selection.image:
        return "", ""
    if _DIGEST.fullmatch(selection.image.lower()):
        return selection.image.lower(), ""
    image = read_image(Path(selection.image), limits=image_limits(workspace.settings))
    return image.pixel_sha256, perceptual_hash(image.pixels)


def _entries(selection: ErasureSelection, digest: str, ledger: Ledger) -> list[LedgerEntry]:
    if digest:
        return _syntheses(ledger.find(image=digest))
    if selection.person:
        return _syntheses(ledger.find(person=selection.person))
    return ledger.entries(LEDGER_KIND, selection.model_uri)


def _syntheses(entries: list[LedgerEntry]) -> list[LedgerEntry]:
    return [entry for entry in entries if entry.kind == LEDGER_KIND]


def _spooled(selection: ErasureSelection, digest: str, workspace: Workspace) -> Iterator[str]:
    """Requests that wait with the image, or with an image of the person."""
    spool = Spool(workspace.settings.home_folder)
    for request_id in spool.request_ids() if not selection.model_uri else ():
        manifest = _read_json(spool.path / request_id / "request.json")
        if not isinstance(manifest, dict):
            continue
        digests = {image["pixel_sha256"] for row in manifest["images"] for image in row}
        persons = {person for row in manifest["persons"] for person in row}
        if digest in digests or (selection.person and selection.person in persons):
            yield request_id


def _target(entry: LedgerEntry) -> ErasureTarget:
    audit = entry.record["audit"]
    return ErasureTarget(
        request_id=str(audit["request_id"]),
        model_uri=entry.subject,
        run_id=str(entry.record["registered"]["run_id"]),
        entry=entry.number,
        images=sum(len(item["images"]) for item in audit["inputs"]["classes"]),
    )


def _targets_of(begun: LedgerEntry) -> list[ErasureTarget]:
    return [ErasureTarget(**target) for target in begun.record["targets"]]


def _notes(targets: tuple[ErasureTarget, ...], look: str, ledger: Ledger) -> Iterator[str]:
    plain = [t.name for t in targets if t.entry and not _is_sealed(ledger.get(t.entry).record)]
    if plain:
        yield (
            f"{', '.join(plain)}: recorded before digests were sealed; the digests and file names"
            " in these ledger entries stay"
        )
    for target in targets:
        accesses = ledger.entries("access", target.model_uri) if target.model_uri else []
        exports = [str(one.number) for one in accesses if "export" in str(one.record.get("act"))]
        if exports:
            yield f"{target.name} was exported (ledger entries {', '.join(exports)})"
    going = {target.request_id for target in targets}
    similar = [
        entry.subject
        for entry in (_syntheses(ledger.find(image_hash=look)) if look else ())
        if entry.record["audit"]["request_id"] not in going
    ]
    if similar:
        yield (
            f"{', '.join(similar)}: made from an image that looks the same but has other pixels;"
            " erase it by itself if it is the same picture"
        )


def _is_sealed(record: Mapping[str, Any]) -> bool:
    return bool(record["audit"].get("sealed"))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
