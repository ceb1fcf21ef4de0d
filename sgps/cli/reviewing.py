"""``sgps review``: submit, approve, reject, archive and show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sgps.cli.output import format_pairs, format_rows, say, write_json, write_result
from sgps.cli.registration import JsonFlag, register

if TYPE_CHECKING:
    from sgps.service.review import ReviewState

ModelArgument = Annotated[
    str,
    typer.Argument(help="models:/<name>/<version>, models:/<name>@<alias> or runs:/<id>/..."),
]
ReviewerOption = Annotated[
    str | None,
    typer.Option("--reviewer", help="Who decides; default: SGPS_REQUESTER, or the login name."),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, in a sentence.")]
RoleOption = Annotated[str, typer.Option("--role", help="Role of the reviewer, for the record.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``review``."""
    group = typer.Typer(
        help="Decide what may be used: draft, pending review, approved or rejected, archived.",
        epilog="\b\nExample:\n  sgps review submit models:/moles/1\n"
        "  sgps review approve models:/moles/1 --reviewer 'Dr. Bo' --reason 'Looked at 50 cases'",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    uri = "models:/moles/1"
    register(group, "submit", submit, example=f"sgps review submit {uri} --reason 'For ward 3'")
    register(
        group,
        "approve",
        approve,
        example=f"sgps review approve {uri} --reviewer 'Dr. Bo' --reason 'Looked at 50 cases'",
    )
    register(
        group,
        "reject",
        reject,
        example=f"sgps review reject {uri} --reviewer 'Dr. Bo' --reason 'Two images are blurred'",
    )
    register(group, "archive", archive, example=f"sgps review archive {uri} --reason 'Replaced'")
    register(group, "show", show, example=f"sgps review show {uri} --repair --json")
    app.add_typer(group, name="review")


def submit(
    model_uri: ModelArgument,
    reviewer: ReviewerOption = None,
    reason: ReasonOption = "",
    role: RoleOption = "",
    json: JsonFlag = False,
) -> None:
    """Ask for a review of a draft."""
    _take_step("submit_for_review", model_uri, reviewer, reason, role, json=json)


def approve(
    model_uri: ModelArgument,
    reviewer: ReviewerOption = None,
    reason: ReasonOption = "",
    role: RoleOption = "",
    json: JsonFlag = False,
) -> None:
    """Approve a version that waits for review; never one's own, and only with a reason.

    The alias 'approved' then stands for it.
    """
    _take_step("approve", model_uri, reviewer, reason, role, json=json)


def reject(
    model_uri: ModelArgument,
    reviewer: ReviewerOption = None,
    reason: ReasonOption = "",
    role: RoleOption = "",
    json: JsonFlag = False,
) -> None:
    """Reject a version that waits for review; never one's own, and only with a reason."""
    _take_step("reject", model_uri, reviewer, reason, role, json=json)


def archive(
    model_uri: ModelArgument,
    reviewer: ReviewerOption = None,
    reason: ReasonOption = "",
    role: RoleOption = "",
    json: JsonFlag = False,
) -> None:
    """Take a version out of use; there is no way back."""
    _take_step("archive", model_uri, reviewer, reason, role, json=json)


def show(
    model_uri: ModelArgument,
    repair: Annotated[
        bool, typer.Option("--repair", help="Bring MLflow to what the ledger says.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Show where a version stands and how it got there, by the ledger."""
    from sgps.service import open_workspace
    from sgps.service.review import repair_labels, state_of
    from sgps.settings import load_settings

    with open_workspace(load_settings()) as workspace:
        changes = repair_labels(model_uri, workspace) if repair else ()
        review = state_of(model_uri, workspace)
    for change in changes:
        say(f"repaired: {change}")
    _write(review, json=json)


def _take_step(
    step: str, model_uri: str, reviewer: str | None, reason: str, role: str, *, json: bool
) -> None:
    from sgps.service import open_workspace, review
    from sgps.service.parameters import name_of_user
    from sgps.settings import load_settings

    settings = load_settings()
    who = name_of_user(settings) if reviewer is None else reviewer
    with open_workspace(settings) as workspace:
        take = getattr(review, step)
        state = take(model_uri, workspace, reviewer=who, reason=reason, role=role)
    _write(state, json=json)


def _write(review: ReviewState, *, json: bool) -> None:
    if json:
        write_json(review.to_dict())
        return
    write_result(format_pairs({"model": review.model_uri, "state": review.state.words}))
    if not review.history:
        return
    rows = [
        [
            str(change.entry),
            change.time[:19],
            change.previous.words,
            change.state.words,
            change.who,
            " ".join(change.reason.split()),
        ]
        for change in review.history
    ]
    write_result("\n" + format_rows(["entry", "time", "from", "to", "who", "reason"], rows))
