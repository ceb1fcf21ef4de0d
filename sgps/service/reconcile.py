"""Bring outbox, registry, ledger and spool to agree, whatever ended the processes before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sgps.audit import OutboxRow, RequestState
from sgps.errors import StoreError, UnknownNameError
from sgps.registry import RequestRun
from sgps.service._processing import LEASE_SECONDS, MAX_CRASHES, give_up
from sgps.service._recorded import find_recorded
from sgps.service._review_labels import follow_ledger
from sgps.service._spool import Spool
from sgps.service.exactly_once import process
from sgps.service.workspace import Workspace

if TYPE_CHECKING:
    from sgps.synthesizer.synthesizer import Synthesizer

_BATCH = 1_000


@dataclass(frozen=True)
class ReconcileReport:
    """What was done; one line each.

    Attributes
    ----------
    finished: requests that were waiting and are done or failed now, or whose version was.
    released: requests that still wait, and why.
    swept: runs, versions and folders that nobody needs, removed.
    unknown: runs and versions of requests that the ledger does not know; left alone, since they
        may be another ledger's.
    """

    finished: tuple[str, ...]
    released: tuple[str, ...]
    swept: tuple[str, ...]
    unknown: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {name: list(lines) for name, lines in asdict(self).items()}


def reconcile(
    workspace: Workspace,
    synthesizer: Synthesizer | None = None,
    *,
    lease_seconds: float = LEASE_SECONDS,
) -> ReconcileReport:
    """Finish the requests that wait, and remove what ended processes left.

    Safe while others work: a request is touched under a lease only, and what belongs to one whose
    lease is alive is left alone.

    Raises
    ------
    StoreError: the ledger cannot be read or written. A registry that is down is no error: the
        requests go on waiting.
    """
    finished, released = [], []
    for row in workspace.ledger.outbox.waiting(_BATCH):
        if row.state is RequestState.RUNNING and row.crashes + 1 >= MAX_CRASHES:
            give_up(row, "every attempt ended the process that made it", workspace)
        else:
            process(row.request_id, workspace, synthesizer, lease_seconds=lease_seconds)
        ended = workspace.ledger.outbox.get(row.request_id)
        if ended.state in (RequestState.DONE, RequestState.FAILED):
            outcome = ended.error or (ended.receipt or {}).get("model_uri", "")
            finished.append(f"{ended.request_id}: {ended.state}: {outcome}")
        else:
            released.append(f"{ended.request_id}: {ended.error or 'somebody works on it'}")
    swept, unknown, shown = _sweep_registry(workspace)
    return ReconcileReport(
        (*finished, *shown), tuple(released), (*swept, *_sweep_spool(workspace)), tuple(unknown)
    )


def _sweep_registry(workspace: Workspace) -> tuple[list[str], list[str], list[str]]:
    """What was swept, what is unknown, and what can be found from now on."""
    swept: list[str] = []
    unknown: list[str] = []
    shown: list[str] = []
    try:
        runs = workspace.registry.request_runs()
    except StoreError:
        return swept, unknown, shown
    by_request: dict[str, list[RequestRun]] = defaultdict(list)
    for run in runs:
        by_request[run.request_id].append(run)
    for request_id, found in by_request.items():
        if len(found) == 1 and found[0].version is not None and not found[0].unfinished:
            continue
        row = _row(workspace, request_id)
        if row is None:
            unknown += map(_describe, found)
            continue
        for run in _superfluous(row, found):
            if workspace.registry.discard(run):
                swept.append(_describe(run))
        shown += [_describe_done(run) for run in found if _show(run, row, workspace)]
    return swept, unknown, shown


def _show(run: RequestRun, row: OutboxRow, workspace: Workspace) -> bool:
    """Let a version be found whose request is done, though the process ended just then."""
    if run.version is None or not run.unfinished or row.state is not RequestState.DONE:
        return False
    try:
        version = workspace.registry.describe(run.version.model_uri, unfinished=True)
        recorded = find_recorded(version, workspace.ledger)
        if recorded is None:
            return False
        follow_ledger(version, recorded, workspace)
    except (StoreError, UnknownNameError):
        return False
    return True


def _superfluous(row: OutboxRow, runs: Sequence[RequestRun]) -> list[RequestRun]:
    """Runs and versions of an ended request that are not those its receipt names."""
    if row.state not in (RequestState.DONE, RequestState.FAILED):
        return []
    receipt = row.receipt or {}
    kept, model_uri = receipt.get("run_id"), receipt.get("model_uri")
    doubled = any(_describe(run) == model_uri for run in runs)
    return [run for run in runs if run.run_id != kept or (doubled and _describe(run) != model_uri)]


def _sweep_spool(workspace: Workspace) -> list[str]:
    spool = Spool(workspace.settings.home_folder)
    swept = []
    with spool.sweeping() as alone:
        if not alone:
            return []
        for request_id in spool.request_ids():
            row = _row(workspace, request_id)
            if row is None or row.state in (RequestState.DONE, RequestState.FAILED):
                spool.remove(request_id)
                swept.append(f"spooled request {request_id}")
    return swept


def _row(workspace: Workspace, request_id: str) -> OutboxRow | None:
    try:
        return workspace.ledger.outbox.get(request_id)
    except UnknownNameError:
        return None


def _describe_done(run: RequestRun) -> str:
    return f"{run.request_id}: {RequestState.DONE}: {_describe(run)}"


def _describe(run: RequestRun) -> str:
    return run.version.model_uri if run.version else f"run {run.run_id}"
