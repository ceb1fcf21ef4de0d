"""The flow runs that an erasure has to take with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sgps.errors import SgpsError
from sgps.service._flow_runs import FlowRuns, NoAnswerError
from sgps.service.requests import SynthesisRequest
from sgps.settings import Settings

_CONTENT = "title, texts, paths of files and pseudonyms"
_NOT_COMPACTED = (
    "the database of Prefect at {address} was not compacted: deleted flow runs may leave traces in"
    " its free space"
)


@dataclass(frozen=True)
class FoundFlowRuns:
    """What Prefect has of some requests.

    ``run_ids`` can be deleted; ``note`` says what could not be looked for, empty for nothing.
    """

    run_ids: tuple[str, ...] = ()
    note: str = ""


def find_flow_runs(
    settings: Settings, recorded: Iterable[str], requests: Sequence[Mapping[str, Any]], person: str
) -> FoundFlowRuns:
    """The flow runs of some requests.

    Parameters
    ----------
    recorded: ids of flow runs, as the audit records name them.
    requests: the requests as asked (:meth:`SynthesisRequest.to_record`): runs of the same request
        that failed, or came second, are found by them.
    person: a pseudonym, whose runs are found however they ended; empty for none.
    """
    known = list(dict.fromkeys(filter(None, recorded)))
    with FlowRuns(settings) as runs:
        if not known and not runs.is_used:
            return FoundFlowRuns()
        try:
            found = runs.existing(known)
            if requests or person:
                found += runs.search(lambda given: _is_of(given, requests, person))
        except NoAnswerError as error:
            return FoundFlowRuns(note=_unreached(known, str(error)))
    return FoundFlowRuns(tuple(dict.fromkeys(found)))


def delete_flow_runs(settings: Settings, run_ids: Sequence[str]) -> tuple[int, list[str]]:
    """Delete flow runs: how many, and notes on what is left to do."""
    left = list(run_ids)
    if not left:
        return 0, []
    with FlowRuns(settings) as runs:
        try:
            while left:
                runs.delete(left[0])
                left.pop(0)
        except NoAnswerError as error:
            return len(run_ids) - len(left), [_unreached(left, str(error))]
        notes = [] if runs.compact() else [_NOT_COMPACTED.format(address=runs.address)]
    return len(run_ids), notes


def _unreached(run_ids: list[str], reason: str) -> str:
    if not run_ids:
        return (
            f"Prefect was not searched, {reason}: flow runs that failed or came second may hold"
            f" {_CONTENT}; run sgps up, then erase again"
        )
    commands = "; ".join(f"prefect flow-run delete {run_id}" for run_id in run_ids)
    return (
        f"Prefect keeps {_CONTENT} of {len(run_ids)} flow runs, {reason}: run sgps up, then erase"
        f" the model again, or run: {commands}"
    )


def _is_of(given: Mapping[str, Any], requests: Sequence[Mapping[str, Any]], person: str) -> bool:
    request = given.get("request")
    if not isinstance(request, Mapping):
        return False
    return bool(person and _names(request, person)) or _record_of(request) in requests


def _names(request: Mapping[str, Any], person: str) -> bool:
    try:
        return any(person in item.get("persons", ()) for item in request["classes"])
    except (KeyError, TypeError, AttributeError):
        return False


def _record_of(request: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        return SynthesisRequest.model_validate(request).to_record()
    except (ValidationError, SgpsError):
        return None
