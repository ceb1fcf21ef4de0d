"""``sgps requests`` and ``sgps reconcile``."""

from __future__ import annotations

from typing import Annotated

import typer

from sgps.cli.output import format_rows, write_json, write_result
from sgps.cli.registration import JsonFlag, register


def add_commands(app: typer.Typer) -> None:
    """Add ``requests`` and ``reconcile``."""
    register(app, "requests", requests, example="sgps requests --state accepted --json")
    register(app, "reconcile", reconcile, example="sgps reconcile --json")


def requests(
    state: Annotated[
        str | None, typer.Option(help="Only those: accepted, running, done or failed.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    json: JsonFlag = False,
) -> None:
    """List the requests for classifiers and how far each is, newest first."""
    from sgps.service.queue import list_requests
    from sgps.settings import load_settings

    found = list_requests(load_settings(), state=state, limit=limit)
    if json:
        write_json([one.to_dict() for one in found])
        return
    rows = [
        [
            one.request_id,
            one.state,
            one.created,
            one.requester,
            one.task,
            one.model_uri or one.error,
        ]
        for one in found
    ]
    write_result(format_rows(["request", "state", "created", "requester", "task", "outcome"], rows))


def reconcile(json: JsonFlag = False) -> None:
    """Finish the requests that wait, and remove what an ended process left half-made.

    A request waits where the model registry could not be used, or a process ended before it was
    done. Safe to run at any time, also while others work.
    """
    from sgps.service import open_workspace
    from sgps.service.reconcile import reconcile as bring_to_agree
    from sgps.settings import load_settings

    with open_workspace(load_settings()) as workspace:
        report = bring_to_agree(workspace).to_dict()
    if json:
        write_json(report)
        return
    rows = [[outcome, line] for outcome, lines in report.items() for line in lines]
    write_result(format_rows(["outcome", "what"], rows))
