"""How a function becomes a command."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sgps.cli.output import reserved_stdout

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON value for machines.")]
RootOption = Annotated[Path, typer.Option("--root", help="Folder of the ingested datasets.")]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="auto, cpu or cuda; default: SGPS_DEVICE.")
]

DEFAULT_ROOT = Path("data/shards")


def register(app: typer.Typer, name: str, function: Callable[..., None], *, example: str) -> None:
    """Add a command: its help is the docstring and ``example``, its stdout the result's."""

    @functools.wraps(function)
    def guarded(*arguments: Any, **options: Any) -> None:
        with reserved_stdout():
            function(*arguments, **options)

    lines = "\n".join(f"  {line}" for line in example.splitlines())
    app.command(name, epilog=f"\b\nExample:\n{lines}")(guarded)
