"""Registered classifiers in MLflow: one registered model a task, one run a version."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgps.registry._artifact_files import load_classifier
from sgps.registry._discarding import delete_version, discard_run
from sgps.registry._experiments import find_experiment, is_server, mark_experiment
from sgps.registry._labels import DRAFT, VersionFacts, run_parameters, version_description
from sgps.registry._mlflow import MlflowClient, Param, RunTag
from sgps.registry._numbering import create_version
from sgps.registry._package_folder import (
    MODEL_FOLDER,
    write_documents,
    write_model,
)
from sgps.registry._reachability import (
    check_folder,
    check_reachable,
    open_client,
    quick_failure,
    store_errors,
)
from sgps.registry._request_runs import (
    RequestRun,
    find_request_runs,
    read_audit_record,
    versions_of_run,
)
from sgps.registry._searching import find_version, search_versions, summarise
from sgps.registry._tags import run_tags, search_tags
from sgps.registry.addresses import without_password
from sgps.registry.naming import model_name_for
from sgps.registry.package import ModelPackage
from sgps.registry.versions import UNFINISHED, RegisteredVersion, VersionSummary

if TYPE_CHECKING:
    from sgps.synthesizer.classifier import SynthesizedClassifier

EXPERIMENT = "sgps-synthesis"


class ModelRegistry:
    """The MLflow store at ``tracking_uri``; safe to share between threads.

    Nothing global of MLflow is set or read: every call names the store.

    Parameters
    ----------
    tracking_uri: address of the tracking store and registry.
    artifact_folder: where a store without a server keeps artifacts; None leaves it to the server.

    Raises
    ------
    StoreError: the store cannot be reached within a few seconds.
    """

    def __init__(self, tracking_uri: str, artifact_folder: Path | None = None) -> None:
        self._uri = tracking_uri
        self._artifact_folder = None if is_server(tracking_uri) else artifact_folder
        self._client = open_client(tracking_uri)
        self._numbering = threading.Lock()

    @property
    def tracking_uri(self) -> str:
        """The address, without a password."""
        return without_password(self._uri)

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client of this store, for the other modules of this room."""
        return self._client

    def check_writable(self) -> None:
        """Prove that a version could be registered now.

        Raises
        ------
        StoreError: it could not.
        """
        check_reachable(self._uri)
        if self._artifact_folder is not None:
            check_folder(self._artifact_folder)
        with store_errors(self._uri), quick_failure(), self._numbering:
            mark_experiment(self._client, self._experiment_id)

    def register(
        self,
        package: ModelPackage,
        *,
        unfinished: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> RegisteredVersion:
        """Store ``package`` as the next version of its task's model.

        Parameters
        ----------
        unfinished: keep it from being found, until
            :func:`~sgps.registry.finishing.finish_version` makes it a draft.
        progress: called with "store_artifacts" once the run is there, and with "create_version"
            once its artifacts are.

        The version appears last, when everything it points to is complete; on any error the run
        and its artifacts are removed again. A model made for it stays, without a version; an
        unfinished version that came about before the error does too, and is among
        :meth:`request_runs`.

        Raises
        ------
        StoreError: the store cannot be written.
        """
        name = model_name_for(package.task)
        tags = {**search_tags(package), "state": UNFINISHED if unfinished else DRAFT}
        told = progress or (lambda _step: None)
        with store_errors(self._uri), tempfile.TemporaryDirectory(prefix="sgps-") as scratch:
            folder = Path(scratch)
            write_documents(package, folder)
            run_id, artifact_uri = self._start_run(package, tags)
            place = {"run_id": run_id, "experiment_id": self._experiment_id}
            try:
                told("store_artifacts")
                description = version_description(package, tags["state"], **place)
                self._log_run(package, description, folder, run_id)
                told("create_version")
                source = f"{artifact_uri}/{MODEL_FOLDER}"
                with self._numbering:
                    version = create_version(
                        self._client,
                        name,
                        source=source,
                        run_id=run_id,
                        tags=tags,
                        description=description,
                    )
            except BaseException:
                if not (unfinished and self._may_have_version(run_id)):
                    self._discard(run_id)
                raise
        return RegisteredVersion(
            model_name=name,
            version=version,
            model_uri=f"models:/{name}/{version}",
            tracking_uri=self.tracking_uri,
            run_id=run_id,
        )

    def remove(self, registered: RegisteredVersion) -> None:
        """Take a version back, with its run and artifacts, as if it had not been registered.

        Raises
        ------
        StoreError: the store cannot be written.
        """
        self.discard_version(registered)
        self._discard(registered.run_id)

    def request_runs(
        self, request_id: str | None = None, *, deleted: bool = False
    ) -> list[RequestRun]:
        """What came of a request, or of all requests: versions, and runs that have none.

        ``deleted``: also runs that MLflow counts as deleted.

        Raises
        ------
        StoreError: the store cannot be read.
        """
        with store_errors(self._uri):
            place = (self._experiment_id, self.tracking_uri)
            return find_request_runs(self._client, *place, request_id, deleted=deleted)

    def discard(self, run: RequestRun) -> bool:
        """Remove a version, and its run with the artifacts unless another version is of that run.

        Whether all of it went; a run that did not is among :meth:`request_runs` again.

        Raises
        ------
        StoreError: the version cannot be deleted.
        """
        if run.version is not None:
            self.discard_version(run.version)
            with store_errors(self._uri):
                if versions_of_run(self._client, run.run_id):
                    return True
        return self._discard(run.run_id)

    def discard_version(self, version: RegisteredVersion) -> None:
        """Remove a version with its labels; its run stays.

        Raises
        ------
        StoreError: the store cannot be written.
        """
        with store_errors(self._uri):
            delete_version(self._client, version.model_name, version.version)

    def audit_record(self, run_id: str) -> dict[str, Any]:
        """The ``audit.json`` among the artifacts of a run.

        Raises
        ------
        IntegrityError: it is not there, or no JSON mapping.
        StoreError: the store cannot be read.
        """
        with store_errors(self._uri):
            return read_audit_record(self._client, self._uri, run_id)

    def load(self, model_uri: str, *, unfinished: bool = False) -> SynthesizedClassifier:
        """Load ``models:/name/version``, ``models:/name@alias`` or ``runs:/run_id/model``.

        ``unfinished``: load one that is not finished too.

        Raises
        ------
        UnknownNameError: there is no such version, alias or run, or it holds no classifier of ours.
        IntegrityError: its files are foreign or altered.
        StoreError: the store cannot be read.
        """
        with store_errors(self._uri):
            found = find_version(self._client, model_uri, unfinished=unfinished)
            return load_classifier(self._uri, str(found.source).rstrip("/"), model_uri)

    def search(
        self,
        *,
        model_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 100,
    ) -> list[VersionSummary]:
        """Versions of a model, or with all of ``tags`` (requester, task, state, ...), newest first.

        Unfinished ones are left out.

        Raises
        ------
        InputError: a value cannot be searched for.
        StoreError: the store cannot be read.
        """
        with store_errors(self._uri):
            found = search_versions(
                self._client, model_name=model_name, tags=tags or {}, limit=limit
            )
            return summarise(self._client, found)

    def describe(self, model_uri: str, *, unfinished: bool = False) -> VersionSummary:
        """The registered version that ``models:/...`` or ``runs:/...`` means.

        ``unfinished``: describe one that is not finished too.

        Raises
        ------
        UnknownNameError: there is no such version, alias or run.
        StoreError: the store cannot be read.
        """
        with store_errors(self._uri):
            found = find_version(self._client, model_uri, unfinished=unfinished)
            return summarise(self._client, [found])[0]

    @cached_property
    def _experiment_id(self) -> str:
        return find_experiment(self._client, EXPERIMENT, self._artifact_folder)

    def _start_run(self, package: ModelPackage, tags: Mapping[str, str]) -> tuple[str, str]:
        own = run_tags(VersionFacts.of_package(package))
        run = self._client.create_run(self._experiment_id, tags={**tags, **own})
        return run.info.run_id, run.info.artifact_uri

    def _log_run(self, package: ModelPackage, note: str, folder: Path, run_id: str) -> None:
        model = write_model(package, folder, run_id=run_id)
        history = json.dumps([model.get_tags_dict()])
        self._client.log_artifacts(run_id, str(folder))
        self._client.log_batch(
            run_id,
            params=[Param(key, value) for key, value in run_parameters(package).items()],
            tags=[RunTag("mlflow.log-model.history", history), RunTag("mlflow.note.content", note)],
        )
        self._client.set_terminated(run_id)

    def _may_have_version(self, run_id: str) -> bool:
        """Whether there is a version of a run, as far as the store answers."""
        with contextlib.suppress(Exception):
            return bool(versions_of_run(self._client, run_id))
        return True

    def _discard(self, run_id: str) -> bool:
        """Remove what a registration left, as far as that goes; whether all of it went."""
        with contextlib.suppress(Exception):
            discard_run(self._client, run_id)
            return True
        return False
