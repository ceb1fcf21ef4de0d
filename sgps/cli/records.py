"""``sgps audit``: list, show, search, verify and checkpoint the records."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgps.cli import record_custody
from sgps.cli.output import format_pairs, format_rows, progress, say, write_json, write_result
from sgps.cli.registration import JsonFlag, register

if TYPE_CHECKING:
    from sgps.audit import Ledger
    from sgps.service.verification import AuditReport


def add_commands(app: typer.Typer) -> None:
    """Add ``audit``."""
    group = typer.Typer(
        help="Read, verify, search, export and erase what is recorded of who did what.",
        epilog="\b\nExample:\n  sgps audit list --limit 10\n  sgps audit verify --json",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    for name, function, example in (
        ("list", list_entries, "sgps audit list --kind synthesize --limit 10"),
        ("show", show, "sgps audit show 3"),
        ("search", search, "sgps audit search --requester 'Dr. Ada' --state approved"),
        ("verify", verify, "sgps audit verify --checkpoint /mnt/safe/checkpoint.json --json"),
        ("checkpoint", checkpoint, "sgps audit checkpoint --out /mnt/safe/checkpoint.json"),
        ("export", record_custody.export, "sgps audit export models:/moles/1 --out moles-1.zip"),
        ("check-export", record_custody.check_export, "sgps audit check-export moles-1.zip"),
        (
            "erase",
            record_custody.erase,
            "sgps audit erase --person P-017\n"
            "sgps audit erase --person P-017 --reason 'Consent withdrawn' --by 'Dr. Eve' --yes",
        ),
        ("sbom", record_custody.sbom, "sgps audit sbom --out sbom.cdx.json"),
    ):
        register(group, name, function, example=example)
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
    if kind is not None and not entries:
        from sgps.service.record_search import require_kind

        require_kind(kind)
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


def search(
    requester: Annotated[str | None, typer.Option(help="Only those asked for by this one.")] = None,
    task: Annotated[str | None, typer.Option(help="Only those of the task of this title.")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="draft, pending_review, approved, rejected, archived or erased."),
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="Only those of this generator: name, path or digest.")
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(help="Only those made from this image: a file, or a digest or its beginning."),
    ] = None,
    person: Annotated[
        str | None, typer.Option(help="Only those made from images of this pseudonym.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Search the recorded models; the newest that match, oldest first.

    Case and spacing of requester, task and person do not matter.
    """
    from sgps.service import open_workspace
    from sgps.service.record_search import RecordQuery, search_records
    from sgps.settings import load_settings

    query = RecordQuery(requester, task, state, generator, image, person)
    with open_workspace(load_settings()) as workspace:
        found = search_records(query, workspace, limit=limit)
    if not found:
        say(f"nothing found {query}")
    if json:
        write_json([one.to_dict() for one in found])
        return
    rows = [
        [str(one.entry), one.time, one.model_uri, one.state, one.requester, one.generator]
        for one in found
    ]
    write_result(format_rows(["entry", "time", "model", "state", "requester", "generator"], rows))


def verify(
    chain_only: Annotated[
        bool, typer.Option("--chain-only", help="Leave registry and artifacts alone; quick.")
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="File of an earlier 'sgps audit checkpoint', to notice a truncation."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Walk the hash chain, and compare ledger, registry and artifacts by digest.

    Exit code 2 where anything is not as it was recorded; each finding is named.
    """
    from sgps.audit import read_checkpoint
    from sgps.service import open_workspace
    from sgps.service.verification import verify_records
    from sgps.settings import load_settings

    seen = read_checkpoint(checkpoint) if checkpoint is not None else None
    with open_workspace(load_settings()) as workspace, progress("compared") as advance:
        report = verify_records(workspace, chain_only=chain_only, checkpoint=seen, progress=advance)
    if json:
        write_json(report.to_dict())
    else:
        _write_report(report, chain_only=chain_only)
    report.require_passed()


def _write_report(report: AuditReport, *, chain_only: bool) -> None:
    if report.findings:
        rows = [
            [found.kind, found.subject, found.where, found.expected, found.found]
            for found in report.findings
        ]
        write_result(format_rows(["finding", "about", "where", "expected", "found"], rows))
        return
    compared = f"{report.versions} versions compared, {len(report.erased)} of them erased"
    write_result(
        f"{report.entries} entries, chain unbroken, head {report.head};"
        f" {'versions not compared' if chain_only else compared}"
    )


def checkpoint(
    out: Annotated[Path, typer.Option("--out", help="JSON file to write.")],
    json: JsonFlag = False,
) -> None:
    """Write down how far the ledger goes; keep the file where the ledger's owner cannot reach it.

    'sgps audit verify --checkpoint FILE' then notices entries that were cut off the end. An older
    checkpoint in FILE is replaced where the ledger still holds all that it saw; else exit code 2.
    """
    from sgps.audit import renew_checkpoint

    with _open_ledger() as ledger:
        taken = renew_checkpoint(ledger, out)
    facts = {**asdict(taken), "file": str(out)}
    write_json(facts) if json else write_result(format_pairs(facts))


def _open_ledger() -> Ledger:
    from sgps.audit import Ledger
    from sgps.settings import load_settings

    return Ledger.open(load_settings().resolved_ledger_url.get_secret_value())
