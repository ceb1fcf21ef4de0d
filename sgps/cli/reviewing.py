"""``sgps review``: submit, approve, reject, archive and show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from sgps.cli.output import format_pairs, format_rows, say, write_json, write_result
from sgps.cli.registration import JsonFlag, register

if TYPE_CHECKING:
    from sgps.service.review import ReviewState, StateChange

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

_UNPROVED = (
    "The record says that the name was not proved, and with which login this was typed; on the"
    " page reviewers sign in."
)
_VERBS = {
    "submit": ("submit_for_review", "Ask for a review of a draft.", "--reason 'For ward 3'"),
    "approve": (
        "approve",
        "Approve a version that waits for review; never one's own, and only with a reason.\n\n"
        "The alias 'approved' then stands for it. The login that typed the request is refused.",
        "--reviewer 'Dr. Bo' --reason 'Looked at 50 cases'",
    ),
    "reject": (
        "reject",
        "Reject a version that waits for review; never one's own, and only with a reason.\n\n"
        "The login that typed the request is refused.",
        "--reviewer 'Dr. Bo' --reason 'Two images are blurred'",
    ),
    "archive": (
        "archive",
        "Take a version out of use; there is no way back.",
        "--reason 'Replaced'",
    ),
}
"""By command: the step it takes, what its help says, the options of its example."""


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
    for verb, (step, text, options) in _VERBS.items():
        example = f"sgps review {verb} {uri} {options}"
        register(group, verb, _command(step, text), example=example)
    register(group, "show", show, example=f"sgps review show {uri} --repair --json")
    app.add_typer(group, name="review")


def _command(step: str, text: str) -> Callable[..., None]:
    """A command that takes ``step``, a function of :mod:`sgps.service.review`."""

    def take(
        model_uri: ModelArgument,
        reviewer: ReviewerOption = None,
        reason: ReasonOption = "",
        role: RoleOption = "",
        json: JsonFlag = False,
    ) -> None:
        _take_step(step, model_uri, reviewer, reason, role, json=json)

    take.__doc__ = f"{text}\n\n{_UNPROVED}"
    return take


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
    from sgps.service.identity import login_of_process
    from sgps.service.parameters import name_of_user
    from sgps.settings import load_settings

    settings = load_settings()
    who = name_of_user(settings) if reviewer is None else reviewer
    with open_workspace(settings) as workspace:
        take = getattr(review, step)
        state = take(
            model_uri,
            workspace,
            reviewer=who,
            reason=reason,
            role=role,
            login=login_of_process(),
        )
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
            _proof(change),
            " ".join(change.reason.split()),
        ]
        for change in review.history
    ]
    header = ["entry", "time", "from", "to", "who", "proof", "reason"]
    write_result("\n" + format_rows(header, rows))


def _proof(change: StateChange) -> str:
    """How the name of whoever took a step was proved."""
    if change.authentication not in ("", "none"):
        return f"signed in ({change.authentication})"
    return f"none (login {change.login})" if change.login else "none"
