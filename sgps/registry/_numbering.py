"""The next version of a model, whoever else asks for one at the same time."""

from __future__ import annotations

import time
from collections.abc import Mapping

from sgps.registry._experiments import ALREADY_EXISTS
from sgps.registry._mlflow import MlflowClient, MlflowException

_ATTEMPTS = 6
_PAUSE_SECONDS = 0.05
_FINAL = ("INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "UNAUTHENTICATED")


def create_version(
    client: MlflowClient,
    name: str,
    *,
    source: str,
    run_id: str,
    tags: Mapping[str, str],
    description: str,
) -> str:
    """Create the next version of ``name``, and the model where it is missing; its number.

    Another process may take the number at any moment: then it is tried again. A version of this
    run that is there already is the answer. A model stays when it has no version left: to MLflow,
    deleting it means every version, also one that another process makes just then.

    Raises
    ------
    MlflowException: it failed every time.
    """
    for attempt in range(_ATTEMPTS):
        try:
            _require_model(client, name, tags["task"])
            return str(
                client.create_model_version(
                    name,
                    source=source,
                    run_id=run_id,
                    tags=dict(tags),
                    description=description,
                    await_creation_for=0,
                ).version
            )
        except MlflowException as error:
            if error.error_code in _FINAL or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE_SECONDS * 2**attempt)
            found = client.search_model_versions(f"run_id = '{run_id}'", max_results=1)
            if found:
                return str(found[0].version)
    raise AssertionError("the last attempt returns or raises")


def _require_model(client: MlflowClient, name: str, task: str) -> None:
    try:
        client.create_registered_model(name, tags={"task": task})
    except MlflowException as error:
        if error.error_code != ALREADY_EXISTS:
            raise
