"""What the registry says of a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNFINISHED = "unfinished"
"""State of a version whose request is not done: for everybody else it is not there yet."""


@dataclass(frozen=True)
class RegisteredVersion:
    """Where a registered classifier lies; ``tracking_uri`` carries no password."""

    model_name: str
    version: str
    model_uri: str
    tracking_uri: str
    run_id: str


@dataclass(frozen=True)
class VersionSummary:
    """One row of a search; ``created`` is UTC in ISO 8601."""

    model_name: str
    version: str
    model_uri: str
    run_id: str
    created: str
    task: str
    requester: str
    purpose: str
    state: str
    generator: str
    request_id: str
    weights_sha256: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
