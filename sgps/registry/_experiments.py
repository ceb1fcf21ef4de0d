"""MLflow experiments, found or made."""

from __future__ import annotations

from pathlib import Path

from sgps.registry._mlflow import MlflowClient, MlflowException

ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"


def is_server(tracking_uri: str) -> bool:
    """Whether an MLflow server answers at the address; it then chooses where artifacts lie."""
    return tracking_uri.startswith(("http://", "https://"))


def find_experiment(client: MlflowClient, name: str, artifact_folder: Path | None) -> str:
    """Id of the experiment, which is made, with that folder for its artifacts, where missing."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = artifact_folder.absolute().as_uri() if artifact_folder else None
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException as error:
        if error.error_code != ALREADY_EXISTS:
            raise
    return find_experiment(client, name, artifact_folder)


def mark_experiment(client: MlflowClient, experiment_id: str) -> None:
    """Write the experiment's format tag, which proves that the store can be written.

    Another process may write it first at the same moment; then it is written again.
    """
    try:
        client.set_experiment_tag(experiment_id, "sgps.format", "1")
    except MlflowException:
        client.set_experiment_tag(experiment_id, "sgps.format", "1")
