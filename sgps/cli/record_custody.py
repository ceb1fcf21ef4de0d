"""``sgps audit export``, ``check-export``, ``erase`` and ``sbom``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgps.cli.output import (
    format_pairs,
    format_rows,
    require_writable_file,
    say,
    write_json,
    write_result,
)
from sgps.cli.registration import JsonFlag
from sgps.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from sgps.service.erasure import ErasurePlan

ByOption = Annotated[
    str | None,
    typer.Option("--by", help="Who does this; default: SGPS_REQUESTER, or the login name."),
]


def export(
    model_uri: Annotated[str, typer.Argument(help="models:/<name>/<version>.")],
    out: Annotated[Path, typer.Option("--out", help="Zip file to write.")],
    by: ByOption = None,
    json: JsonFlag = False,
) -> None:
    """Write the whole record of one model as a signed archive; the ledger keeps that you did.

    It holds the support images, texts and weights: treat it like them. Give the fingerprint to
    the reader by another way than the archive.
    """
    from sgps.service import open_workspace
    from sgps.service.dossier import export_record
    from sgps.service.parameters import name_of_user
    from sgps.settings import load_settings

    require_writable_file(out)
    settings = load_settings()
    with open_workspace(settings) as workspace:
        receipt = export_record(model_uri, out, workspace, by=by or name_of_user(settings))
    for finding in receipt.findings:
        say(f"warning: {finding}")
    facts = {**receipt.to_dict(), "findings": len(receipt.findings)}
    write_json(receipt.to_dict()) if json else write_result(format_pairs(facts))


def check_export(
    archive: Annotated[Path, typer.Argument(metavar="FILE.zip", help="An exported record.")],
    fingerprint: Annotated[
        str | None, typer.Option(help="Fingerprint of the key that must have signed it.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Check an exported record by itself: signature, digests, ledger entries, artifacts.

    Exit code 2 where anything is wrong. Without ``--fingerprint``, compare the one shown.
    """
    from sgps.service.dossier import check_export as check

    found = check(archive, fingerprint=fingerprint)
    if json:
        write_json(found.to_dict())
    else:
        trusted = "not checked" if found.trusted is None else found.trusted
        facts = {"trusted": trusted, "checkpoint": found.checkpoint.number}
        names = ("model_uri", "fingerprint", "entries", "members")
        write_result(format_pairs({name: getattr(found, name) for name in names} | facts))
    if found.findings:
        raise IntegrityError(
            f"{found.findings[0]} (and {len(found.findings) - 1} more)",
            remedy="the record was wrong already when it was exported",
        )


def erase(
    image: Annotated[
        str | None, typer.Option(help="An image file, or the digest of its pixels.")
    ] = None,
    person: Annotated[str | None, typer.Option(help="Pseudonym of a person.")] = None,
    model: Annotated[str | None, typer.Option(help="models:/<name>/<version>.")] = None,
    reason: Annotated[
        str, typer.Option(help="Why; stays in the ledger, so do not name the person.")
    ] = "",
    by: ByOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only show.")] = False,
    json: JsonFlag = False,
) -> None:
    """Erase everything made from an image, of a person, or one model.

    Images, texts, weights and the keys behind their digests go for good, in every model that was
    made from them; a mark stays and the chain still verifies. Without ``--yes`` nothing is done.
    An erasure that was interrupted goes on when it is run again.
    """
    from sgps.service import open_workspace
    from sgps.service.erasure import ErasureSelection, plan_erasure
    from sgps.service.erasure import erase as erase_for_good
    from sgps.service.parameters import name_of_user
    from sgps.settings import load_settings

    selection = ErasureSelection(image, person, model)
    settings = load_settings()
    with open_workspace(settings) as workspace:
        if not yes:
            _write_plan(plan_erasure(selection, workspace), as_json=json)
            return
        if not reason.strip():
            raise InputError("--reason is missing", remedy="say why, without naming the person")
        outcome = erase_for_good(
            selection,
            workspace,
            by=by or name_of_user(settings),
            reason=reason,
            progress=lambda step, request: say(f"{step} {request}".rstrip()),
        )
    if json:
        write_json(outcome.to_dict())
        return
    for note in outcome.notes:
        say(f"note: {note}")
    runs = f", {outcome.flow_runs} flow runs of Prefect" if outcome.flow_runs else ""
    write_result(
        f"erased {', '.join(outcome.erased) or 'what was left'}: {outcome.files} files,"
        f" {outcome.size:,} bytes{runs}; ledger entry {outcome.entry}"
    )


def _write_plan(plan: ErasurePlan, *, as_json: bool) -> None:
    if as_json:
        write_json({"done": False, **plan.to_dict()})
        return
    rows = [[target.name, target.request_id, str(target.images)] for target in plan.targets]
    write_result(format_rows(["would be erased", "request", "images"], rows))
    for upload in plan.uploads:
        write_result(f"dropped image {upload}")
    for run_id in plan.flow_runs:
        write_result(f"flow run {run_id} of Prefect, with the parameters of the request")
    for note in plan.notes:
        say(f"note: {note}")
    say("nothing was done; add --yes, --reason and --by to do it")


def sbom(
    out: Annotated[Path, typer.Option("--out", help="JSON file to write.")],
    json: JsonFlag = False,
) -> None:
    """Write the software bill of materials of this environment (CycloneDX 1.6)."""
    from sgps.service.sbom import write_sbom

    facts = {"file": str(out), "sha256": write_sbom(out)}
    write_json(facts) if json else write_result(format_pairs(facts))
