"""Metrics of a training in MLflow, written in batches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from sgps.errors import StoreError
from sgps.registry._experiments import find_experiment, is_server
from sgps.registry._mlflow import Metric, Param
from sgps.registry._reachability import (
    open_client,
    quick_failure,
    store_errors,
)
from sgps.registry.addresses import without_password

TRAINING_EXPERIMENT = "sgps-training"
_BATCH = 200
_SECONDS_BETWEEN_WRITES = 10.0


class MetricLog:
    """One MLflow run that a training writes to; a context manager, callable as a metric sink.

    Values are kept and written together: at every 200 values, every 10 seconds, and at the end.
    The run ends as FINISHED, or as FAILED where the block raises.

    Parameters
    ----------
    tracking_uri: address of the tracking store.
    run_name: title of the run.
    parameters: what the tracking UI compares runs by.
    tags: what it searches by.
    artifact_folder: where a store without a server keeps artifacts.
    run_id: a run to go on with after a resume, instead of a new one.

    Raises
    ------
    StoreError: the store cannot be used (here, and wherever values are written).
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        run_name: str,
        parameters: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
        experiment: str = TRAINING_EXPERIMENT,
        artifact_folder: Path | None = None,
        run_id: str | None = None,
    ) -> None:
        self._uri = tracking_uri
        self._waiting: list[Metric] = []
        self._written_at = time.monotonic()
        self._client = open_client(tracking_uri)
        with store_errors(tracking_uri), quick_failure():
            if run_id is None:
                folder = None if is_server(tracking_uri) else artifact_folder
                experiment_id = find_experiment(self._client, experiment, folder)
                run = self._client.create_run(
                    experiment_id, run_name=run_name, tags=dict(tags or {})
                )
                run_id = run.info.run_id
            else:
                self._client.update_run(run_id, status="RUNNING")
            self.run_id: str = run_id
            params = [Param(key, str(value)[:6_000]) for key, value in (parameters or {}).items()]
            self._client.log_batch(self.run_id, params=params)

    @property
    def tracking_uri(self) -> str:
        """The address, without a password."""
        return without_password(self._uri)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep the values of one step, and write all that wait where it is time to."""
        now = int(time.time() * 1000)
        self._waiting += [
            Metric(key, float(value), timestamp=now, step=step) for key, value in metrics.items()
        ]
        late = time.monotonic() - self._written_at > _SECONDS_BETWEEN_WRITES
        if late or len(self._waiting) >= _BATCH:
            self.flush()

    __call__ = log

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Store a file among the run's artifacts."""
        with store_errors(self._uri):
            self._client.log_artifact(self.run_id, str(path), folder)

    def flush(self) -> None:
        """Write every value that waits."""
        with store_errors(self._uri):
            for start in range(0, len(self._waiting), 1_000):
                batch = self._waiting[start : start + 1_000]
                self._client.log_batch(self.run_id, metrics=batch)
        self._waiting = []
        self._written_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A store that fails while another error is on its way must not hide that error.
        with contextlib.suppress(StoreError) if error else contextlib.nullcontext():
            self.flush()
            with store_errors(self._uri):
                self._client.set_terminated(self.run_id, status="FAILED" if error else "FINISHED")
