"""Metrics of a training, batched."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgps.errors import StoreError
from sgps.registry import MetricLog
from sgps.registry._mlflow import MlflowClient


def open_log(tracking_uri: str, folder: Path, **options: str) -> MetricLog:
    return MetricLog(
        tracking_uri,
        run_name="first",
        parameters={"lr": 1e-4},
        tags={"generator": "g"},
        artifact_folder=folder,
        **options,
    )


def test_values_are_written_together(
    tracking_uri: str, artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_log(tracking_uri, artifact_folder) as log:
        batches: list[int] = []
        write = log._client.log_batch

        def counted(run_id: str, **parts: list[object]) -> None:
            batches.append(len(parts["metrics"]))
            write(run_id, **parts)

        monkeypatch.setattr(log._client, "log_batch", counted)
        for step in range(150):
            log({"loss": 1 / (step + 1), "accuracy": step / 150}, step)
    assert batches == [200, 100]
    client = MlflowClient(tracking_uri)
    run = client.get_run(log.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.0001"}
    assert run.data.tags["generator"] == "g"
    assert len(client.get_metric_history(log.run_id, "loss")) == 150


def test_a_training_that_fails_is_marked(tracking_uri: str, artifact_folder: Path) -> None:
    def train() -> None:
        with open_log(tracking_uri, artifact_folder) as log:
            log({"loss": float("nan")}, 1)
            runs.append(log.run_id)
            raise RuntimeError("out of memory")

    runs: list[str] = []
    with pytest.raises(RuntimeError, match="out of memory"):
        train()
    run = MlflowClient(tracking_uri).get_run(runs[0])
    assert run.info.status == "FAILED"
    assert "loss" in run.data.metrics


def test_a_resumed_training_goes_on_in_its_run(
    tracking_uri: str, artifact_folder: Path, tmp_path: Path
) -> None:
    with open_log(tracking_uri, artifact_folder) as first:
        first.log({"loss": 2.0}, 1)
    with open_log(tracking_uri, artifact_folder, run_id=first.run_id) as second:
        second.log({"loss": 1.0}, 2)
        (tmp_path / "note.txt").write_text("kept")
        second.log_file(tmp_path / "note.txt")
    assert second.run_id == first.run_id
    client = MlflowClient(tracking_uri)
    assert [m.value for m in client.get_metric_history(first.run_id, "loss")] == [2.0, 1.0]
    assert list(artifact_folder.rglob("note.txt"))


def test_a_store_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        MetricLog("http://127.0.0.1:9", run_name="x")
