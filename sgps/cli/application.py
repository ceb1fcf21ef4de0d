"""The commands joined to one application, and how their errors come out."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from sgps.cli import (
    benchmarking,
    data,
    demonstration,
    diagnosis,
    hosting,
    learning,
    models,
    queue,
    records,
    reviewing,
)
from sgps.cli.output import COMMAND_LINE
from sgps.errors import SgpsError
from sgps.settings import apply_offline_defaults

__all__ = ["app", "run"]

_INTERRUPTED = 130

app = typer.Typer(
    name="sgps",
    help="Synthesize image classifiers from a few examples and a clinical text. "
    "Not for clinical use.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")
    ] = False,
) -> None:
    context.obj = {"debug": debug}
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(f"sgps {installed_version('sgps')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


for _group in (
    demonstration, hosting, data, learning, benchmarking, models, queue, records, reviewing,
    diagnosis,
):  # fmt: skip
    _group.add_commands(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code; an error is one line on stderr."""
    COMMAND_LINE.set(shlex.join(["sgps", *arguments]))
    try:
        apply_offline_defaults()
        outcome = app(list(arguments), prog_name="sgps", standalone_mode=False)
    except SgpsError as error:
        return _report(str(error), error.exit_code)
    except typer.TyperException as error:
        return _report_usage(error)
    except typer.Abort:
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        kind = type(error).__name__
        return _report(f"unexpected {kind}: {error}; 'sgps --debug ...' shows where", 1)
    return outcome if isinstance(outcome, int) else 0


def _report_usage(error: typer.TyperException) -> int:
    message = error.format_message()
    if "\n" in message:  # the help of a group that was called without a command
        print(message, file=sys.stderr)
        return 2
    return _report(f"{message.rstrip('.')}; see 'sgps --help'", 2)


def _report(message: str, code: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    return code
