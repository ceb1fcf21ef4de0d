"""Erasure of an image, a person or a model: what was made from it goes, the chain stays.

An erasure is two ledger entries: one before anything is deleted, naming the requests, and a
tombstone at the end. Whatever ends a process between the two, the next erasure goes on where it
stopped: every step can be done twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sgps.audit import Ledger, RequestState
from sgps.errors import InputError, StoreError, UnknownNameError
from sgps.registry.contents import open_contents
from sgps.registry.erasing import Epitaph, bury_version, compact, erase_contents
from sgps.service._erasure_flow_runs import delete_flow_runs
from sgps.service._erasure_plan import (
    BEGUN,
    DONE,
    ERASURE_KIND,
    ErasurePlan,
    ErasureSelection,
    ErasureState,
    ErasureTarget,
    erasure_states,
    find_uploads,
    plan_erasure,
    recorded_target,
    unfinished_erasures,
)
from sgps.service._spool import Spool
from sgps.service._text_rules import one_line, several_lines
from sgps.service.workspace import Workspace

__all__ = [
    "ERASURE_KIND",
    "ErasureOutcome",
    "ErasurePlan",
    "ErasureSelection",
    "ErasureState",
    "ErasureTarget",
    "erase",
    "erasure_states",
    "evicted",
    "plan_erasure",
    "unfinished_erasures",
]

Progress = Callable[[str, str], None]

FORGOTTEN_TERMS = ("image", "person", "weights", "image_hash")
_LEASE_SECONDS = 10.0
_LOG_SECONDS = 10.0
_LONGEST_NAME, _LONGEST_REASON = 120, 1_000


@dataclass(frozen=True)
class ErasureOutcome:
    """What went.

    Attributes
    ----------
    entry: number of the tombstone. erased: the models and requests.
    files: artifacts and dropped images deleted. size: their bytes.
    flow_runs: runs deleted from Prefect.
    notes: what is left to do.
    """

    entry: int
    erased: tuple[str, ...]
    files: int
    size: int
    flow_runs: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def erase(
    selection: ErasureSelection,
    workspace: Workspace,
    *,
    by: str,
    reason: str,
    progress: Progress | None = None,
) -> ErasureOutcome:
    """Erase images, texts, weights and the keys behind the digests of every request concerned.

    Parameters
    ----------
    by, reason: who erases and why; both stay in the ledger, so neither may name the person.
    progress: called with each step and the request it is done for, before it is done.

    Raises
    ------
    InputError, ImageError, UnknownNameError: see :func:`plan_erasure`; or ``by`` or ``reason`` is
        empty or too long.
    StoreError: a store cannot be written, or one of the requests is being worked on. Run again,
        the erasure goes on.
    """
    who = _checked("by", by, _LONGEST_NAME, one_line)
    why = _checked("reason", reason, _LONGEST_REASON, several_lines)
    plan = plan_erasure(selection, workspace)
    return _Erasure(workspace, plan, who, why, progress or (lambda _step, _request: None)).run()


def evicted(request_id: str, ledger: Ledger) -> bool:
    """Whether loaded copies of what came of a request must not be used any more.

    Raises
    ------
    StoreError: the ledger cannot be read.
    """
    if ledger.record_keys.get(request_id) is not None:
        return False
    return request_id in erasure_states(ledger)


class _Erasure:
    """One erasure from its first entry to its tombstone."""

    def __init__(
        self, workspace: Workspace, plan: ErasurePlan, who: str, why: str, progress: Progress
    ) -> None:
        self._workspace = workspace
        self._plan = plan
        self._who = who
        self._why = why
        self._progress = progress
        self._files = self._size = self._runs_left = 0

    def run(self) -> ErasureOutcome:
        """Do all steps of all requests."""
        self._close_requests()
        self._progress("begin", "")
        begun = self._begin()
        self._progress("uploads", "")
        self._plan = replace(self._plan, targets=tuple(map(self._close, self._plan.targets)))
        self._remove_uploads(self._plan.digests)
        self._progress("flow runs", "")
        settings = self._workspace.settings
        flow_runs, left = delete_flow_runs(settings, self._plan.flow_runs)
        epitaph = Epitaph(self._who, self._why, datetime.now(UTC).isoformat(), begun[-1])
        for target in self._plan.targets:
            self._erase_request(target, epitaph)
        self._progress("compact", "")
        notes = (*self._plan.notes, *left, *self._compact())
        self._progress("tombstone", "")
        counts = {"files": self._files, "bytes": self._size, "flow_runs": flow_runs}
        entry = self._append(DONE, {"begun": begun, **counts})
        with suppress(StoreError):  # an epitaph that names the beginning is right as well
            for target in self._plan.targets:
                self._bury(target, replace(epitaph, entry=entry))
        return ErasureOutcome(
            entry=entry,
            erased=tuple(target.name for target in self._plan.targets),
            files=self._files,
            size=self._size,
            flow_runs=flow_runs,
            notes=notes,
        )

    def _close_requests(self) -> None:
        """Take the requests that are not done, so that nobody finishes them meanwhile."""
        outbox = self._workspace.ledger.outbox
        for target in self._plan.targets:
            if target.entry:
                continue
            try:
                row = outbox.get(target.request_id)
            except UnknownNameError:
                continue
            if row.state is RequestState.FAILED:
                continue
            if outbox.claim(target.request_id, _LEASE_SECONDS) is None:
                raise StoreError(
                    f"request {target.request_id} is being worked on, or was just finished",
                    expected="a request that nobody works on",
                    remedy="run the erasure again in a minute",
                )

    def _begin(self) -> list[int]:
        """Numbers of the entries that this erasure brings to their end."""
        unfinished = list(self._plan.continues)
        known = {
            request_id
            for number in unfinished
            for request_id in self._workspace.ledger.get(number).record["requests"]
        }
        if unfinished and known >= {target.request_id for target in self._plan.targets}:
            return unfinished
        targets = [asdict(target) for target in self._plan.targets]
        return [*unfinished, self._append(BEGUN, {"targets": targets})]

    def _append(self, stage: str, facts: dict[str, Any]) -> int:
        targets = self._plan.targets
        named = [target.name for target in targets]
        record = {
            "stage": stage,
            "who": self._who,
            "why": self._why,
            "requests": [target.request_id for target in targets],
            "erased": named,
            "images": sum(target.images for target in targets),
            **facts,
        }
        subject = named[0] if len(named) == 1 else f"{len(named)} requests"
        terms = {
            "request_id": [target.request_id for target in targets],
            "model": [target.model_uri for target in targets if target.model_uri],
        }
        return self._workspace.ledger.append(ERASURE_KIND, subject, record, terms=terms).number

    def _erase_request(self, target: ErasureTarget, epitaph: Epitaph) -> None:
        ledger = self._workspace.ledger
        steps: dict[str, Callable[[], object]] = {
            "uploads": lambda: self._remove_uploads(self._digests(target)),
            "spool": lambda: self._remove_spooled(target),
            "version": lambda: self._bury(target, epitaph),
            "artifacts": lambda: self._erase_runs(target),
            "outbox": lambda: ledger.outbox.forget_body(target.request_id),
            "terms": lambda: target.entry and ledger.forget_terms(target.entry, FORGOTTEN_TERMS),
            "key": lambda: ledger.record_keys.erase(target.request_id),
        }
        for step, act in steps.items():
            self._progress(step, target.request_id)
            act()

    def _close(self, target: ErasureTarget) -> ErasureTarget:
        """Give a request that is not done up; one that was done meanwhile, with what came of it."""
        self._progress("request", target.request_id)
        if target.entry:
            return target
        ledger = self._workspace.ledger
        ledger.outbox.forget_body(target.request_id)
        return recorded_target(target.request_id, ledger) or target

    def _digests(self, target: ErasureTarget) -> set[str]:
        """Pixel digests of the images of a request, as far as its artifacts still tell."""
        if not target.run_id:
            return set()
        with open_contents(self._workspace.registry, target.run_id) as folder:
            try:
                audit = json.loads(((folder or Path()) / "audit.json").read_text(encoding="utf-8"))
                classes = audit["inputs"]["classes"]
                return {image["pixel_sha256"] for item in classes for image in item["images"]}
            except (OSError, ValueError, KeyError, TypeError):
                return set()

    def _remove_uploads(self, digests: Iterable[str]) -> None:
        for path in find_uploads(self._workspace, digests):
            # The description is the last to go: it is what the image is found by.
            for name in (f"{path.stem}.png", f"{path.stem}.small.png", path.name):
                with suppress(FileNotFoundError):
                    file = path.with_name(name)
                    self._size += file.stat().st_size
                    file.unlink()
                    self._files += 1

    def _remove_spooled(self, target: ErasureTarget) -> None:
        spool = Spool(self._workspace.settings.home_folder)
        spool.remove(target.request_id)
        if target.request_id in spool.request_ids():
            raise StoreError(f"{spool.path}: request {target.request_id} cannot be deleted")

    def _bury(self, target: ErasureTarget, epitaph: Epitaph) -> None:
        if target.model_uri:
            name, version = target.model_uri.removeprefix("models:/").split("/")
            bury_version(self._workspace.registry, name, version, epitaph)

    def _erase_runs(self, target: ErasureTarget) -> None:
        """Erase the run of a request, and what interrupted attempts at it left."""
        registry = self._workspace.registry
        runs = registry.request_runs(target.request_id, deleted=True)
        for run in runs:
            if run.version is not None and run.version.model_uri != target.model_uri:
                registry.discard_version(run.version)
        for run_id in dict.fromkeys(filter(None, (target.run_id, *(run.run_id for run in runs)))):
            erased = erase_contents(registry, run_id)
            self._files += erased.files
            self._size += erased.size
            self._runs_left += not erased.run_gone

    def _compact(self) -> list[str]:
        notes: list[str] = []
        if self._runs_left:
            notes.append(f"{self._runs_left} emptied runs stay marked as deleted: run mlflow gc")
        if self._plan.targets and not compact(self._workspace.registry):
            notes.append("the MLflow database was not compacted: deleted rows may leave traces")
        if not self._workspace.ledger.forget_log(_LOG_SECONDS):
            notes.append(
                "the ledger's log was in use: it keeps what was deleted until the next erasure, or"
                " until nobody has the ledger open"
            )
        return notes


def _checked(field: str, text: str, longest: int, rule: Callable[[str], str]) -> str:
    try:
        checked = rule(text.strip())
    except ValueError as error:
        raise InputError(f"{field}: {error}") from error
    if not 1 <= len(checked) <= longest:
        raise InputError(
            f"{field} has {len(checked)} characters", expected=f"1 to {longest:,} characters"
        )
    return checked
