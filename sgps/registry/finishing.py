"""Letting a version be found, once its request is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sgps.registry._package_folder import texts_document
from sgps.registry.contents import find_stored
from sgps.registry.labelling import STATE_TAG, label_version, record_labels
from sgps.registry.mlflow_registry import ModelRegistry
from sgps.registry.package import ModelPackage
from sgps.registry.states import State
from sgps.registry.versions import UNFINISHED, RegisteredVersion


def finish_version(
    registry: ModelRegistry,
    registered: RegisteredVersion,
    package: ModelPackage,
    audit: Mapping[str, Any],
) -> None:
    """Make an unfinished version a draft; one that is further already stays as it is.

    Parameters
    ----------
    package: what it was made from. audit: the audit record that was registered with it.

    Raises
    ------
    UnknownNameError: there is no such version (any more).
    StoreError: the store cannot be written.
    """
    name, version = registered.model_name, registered.version
    stored = find_stored(registry, name, version)
    if stored is not None and stored.tags.get(STATE_TAG) != UNFINISHED:
        return
    texts = texts_document(package)
    labels = record_labels(registry, registered.run_id, audit, texts, State.DRAFT, ())
    label_version(registry, name, version, labels)
