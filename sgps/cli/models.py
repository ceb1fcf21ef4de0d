"""``sgps synthesize``, ``sgps predict`` and ``sgps models``."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sgps.cli.output import format_pairs, format_rows, say, write_json, write_result
from sgps.cli.registration import DeviceOption, JsonFlag, register

if TYPE_CHECKING:
    from sgps.service import Prediction

RECEIPT_FIELDS = (
    "request_id",
    "model_name",
    "version",
    "model_uri",
    "tracking_uri",
    "run_id",
    "weights_sha256",
    "seconds",
)


def add_commands(app: typer.Typer) -> None:
    """Add ``synthesize``, ``predict`` and ``models``."""
    register(
        app,
        "synthesize",
        synthesize,
        example="sgps synthesize task.yaml --requester 'Dr. Ada' --purpose triage-study\n"
        "sgps synthesize photos/moles --task moles --json",
    )
    register(
        app,
        "predict",
        predict,
        example="sgps predict models:/moles/1 lesion.jpg other.png --json",
    )
    group = typer.Typer(
        cls=_ListsByDefault,
        help="List registered model versions, or export one. 'sgps models [NAME]' is short for"
        " 'sgps models list [NAME]'.",
        epilog="\b\nExample:\n  sgps models moles --requester 'Dr. Ada' --json\n"
        "  sgps models export models:/moles/1 --onnx moles.onnx",
        rich_markup_mode=None,
    )
    register(
        group,
        "list",
        models,
        example="sgps models list\nsgps models moles --requester 'Dr. Ada' --json",
    )
    register(
        group,
        "export",
        export,
        example="sgps models export models:/moles/1 --onnx moles.onnx --compact moles-compact",
    )
    app.add_typer(group, name="models")


class _ListsByDefault(TyperGroup):
    """``sgps models [NAME] ...`` stands for ``sgps models list [NAME] ...``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        named = first in self.commands or first in ctx.help_option_names
        return super().parse_args(ctx, args if named else ["list", *args])


def synthesize(
    task_path: Annotated[
        Path,
        typer.Argument(metavar="TASK.yaml|FOLDER", help="Task file, or folder of class folders."),
    ],
    requester: Annotated[
        str | None, typer.Option(help="Who asks; default: as the file says, or the login name.")
    ] = None,
    purpose: Annotated[str | None, typer.Option(help="Why; default: as the file says.")] = None,
    task: Annotated[
        str | None, typer.Option(help="Title; default: as the file says, or the folder's name.")
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="Generator: name or path; default: SGPS_GENERATOR.")
    ] = None,
    device: DeviceOption = None,
    key: Annotated[
        str | None,
        typer.Option(help="Idempotency key; default: the same request gives the same version."),
    ] = None,
    remote: Annotated[
        bool, typer.Option("--remote", help="Let the Prefect deployment of 'sgps up' do it.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Synthesize a classifier and register it.

    The request is a task file (task, requester, purpose, classes: name, description, images), or
    a folder with a folder of images a class. The model is registered with its support images,
    texts, card and audit record. The same request, sent again, gives the same version. While the
    registry is down, a request is accepted; sgps reconcile finishes it.
    """
    from sgps.service import RequesterIdentity, open_workspace, synthesize_once
    from sgps.service.identity import login_of_process
    from sgps.service.parameters import read_synthesis_request
    from sgps.settings import load_settings, override_settings

    settings = override_settings(load_settings(), generator=generator, device=device)
    request = read_synthesis_request(
        task_path, settings, task=task, requester=requester, purpose=purpose
    )
    if remote:
        from flows.remote import synthesize_remotely

        facts = synthesize_remotely(request, settings, generator=generator or "", key=key or "")
        warnings = facts.get("warnings", ())
    else:
        identity = RequesterIdentity(request.requester, login=login_of_process())
        with open_workspace(settings) as workspace:
            receipt = synthesize_once(
                request, workspace, key=key, identity=identity, progress=None if json else _tell
            )
        facts, warnings = asdict(receipt), receipt.warnings
    for warning in warnings:
        say(f"warning: {warning}")
    facts = {name: facts[name] for name in RECEIPT_FIELDS}
    if json:
        write_json(facts)
    else:
        write_result(format_pairs(facts))


def _tell(step: str) -> None:
    say(step.replace("_", " "))


def predict(
    model_uri: Annotated[
        str,
        typer.Argument(
            help="models:/<name>/<version>, models:/<name>@approved or runs:/<id>/model."
        ),
    ],
    images: Annotated[list[str], typer.Argument(help="Image files.")],
    who: Annotated[
        str | None,
        typer.Option(help="Who predicts, for the ledger; default: SGPS_REQUESTER or login name."),
    ] = None,
    record_access: Annotated[
        bool,
        typer.Option(
            "--record-access/--no-record-access", help="Keep in the ledger that the model was used."
        ),
    ] = True,
    json: JsonFlag = False,
) -> None:
    """Classify images with a registered model.

    Warns of a model that is not approved, and refuses one whose bytes are not those recorded. The
    note says where it is not sure, and where an image may be foreign to the task, with the class
    known from the generator's training that it resembles most: a hint, not a diagnosis.
    """
    from sgps.service import predict_images
    from sgps.service.parameters import name_of_user
    from sgps.settings import load_settings

    settings = load_settings()
    name = name_of_user(settings) if who is None else who
    with _warnings_said():
        predictions = predict_images(
            model_uri, images, settings, who=name, record_access=record_access
        )
    if json:
        write_json({"predictions": [prediction.to_dict() for prediction in predictions]})
        return
    rows = [
        [
            item.image,
            item.label,
            f"{item.probabilities[item.label]:.3f}",
            _note(item),
        ]
        for item in predictions
    ]
    write_result(format_rows(["image", "label", "probability", "note"], rows))


def _note(prediction: Prediction) -> str:
    """What to mind about one answer; empty where there is nothing."""
    notes = ["not sure"] if prediction.abstains else []
    if prediction.foreign:
        notes.append(f"may be of no class of this task: resembles {prediction.resembles}")
    return "; ".join(notes)


@contextlib.contextmanager
def _warnings_said() -> Iterator[None]:
    """What prediction warns of, one line each for the person who waits."""
    handler = _SayingHandler(logging.WARNING)
    log = logging.getLogger("sgps.prediction")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _SayingHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"{record.levelname.lower()}: {record.getMessage()}")


def models(
    name: Annotated[str | None, typer.Argument(help="Model; default: all.")] = None,
    requester: Annotated[str | None, typer.Option(help="Only those asked for by this one.")] = None,
    task: Annotated[str | None, typer.Option(help="Only those of the task of this title.")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only draft, pending_review, approved, rejected or archived ones."),
    ] = None,
    generator: Annotated[str | None, typer.Option(help="Only those of this generator.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    json: JsonFlag = False,
) -> None:
    """List registered model versions, newest first."""
    from sgps.service import open_workspace
    from sgps.settings import load_settings

    wanted = {"requester": requester, "task": task, "state": state, "generator": generator}
    tags = {tag: value for tag, value in wanted.items() if value is not None}
    with open_workspace(load_settings()) as workspace:
        found = workspace.registry.search(model_name=name, tags=tags, limit=limit)
    if json:
        write_json([asdict(version) for version in found])
        return
    rows = [
        [
            one.model_uri,
            one.created,
            one.requester,
            one.state.replace("_", " "),
            one.generator,
            one.weights_sha256[:12],
        ]
        for one in found
    ]
    header = ["model", "created", "requester", "state", "generator", "weights"]
    write_result(format_rows(header, rows))


def export(
    model_uri: Annotated[str, typer.Argument(help="models:/<name>/<version>.")],
    onnx: Annotated[
        Path | None, typer.Option("--onnx", help="Write an ONNX file here; needs sgps[onnx].")
    ] = None,
    compact: Annotated[
        Path | None,
        typer.Option("--compact", help="Write the compact form into this folder."),
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(help="Generator that made it, for --compact; default: SGPS_GENERATOR."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Write a registered model for use elsewhere.

    The ONNX file takes uint8 RGB images (any number, 3, R, R) and gives logits; its metadata names
    the classes. The compact form is small and is expanded by the generator that made the model.
    """
    from sgps.service.export import export_version
    from sgps.settings import load_settings, override_settings

    settings = override_settings(load_settings(), generator=generator)
    facts = export_version(model_uri, settings, onnx=onnx, compact=compact).to_dict()
    if json:
        write_json(facts)
    else:
        write_result(format_pairs(facts))
