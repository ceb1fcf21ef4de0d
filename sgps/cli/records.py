"""``sgps audit``: list, show and verify the ledger."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sgps.cli.output import format_rows, write_json, write_result
from sgps.cli.registration import JsonFlag, register
from sgps.errors import IntegrityError

if TYPE_CHECKING:
    from sgps.audit import Ledger


def add_commands(app: typer.Typer) -> None:
    """Add ``audit``."""
    group = typer.Typer(
        help="Read the ledger of who did what.",
        epilog="\b\nExample:\n  sgps audit list --limit 10\n  sgps audit verify --json",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    register(
        group,
        "list",
        list_entries,
        example="sgps audit list --kind synthesize --limit 10",
    )
    register(
        group,
        "show",
        show,
        example="sgps audit show 3",
    )
    register(
        group,
        "verify",
        verify,
        example="sgps audit verify --json",
    )
    app.add_typer(group, name="audit")


def list_entries(
    kind: Annotated[str | None, typer.Option(help="Only entries of this kind.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only entries about this subject.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    json: JsonFlag = False,
) -> None:
    """List the newest entries, oldest first."""
    with _open_ledger() as ledger:
        entries = ledger.entries(kind, subject, limit=limit)
    if json:
        write_json([asdict(entry) for entry in entries])
        return
    rows = [
        [str(entry.number), entry.time, entry.kind, entry.subject, entry.digest[:12]]
        for entry in entries
    ]
    write_result(format_rows(["entry", "time", "kind", "subject", "digest"], rows))


def show(
    number: Annotated[int, typer.Argument(min=1, help="Number of the entry.")],
    json: JsonFlag = False,
) -> None:
    """Show one entry with its whole record, as JSON with or without ``--json``."""
    del json
    with _open_ledger() as ledger:
        write_json(asdict(ledger.get(number)))


def verify(json: JsonFlag = False) -> None:
    """Walk the hash chain of all entries.

    Exit code 2 where an entry was changed or is missing.
    """
    with _open_ledger() as ledger:
        outcome = ledger.verify()
    if json:
        write_json({"passed": outcome.passed, **asdict(outcome)})
    elif outcome.passed:
        write_result(f"{outcome.entries} entries, chain unbroken, head {outcome.head}")
    if not outcome.passed:
        raise IntegrityError(
            f"ledger entry {outcome.first_bad}: {outcome.reason}",
            expected="the entry as it was written",
            remedy="restore the ledger from a backup and ask who had access",
        )


def _open_ledger() -> Ledger:
    from sgps.audit import Ledger
    from sgps.settings import load_settings

    return Ledger.open(load_settings().resolved_ledger_url.get_secret_value())
