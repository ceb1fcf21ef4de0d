"""What an erasure would take: the requests behind an image, a person or a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgps.audit import Ledger, LedgerEntry, RequestState
from sgps.datasets.decoding import perceptual_hash, read_image
from sgps.errors import InputError, UnknownNameError
from sgps.registry.contents import open_contents
from sgps.service._erasure_flow_runs import FoundFlowRuns, find_flow_runs
from sgps.service._erasure_search import (
    read_json,
    read_spooled,
    spooled_requests,
    syntheses,
    syntheses_of_image,
    syntheses_of_person,
)
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
_REQUEST_FILE = "request.json"
_NOT_IMAGES = (
    "generators", "keys", "logs", "mlflow", "prefect", "run", "spool", "uploads",
)  # fmt: skip
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
    flow_runs: ids of Prefect's flow runs that hold the request in their parameters.
    continues: entries of erasures that were interrupted and are brought to their end with this.
    notes: what the person who erases should know.
    """

    targets: tuple[ErasureTarget, ...]
    digests: tuple[str, ...]
    uploads: tuple[str, ...]
    flow_runs: tuple[str, ...]
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
    states = erasure_states(ledger)
    entries = _entries(selection, digest, ledger)
    for entry in entries:
        found = _target(entry)
        if not _is_erased(states.get(found.request_id), ledger):
            targets.setdefault(found.request_id, found)
    home = workspace.settings.home_folder
    for request_id in spooled_requests(digest, selection.person or "", home):
        targets.setdefault(request_id, ErasureTarget(request_id))
    digests = (digest,) if digest else ()
    uploads = tuple(path.stem for path in find_uploads(workspace, digests))
    found_targets = tuple(targets.values())
    runs = _flow_runs(found_targets, entries, selection.person or "", workspace)
    if not targets and not uploads and not runs.run_ids:
        unsearched = f"; {runs.note}" if runs.note else ""
        raise UnknownNameError(
            f"nothing is kept of {given[0]}{unsearched}",
            expected="content that was not erased yet",
            remedy="see what there is with: sgps audit search",
        )
    other_ways = (ALONE,) if selection.person is not None else ()
    notes = filter(
        None,
        (*_notes(found_targets, look, ledger), runs.note, *_places(home), *other_ways, COPIES),
    )
    continues = tuple(entry.number for entry in begun)
    return ErasurePlan(found_targets, digests, uploads, runs.run_ids, continues, tuple(notes))


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


def recorded_target(request_id: str, ledger: Ledger) -> ErasureTarget | None:
    """What came of a request that is done; None where nothing did. Raises StoreError."""
    try:
        receipt = ledger.outbox.get(request_id).receipt or {}
    except UnknownNameError:
        return None
    entries = ledger.entries(LEDGER_KIND, str(receipt.get("model_uri")))
    targets = map(_target, reversed(entries))
    return next((target for target in targets if target.request_id == request_id), None)


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
        facts = read_json(path)
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
        return syntheses_of_image(digest, ledger)
    if selection.person:
        return syntheses_of_person(selection.person, ledger)
    return ledger.entries(LEDGER_KIND, selection.model_uri)


def _flow_runs(
    targets: tuple[ErasureTarget, ...],
    entries: list[LedgerEntry],
    person: str,
    workspace: Workspace,
) -> FoundFlowRuns:
    """Flow runs of the targets, and those that an earlier erasure of ``entries`` left."""
    numbers = dict.fromkeys(target.entry for target in targets if target.entry)
    known = {entry.number: entry for entry in entries}
    recorded = [known.get(number) or workspace.ledger.get(number) for number in numbers]
    run_ids = [_flow_run(entry) for entry in (*recorded, *entries)]
    requests = [request for target in targets if (request := _request(target, workspace))]
    return find_flow_runs(workspace.settings, run_ids, requests, person)


def _flow_run(entry: LedgerEntry) -> str:
    flow = entry.record["audit"].get("flow")
    return str((flow or {}).get("run_id") or "") if isinstance(flow, Mapping) else ""


def _request(target: ErasureTarget, workspace: Workspace) -> dict[str, Any] | None:
    """The request as asked, while it is still there."""
    if not target.run_id:
        spooled = read_spooled(workspace.settings.home_folder, target.request_id)
        return spooled.get("request") if spooled else None
    with open_contents(workspace.registry, target.run_id, (_REQUEST_FILE,)) as folder:
        request = read_json(folder / _REQUEST_FILE) if folder else None
    return request if isinstance(request, dict) else None


def _places(home: Path) -> Iterator[str]:
    """Folders that images may lie in and that belong to whoever put them there."""
    folders = [
        str(path)
        for path in (sorted(home.iterdir()) if home.is_dir() else ())
        if path.is_dir() and path.name not in _NOT_IMAGES
    ]
    if folders:
        yield (
            f"folders of images and datasets are not searched: {', '.join(folders)}; delete the"
            " person's images there by hand"
        )


def _target(entry: LedgerEntry) -> ErasureTarget:
    audit = entry.record["audit"]
    return ErasureTarget(
        request_id=str(audit["request_id"]),
        model_uri=entry.subject,
        run_id=str(entry.record["registered"]["run_id"]),
        entry=entry.number,
        images=sum(len(item["images"]) for item in audit["inputs"]["classes"]),
    )


def _is_erased(state: ErasureState | None, ledger: Ledger) -> bool:
    """Whether an erasure came to its end and left no key, such as that of who finished later."""
    return state is not None and state.done and ledger.record_keys.get(state.request_id) is None


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
        for entry in (syntheses(ledger.find(image_hash=look)) if look else ())
        if entry.record["audit"]["request_id"] not in going
    ]
    if similar:
        yield (
            f"{', '.join(similar)}: made from an image that looks the same but has other pixels;"
            " erase it by itself if it is the same picture"
        )


def _is_sealed(record: Mapping[str, Any]) -> bool:
    return bool(record["audit"].get("sealed"))
