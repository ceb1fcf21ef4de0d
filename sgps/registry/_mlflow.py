"""The one place that imports MLflow: its telemetry is off before it starts, its chatter unheard."""

from __future__ import annotations

import os
import warnings
from typing import Any

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}.items():
    os.environ.setdefault(_name, _value)

with warnings.catch_warnings():
    # MLflow warns about its own type hints while it is imported.
    warnings.simplefilter("ignore")
    import mlflow.pyfunc as mlflow_pyfunc
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts
    from mlflow.entities import Metric, Param, RunTag, ViewType
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model, ModelSignature
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    from mlflow.types.schema import ColSpec, DataType, Schema, TensorSpec

__all__ = [
    "ColSpec",
    "DataType",
    "LocalArtifactRepository",
    "Metric",
    "MlflowClient",
    "MlflowException",
    "Model",
    "ModelSignature",
    "ModelVersion",
    "Param",
    "RunTag",
    "Schema",
    "TensorSpec",
    "ViewType",
    "download_artifacts",
    "get_artifact_repository",
    "mlflow_pyfunc",
    "upgrade_tables",
]


def upgrade_tables(uri: str) -> None:
    """Make or upgrade the tables of a database as ``mlflow db upgrade`` does, and let go of it."""
    from mlflow.store.db import utils as untyped  # noqa: PLC0415  (loads the models of all tables)

    utils: Any = untyped
    engine = utils.create_sqlalchemy_engine_with_retry(uri)
    try:
        empty = utils._is_empty_database(engine)
        (utils._initialize_tables if empty else utils._upgrade_db)(engine)
    finally:
        engine.dispose()
