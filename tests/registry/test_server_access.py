"""What a reader may ask of MLflow's API."""

from __future__ import annotations

import importlib

import pytest

from sgps.registry.server_access import AUTHORIZATION_FUNCTION, reads


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/2.0/mlflow/registered-models/get", True),
        ("HEAD", "/health", True),
        ("POST", "/api/2.0/mlflow/runs/search", True),
        ("POST", "/ajax-api/2.0/mlflow/runs/search/", True),
        ("POST", "/graphql", True),
        ("POST", "/api/2.0/mlflow/registered-models/create", False),
        ("POST", "/api/2.0/mlflow/registered-models/alias", False),
        ("DELETE", "/api/2.0/mlflow/registered-models/search", False),
        ("PATCH", "/api/2.0/mlflow/model-versions/update", False),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/search", False),
        ("POST", "/api/2.0/mlflow/runs/log-batch", False),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create/1/model/search", False),
    ],
)
def test_a_reader_searches_and_changes_nothing(method: str, path: str, expected: bool) -> None:
    assert reads(method, path) is expected


def test_the_function_is_where_its_name_says() -> None:
    module, _, name = AUTHORIZATION_FUNCTION.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
