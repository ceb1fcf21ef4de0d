"""``sgps up``, ``sgps down`` and ``sgps status``: the whole system on this machine."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgps.cli.output import format_rows, say, write_json, write_result
from sgps.cli.registration import JsonFlag, register

if TYPE_CHECKING:
    from sgps.service.processes import ServerState, SystemState
    from sgps.settings import Settings

START_SECONDS = 180.0


def add_commands(app: typer.Typer) -> None:
    """Add ``up``, ``down`` and ``status``."""
    register(app, "up", up, example="sgps up\nsgps up --detach\nsgps up --no-prefect")
    register(app, "down", down, example="sgps down")
    register(app, "status", status, example="sgps status\nsgps status --json")


def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once every server answers.")
    ] = False,
    prefect: Annotated[
        bool, typer.Option("--prefect/--no-prefect", help="With Prefect and its runner.")
    ] = True,
    wait: Annotated[
        float, typer.Option("--wait", min=1.0, help="Seconds until every server must answer.")
    ] = START_SECONDS,
    show_status: Annotated[
        bool, typer.Option("--status", help="Start nothing; say what runs, like 'sgps status'.")
    ] = False,
) -> None:
    """Start the page, MLflow and Prefect on this machine, and stay until Ctrl-C.

    A second start finds the first and prints its addresses; with other settings it is refused.
    """
    from sgps.service.processes import (
        ServerFailureError,
        find_running,
        plan_system,
        require_same_settings,
        run_system,
    )
    from sgps.settings import load_settings, misspelt_variables

    settings = load_settings()
    if show_status:
        _show_status(settings, json=False)
        return
    servers, remarks = plan_system(settings, dict(os.environ), Path.cwd(), prefect=prefect)
    running = find_running(settings.home_folder)
    if running is not None and running.ready:
        require_same_settings(running, settings)
        _show_running(running)
        return
    if detach:
        _detach(settings, prefect, wait)
        return
    for remark in (*remarks, *misspelt_variables(os.environ)):
        say(f"note: {remark}")
    try:
        other = run_system(
            servers,
            settings.home_folder,
            say=say,
            started=_show_started,
            seconds=wait,
            settings=settings,
        )
    except ServerFailureError as error:
        for line in error.tail.splitlines():
            say(f"  | {line}")
        raise
    if other is not None:
        _show_running(other)


def down() -> None:
    """Stop what ``sgps up`` started."""
    from sgps.service.processes import stop_system
    from sgps.settings import load_settings

    settings = load_settings()
    stopped = stop_system(settings.home_folder)
    write_result("stopped" if stopped else f"nothing runs in {settings.home_folder}")


def status(json: JsonFlag = False) -> None:
    """Say which servers of ``sgps up`` run and answer.

    Exit code 1 when one does not.
    """
    from sgps.settings import load_settings

    _show_status(load_settings(), json=json)


def _detach(settings: Settings, prefect: bool, wait: float) -> None:
    from sgps.service.processes import DetachedFailure, start_detached

    flags = [] if prefect else ["--no-prefect"]
    command = [sys.executable, "-m", "sgps.cli", "up", "--wait", str(wait), *flags]
    outcome = start_detached(command, settings.home_folder)
    if isinstance(outcome, DetachedFailure):
        say(outcome.output)
        raise typer.Exit(outcome.code or 1)
    _show_running(outcome)


def _show_started(state: SystemState) -> None:
    _write_addresses(state)
    say("everything works; Ctrl-C stops it")


def _show_running(state: SystemState) -> None:
    _write_addresses(state)
    say(f"runs as process {state.pid}; stop it with: sgps down")


def _write_addresses(state: SystemState) -> None:
    rows = [[one.title, one.address or "-"] for one in state.servers]
    write_result(format_rows(["server", "address"], rows))


def _show_status(settings: Settings, *, json: bool) -> None:
    from sgps.service.processes import find_running, probe

    state = find_running(settings.home_folder)
    answers = probe(state) if state is not None else {}
    if json:
        servers = [
            {**asdict(one), "answers": answers[one.name]}
            for one in (state.servers if state else ())
        ]
        write_json(
            {
                "running": state is not None,
                "ready": state is not None and state.ready,
                "pid": state.pid if state else None,
                "servers": servers,
            }
        )
    elif state is None:
        write_result(f"nothing runs in {settings.home_folder}")
    else:
        rows = [
            [one.title, _state_of(one, answers[one.name]), one.address or "-"]
            for one in state.servers
        ]
        write_result(format_rows(["server", "state", "address"], rows))
    if state is None or not state.ready or not all(answers.values()):
        raise typer.Exit(1)


def _state_of(server: ServerState, answers: bool) -> str:
    if server.down:
        return "is started again"
    words = "works" if answers else "does not answer"
    times = "once" if server.restarts == 1 else f"{server.restarts} times"
    return f"{words} (started again {times})" if server.restarts else words
