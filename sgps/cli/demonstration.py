"""``sgps demo``: from drawn images to a registered classifier, through the flows."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgps.cli.output import format_pairs, say, write_json, write_result
from sgps.cli.registration import JsonFlag, register

if TYPE_CHECKING:
    from sgps.datasets import StoredDataset
    from sgps.settings import Settings

DATASET = "phantom"
CLASSES = ("reticular_nevus", "melanoma", "basal_cell_carcinoma", "angioma")
IMAGES_PER_CLASS = 25
IMAGE_SIDE = 128
QUERIES = 15


def add_commands(app: typer.Typer) -> None:
    """Add ``demo``."""
    register(app, "demo", demo, example="sgps demo\nsgps demo --shots 1 --json")


def demo(
    shots: Annotated[int, typer.Option(min=1, max=10, help="Support images a class.")] = 5,
    json: JsonFlag = False,
) -> None:
    """Run the whole path once on drawn images.

    Drawn lesions are ingested and validated, a classifier is synthesized from a few of them and
    registered, and it classifies others. Nothing is downloaded; everything lies under SGPS_HOME.
    """
    from sgps.settings import apply_flow_defaults, load_settings, require_writable

    settings = load_settings()
    require_writable(settings.home_folder)
    apply_flow_defaults(log_level="WARNING")
    folder = settings.home_folder / "demo"
    receipt, validation = _run_flows(folder, shots)
    accuracy, predictions = _predict(folder, shots, receipt["model_uri"], settings)
    facts = {
        "model_uri": receipt["model_uri"],
        "version": receipt["version"],
        "weights_sha256": receipt["weights_sha256"],
        "seconds": receipt["seconds"],
        "accuracy": accuracy,
        "predictions": predictions,
        "validation_report": validation["report"],
        "task_file": str(folder / "task.yaml"),
        "tracking_uri": receipt["tracking_uri"],
        "ledger": str(settings.home_folder / "ledger.db"),
    }
    if json:
        write_json(facts)
    else:
        _print_facts(facts, settings)


def _run_flows(folder: Path, shots: int) -> tuple[dict[str, Any], dict[str, Any]]:
    from flows.running import local_session
    from flows.synthesize import synthesize
    from flows.validate_data import ValidationRequest, validate_data
    from sgps.datasets import StoredDataset
    from sgps.service import SynthesisRequest
    from sgps.service.datasets import SourceRequest

    options = {"images_per_class": IMAGES_PER_CLASS, "size": IMAGE_SIDE, "classes": list(CLASSES)}
    source = SourceRequest(name=DATASET, kind="phantom", options=options)
    root = folder / "shards"
    with local_session():
        say("1 of 3  drawing and validating lesions (flow validate_data)")
        validation = validate_data(
            ValidationRequest(
                root=root,
                datasets=(DATASET,),
                sources=(source,),
                report=folder / "validation.html",
            )
        )
        say("2 of 3  synthesizing and registering a classifier (flow synthesize)")
        task_file = _write_task(folder, StoredDataset.open(root / DATASET), shots)
        receipt = synthesize(SynthesisRequest.from_yaml(task_file))
    return receipt, validation


def _write_task(folder: Path, dataset: StoredDataset, shots: int) -> Path:
    import yaml

    from sgps.datasets import PHANTOM_CLASSES

    classes = [
        {
            "name": label,
            "description": PHANTOM_CLASSES[label],
            "images": [
                str(_write_image(folder, dataset, row).relative_to(folder))
                for row in _rows(dataset, label)[:shots]
            ],
        }
        for label in CLASSES
    ]
    task = {
        "task": "Demo: drawn lesions",
        "requester": "sgps demo",
        "purpose": "To see the whole path work; drawn images, not for clinical use.",
        "classes": classes,
    }
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(task, sort_keys=False, width=100), encoding="utf-8")
    return path


def _predict(
    folder: Path, shots: int, model_uri: str, settings: Settings
) -> tuple[float, list[dict[str, Any]]]:
    from sgps.datasets import StoredDataset
    from sgps.service import predict_images
    from sgps.service.parameters import name_of_user

    say("3 of 3  classifying other lesions")
    dataset = StoredDataset.open(folder / "shards" / DATASET)
    truth = [
        (_write_image(folder, dataset, row), label)
        for label in CLASSES
        for row in _rows(dataset, label)[shots : shots + QUERIES]
    ]
    paths = [path for path, _ in truth]
    predictions = predict_images(model_uri, paths, settings, who=name_of_user(settings))
    right = [one.label == label for one, (_, label) in zip(predictions, truth, strict=True)]
    return sum(right) / len(right), [prediction.to_dict() for prediction in predictions]


def _rows(dataset: StoredDataset, label: str) -> list[int]:
    return [int(row) for row in dataset.frame.index[dataset.frame["label"] == label]]


def _write_image(folder: Path, dataset: StoredDataset, row: int) -> Path:
    path = folder / "images" / str(dataset.frame["file"].iloc[row])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dataset.png_bytes(row))
    return path


def _print_facts(facts: dict[str, Any], settings: Settings) -> None:
    count = len(facts["predictions"])
    mlflow = shlex.quote(str(Path(sys.executable).with_name("mlflow")))
    store = shlex.quote(settings.resolved_tracking_uri)
    sgps = shlex.quote(str(Path(sys.argv[0])))
    image = shlex.quote(facts["predictions"][0]["image"])
    shown = {
        "model": facts["model_uri"],
        "weights": facts["weights_sha256"],
        "made in": f"{facts['seconds']:.1f} s",
        "accuracy": f"{100 * facts['accuracy']:.0f} % of {count} lesions it had not seen",
        "validation report": facts["validation_report"],
        "task file": facts["task_file"],
        "everything else": str(settings.home_folder),
        "classify an image": f"{sgps} predict {facts['model_uri']} {image}",
        "see the model": f"{mlflow} ui --backend-store-uri {store} --port 5000",
        "see the record": f"{sgps} audit list",
    }
    write_result(format_pairs(shown))
