"""Requests built from what people write: YAML files and command lines."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from sgps.errors import InputError
from sgps.service.requests import SynthesisRequest
from sgps.settings import Settings

UNSTATED_PURPOSE = "not stated"

RequestModel = TypeVar("RequestModel")


def parse_request(kind: type[RequestModel], values: dict[str, Any]) -> RequestModel:
    """Build a pydantic model or a dataclass and check every field.

    Raises
    ------
    InputError: a field is unknown, missing or of the wrong form; it is named.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{field}: {first['msg']}, got {str(first['input'])[:80]!r}") from error


def read_section(path: Path, section: str) -> dict[str, Any]:
    """One mapping of a YAML file.

    Raises
    ------
    InputError: the file cannot be read, or has no such mapping.
    """
    values = read_mapping(path).get(section)
    if not isinstance(values, dict):
        raise InputError(f"{path} has no parameters", expected=f"a mapping under {section!r}")
    return dict(values)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises
    ------
    InputError: the file cannot be read, or holds no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason})", expected="a YAML file") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no parameters", expected="a mapping of names to values")
    return content


def read_synthesis_request(
    path: Path,
    settings: Settings,
    *,
    task: str | None = None,
    requester: str | None = None,
    purpose: str | None = None,
) -> SynthesisRequest:
    """A request from a task file, or from a folder with a sub-folder a class.

    ``task``, ``requester`` and ``purpose`` replace what the file says. Where nothing says who
    asks, it is the requester of the settings, or else the login name.

    Raises
    ------
    RequestError: the file or folder makes no request.
    """
    fallback = name_of_user(settings)
    if path.is_dir():
        return SynthesisRequest.from_folder(
            path, requester or fallback, purpose or UNSTATED_PURPOSE, task=task
        )
    return SynthesisRequest.from_yaml(
        path, task=task, requester=requester, purpose=purpose, default_requester=fallback
    )


def name_of_user(settings: Settings) -> str:
    """Who asks where nobody says so: the requester of the settings, or else the login name."""
    return settings.requester or _login_name()


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
