"""Running a flow from this process: as a script, or for the command line."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

from prefect.logging.configuration import setup_logging
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from sgps.errors import InputError, SgpsError, UserError
from sgps.settings import load_settings, require_writable

INTERRUPTED = 130

_TALKATIVE = {"EventsWorker": logging.ERROR, "great_expectations": logging.WARNING}
"""Least level that is worth telling, by the first part of a logger's name."""


@contextlib.contextmanager
def local_session() -> Iterator[None]:
    """Run flows of this process without a heartbeat, their failures told by the caller.

    A heartbeat tells a server that a run it started is alive; here the caller waits for the run,
    and every synchronous flow would wait a second for its heartbeat thread.
    """
    require_writable(load_settings().home_folder)
    setup_logging()
    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(_is_worth_telling)
    try:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_worth_telling)


def run_script(flow: Callable[..., dict[str, Any]], *arguments: Any) -> int:
    """Run ``flow`` for a shell: its result as JSON on stdout, an error as one line on stderr.

    Returns
    -------
    The exit code: 0 done, 2 an error that the caller can mend, 1 any other.
    """
    try:
        with local_session(), contextlib.redirect_stdout(sys.stderr):
            result = flow(*arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SgpsError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return error.exit_code
    print(json.dumps(result, indent=2, default=str))
    return 0


def _is_worth_telling(record: logging.LogRecord) -> bool:
    if record.levelno < _TALKATIVE.get(record.name.split(".")[0], logging.NOTSET):
        return False
    if not record.name.startswith(("prefect.flow_runs", "prefect.task_runs")):
        return True
    cause = record.exc_info[1] if record.exc_info else None
    ended_badly = record.getMessage().startswith("Finished in state Failed")
    return not (isinstance(cause, UserError) or ended_badly)


def require_server() -> None:
    """Make sure that a Prefect server is named: deployments live longer than this process.

    Raises
    ------
    InputError: ``PREFECT_API_URL`` is not set.
    """
    if not PREFECT_API_URL.value():
        raise InputError(
            "PREFECT_API_URL is not set",
            expected="the address of a Prefect server",
            remedy="start one with 'python -m flows.server' and set PREFECT_API_URL="
            "http://127.0.0.1:4200/api",
        )
