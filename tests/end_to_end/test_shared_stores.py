"""`sgps up` on stores that several machines share: PostgreSQL for databases, S3 for files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from running import KINDS, running_system, sgps, write_task

pytestmark = [pytest.mark.postgres, pytest.mark.s3]

BUCKET = "sgps-models"


@pytest.fixture(scope="module")
def bucket(s3_server: dict[str, str]) -> Any:
    """The bucket of the models."""
    import boto3

    session = boto3.Session(
        aws_access_key_id=s3_server["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=s3_server["AWS_SECRET_ACCESS_KEY"],
        region_name=s3_server["AWS_DEFAULT_REGION"],
    )
    store = session.resource("s3", endpoint_url=s3_server["AWS_ENDPOINT_URL"])
    return store.create_bucket(Bucket=BUCKET)


@pytest.fixture(scope="module")
def databases(postgresql_server: str) -> dict[str, str]:
    """A fresh database for each store that has one."""
    names = {name: f"shared_{name}_{os.getpid()}" for name in ("ledger", "mlflow")}
    with psycopg.connect(f"{postgresql_server}/postgres", autocommit=True) as connection:
        for name in names.values():
            connection.execute(f"CREATE DATABASE {name}")
    return {name: f"{postgresql_server}/{database}" for name, database in names.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def system(
    folder: Path,
    bucket: Any,
    databases: dict[str, str],
    s3_server: dict[str, str],
    untrained_generator: Path,
) -> Iterator[dict[str, str]]:
    """Environment of a system that runs on the shared stores, and of its clients."""
    settings = {
        "SGPS_GENERATOR": str(untrained_generator),
        "SGPS_LEDGER_URL": databases["ledger"],
        "SGPS_TRACKING_DATABASE_URL": databases["mlflow"],
        "SGPS_ARTIFACT_URI": f"s3://{bucket.name}/models",
        **s3_server,
    }
    with running_system(folder, settings, "--no-prefect") as environment:
        tracking = f"http://127.0.0.1:{environment['SGPS_MLFLOW_PORT']}"
        yield environment | {"SGPS_TRACKING_URI": tracking}


@pytest.fixture(scope="module")
def made(system: dict[str, str], folder: Path) -> dict[str, Any]:
    """Receipt of a version."""
    return _synthesize(system, folder / "one", "In the bucket")


def test_a_version_lies_in_the_bucket_and_predicts(
    system: dict[str, str], folder: Path, bucket: Any, made: dict[str, Any]
) -> None:
    keys = [item.key for item in bucket.objects.all() if made["run_id"] in item.key]
    assert any(key.endswith("classifier.safetensors") for key in keys)
    assert not list((folder / "home").rglob("classifier.safetensors"))
    picture = folder / "one" / f"{KINDS[0]}.png"
    predicted = sgps(system, "predict", made["model_uri"], str(picture), cwd=folder)
    assert predicted.returncode == 0, predicted.stderr


def test_a_file_altered_in_the_bucket_is_named(
    system: dict[str, str], folder: Path, bucket: Any, made: dict[str, Any]
) -> None:
    [weights] = [
        item
        for item in bucket.objects.filter(Prefix="models/")
        if made["run_id"] in item.key and item.key.endswith("classifier/classifier.safetensors")
    ]
    original = weights.get()["Body"].read()
    assert sgps(system, "audit", "verify", cwd=folder).returncode == 0
    weights.put(Body=original[:-1] + bytes([original[-1] ^ 1]))
    try:
        found = sgps(system, "audit", "verify", cwd=folder)
        assert found.returncode == 2
        assert "classifier.safetensors" in found.stdout + found.stderr
        assert made["model_name"] in found.stdout + found.stderr
        picture = folder / "one" / f"{KINDS[0]}.png"
        refused = sgps(system, "predict", made["model_uri"], str(picture), cwd=folder)
        assert refused.returncode == 2, refused.stdout
        assert "does not match" in refused.stderr
    finally:
        weights.put(Body=original)


def test_an_erased_version_leaves_the_bucket(
    system: dict[str, str], folder: Path, bucket: Any
) -> None:
    made = _synthesize(system, folder / "two", "Erased from the bucket")
    erase = ("--model", made["model_uri"], "--reason", "asked for", "--by", "Dr. Bo", "--yes")
    erased = sgps(system, "audit", "erase", *erase, cwd=folder)
    assert erased.returncode == 0, erased.stderr
    left = [item.key for item in bucket.objects.all() if made["run_id"] in item.key]
    assert not [key for key in left if key.endswith((".safetensors", ".png", ".txt"))]
    verified = sgps(system, "audit", "verify", cwd=folder)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_no_password_is_written_to_a_log(system: dict[str, str], folder: Path) -> None:
    logs = list((folder / "home").rglob("*.log"))
    assert logs
    for log in logs:
        text = log.read_text(errors="replace")
        assert "not-to-be-shown" not in text, log
    assert system["AWS_SECRET_ACCESS_KEY"].startswith("not-to-be-shown")


def _synthesize(environment: dict[str, str], folder: Path, title: str) -> dict[str, Any]:
    task = write_task(folder, title)
    made = sgps(environment, "synthesize", str(task), "--json", cwd=folder)
    assert made.returncode == 0, made.stderr
    return dict(json.loads(made.stdout))
