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

RulesOption = Annotated[
    Path | None,
    typer.Option("--rules", help="YAML with validation rules; default: data/validation.yaml."),
]
DescriptionsOption = Annotated[
    Path | None,
    typer.Option(
        "--descriptions", help="Folder of class descriptions; default: data/descriptions, if there."
    ),
]
TextsFlag = Annotated[bool, typer.Option("--texts/--no-texts", help="Use class descriptions.")]

DEFAULT_ROOT = Path("data/shards")

_DEFAULT_DESCRIPTIONS = Path("data/descriptions")


def find_descriptions(given: Path | None, texts: bool) -> Path | None:
    """The folder of descriptions to use; None for none."""
    if not texts:
        return None
    return given or (_DEFAULT_DESCRIPTIONS if _DEFAULT_DESCRIPTIONS.is_dir() else None)


def register(app: typer.Typer, name: str, function: Callable[..., None], *, example: str) -> None:
    """Add a command: its help is the docstring and ``example``, its stdout the result's."""

    @functools.wraps(function)
    def guarded(*arguments: Any, **options: Any) -> None:
        with reserved_stdout():
            function(*arguments, **options)

    lines = "\n".join(f"  {line}" for line in example.splitlines())
    app.command(name, epilog=f"\b\nExample:\n{lines}")(guarded)
