"""Meta-training a generator on stored datasets, its metrics in MLflow."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sgps.datasets import DescriptionLibrary, StoredDataset
from sgps.files import write_whole
from sgps.registry import MetricLog, ModelRegistry
from sgps.service._mlflow_accounts import sign_in_to_own_server
from sgps.service.datasets import open_datasets
from sgps.service.parameters import parse_request, read_section
from sgps.service.provenance import git_changed, git_commit
from sgps.service.training_data import (
    AllowedLicences,
    read_licences,
    record_licences,
    select_open,
)
from sgps.settings import Settings
from sgps.synthesizer.generator_folder import find_generator
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.synthesizer import choose_device
from sgps.training import (
    MetaTrainingConfig,
    MetaTrainingRun,
    MetricSink,
    digest_run,
    refit_head,
    write_known_classes,
)

SECTION = "train"
_TRACKING_FILE = "tracking.json"


class TrainingRequest(BaseModel):
    """What to train, on which datasets, and where to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(description="Folder of the run; one with a run in it is gone on with.")
    root: Path = Field(default=Path("data/shards"), description="Folder of the datasets.")
    datasets: tuple[str, ...] = Field(default=(), description="Datasets; none: all in the root.")
    descriptions: Path | None = Field(default=None, description="Folder of class descriptions.")
    name: str = Field(default="candidate", description="Name of the generator.")
    tracking: bool = Field(default=True, description="Log metrics to MLflow.")
    licences: AllowedLicences = Field(
        default="all", description="all, or open: train on openly licensed datasets only."
    )
    licence_table: Path | None = Field(
        default=None, description="YAML with licences; default: data/licences.yaml."
    )
    config: MetaTrainingConfig = Field(default_factory=MetaTrainingConfig)


@dataclass(frozen=True)
class TrainingReceipt:
    """Where the generator is and how good it is on the validation episodes."""

    checkpoint: str
    generator_sha256: str
    best_accuracy: float
    best_episode: int
    episodes_done: int
    seconds: float
    run_id: str


def read_training_config(path: Path | None, overrides: Mapping[str, Any]) -> MetaTrainingConfig:
    """Training settings of a YAML file's section ``train``, changed by ``overrides``.

    overrides: by name, a dotted one for a field of the generator; None leaves it as it is.

    Raises
    ------
    InputError: the file cannot be read, or a setting is unknown or of the wrong form.
    """
    values = read_section(path, SECTION) if path is not None else {}
    for name, value in overrides.items():
        if value is None:
            continue
        *parents, last = name.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return parse_request(MetaTrainingConfig, values)


def restrict_to_licences(request: TrainingRequest) -> tuple[TrainingRequest, tuple[str, ...]]:
    """The request with the datasets that its licences allow, and a line on those left out.

    Without a restriction the request as it is.

    Raises
    ------
    UserError: a dataset or the table of licences; no dataset to train on is left.
    """
    if request.licences == "all":
        return request, ()
    datasets = open_datasets(request.root, request.datasets)
    table = read_licences(request.licence_table)
    selected = select_open(datasets, table, request.config.train_roles)
    return request.model_copy(update={"datasets": selected.kept}), selected.notices()


def in_folder_of_its_own(request: TrainingRequest) -> TrainingRequest:
    """The same training in a sub-folder named by all that decides what it does.

    A schedule needs this: where data, texts or settings changed, a run of its own begins; where
    nothing did, the finished one is found.
    """
    request, _ = restrict_to_licences(request)
    datasets = open_datasets(request.root, request.datasets)
    digest = digest_run(request.config, datasets, _read_descriptions(request))
    return request.model_copy(update={"folder": request.folder / digest[:12]})


def _read_descriptions(request: TrainingRequest) -> DescriptionLibrary | None:
    return DescriptionLibrary.load(request.descriptions) if request.descriptions else None


def train_generator(
    request: TrainingRequest,
    settings: Settings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingReceipt:
    """Meta-train a generator, or go on with the run in ``request.folder``.

    Raises
    ------
    UserError: datasets, licences, settings or stores; a run already begun can be gone on with.
    """
    request, _ = restrict_to_licences(request)
    datasets = open_datasets(request.root, request.datasets)
    descriptions = _read_descriptions(request)

    def advance(done: int, total: int, _status: str) -> None:
        if progress is not None:
            progress(done, total)

    run = MetaTrainingRun(
        request.config,
        datasets,
        descriptions,
        request.folder,
        name=request.name,
        provenance=_provenance(request, datasets),
    )
    with _metric_log(request, settings, datasets) as log:
        result = run.go_on(metrics=log, progress=advance)
    if request.config.pretrained:
        write_known_classes(
            result.checkpoint,
            datasets,
            device=run.device,
            allow_downloads=request.config.allow_downloads,
        )
    return TrainingReceipt(
        checkpoint=str(result.checkpoint),
        generator_sha256=result.generator_sha256,
        best_accuracy=result.best_accuracy,
        best_episode=result.best_episode,
        episodes_done=result.episodes_done,
        seconds=result.seconds,
        run_id=log.run_id if isinstance(log, MetricLog) else "",
    )


def add_known_classes(
    generator: str | Path,
    root: Path,
    settings: Settings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> KnownClasses | None:
    """Write the classes that a generator knows beside it, from the datasets it was trained on.

    None where the generator writes a body for each task, which has none.

    Raises
    ------
    UserError: there is no such generator; a dataset of its training is missing or another one; the
        folder of the generator cannot be written.
    """
    return write_known_classes(
        find_generator(generator),
        open_datasets(root),
        device=choose_device(settings.device),
        allow_downloads=settings.allow_downloads,
        progress=progress,
    )


@dataclass(frozen=True)
class RefitReceipt:
    """Where the generator is whose head was fitted anew, and how good it is on validation."""

    checkpoint: str
    generator_sha256: str
    validation_accuracy: float
    known_classes: int


def refit_generator(
    generator: str | Path,
    request: TrainingRequest,
    settings: Settings,
    *,
    progress: Callable[[int, int], None],
) -> RefitReceipt:
    """Fit a generator's head anew to the body that it has, and write it to ``request.folder``.

    Raises
    ------
    UserError: there is no such generator; its training had other settings or datasets; the folder
        holds a run of other settings or cannot be written.
    """
    datasets = open_datasets(request.root, request.datasets)
    sha256, scores = refit_head(
        find_generator(generator),
        request.config,
        datasets,
        _read_descriptions(request),
        request.folder,
        provenance=_code(),
        progress=progress,
    )
    known = None
    if request.config.pretrained:
        known = add_known_classes(request.folder, request.root, settings)
    return RefitReceipt(
        checkpoint=str(request.folder),
        generator_sha256=sha256,
        validation_accuracy=scores.accuracy,
        known_classes=len(known.names) if known else 0,
    )


def _code() -> dict[str, Any]:
    return {"git_commit": git_commit(), "git_changed": git_changed()}


def _provenance(request: TrainingRequest, datasets: list[StoredDataset]) -> dict[str, Any]:
    table = read_licences(request.licence_table)
    roles = (*request.config.train_roles, *request.config.validation_roles)
    return {
        "code": _code(),
        **record_licences(datasets, table, request.licences, roles),
    }


@contextlib.contextmanager
def _metric_log(
    request: TrainingRequest, settings: Settings, datasets: list[StoredDataset]
) -> Iterator[MetricSink | None]:
    if not request.tracking:
        yield None
        return
    sign_in_to_own_server(settings)
    uri = settings.resolved_tracking_uri
    remembered = request.folder / _TRACKING_FILE
    log = MetricLog(
        uri,
        run_name=request.name,
        parameters={
            **request.config.record(),
            "datasets": {dataset.name: dataset.digest for dataset in datasets},
        },
        artifact_folder=settings.artifact_folder,
        run_id=_remembered_run(remembered, ModelRegistry(uri).tracking_uri),
    )
    with log:
        run = {"tracking_uri": log.tracking_uri, "run_id": log.run_id}
        write_whole(remembered, json.dumps(run))
        yield log


def _remembered_run(path: Path, uri: str) -> str | None:
    if not path.is_file():
        return None
    remembered = json.loads(path.read_text())
    return str(remembered["run_id"]) if remembered.get("tracking_uri") == uri else None
