"""Finding versions: by URI, by name, by tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sgps.errors import InputError, UnknownNameError
from sgps.registry._mlflow import MlflowClient, MlflowException, ModelVersion
from sgps.registry.versions import UNFINISHED, VersionSummary

_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")
_FORMS = "models:/NAME/VERSION, models:/NAME/latest, models:/NAME@ALIAS or runs:/RUN_ID/model"
_LARGEST_PAGE = 1_000
_NEWEST = 20


def is_unfinished(version: ModelVersion) -> bool:
    """Whether the request that a version comes of is not done."""
    return bool(version.tags.get("state") == UNFINISHED)


def find_version(client: MlflowClient, model_uri: str, *, unfinished: bool = False) -> ModelVersion:
    """The registered version that ``models:/...`` or ``runs:/...`` means.

    Parameters
    ----------
    unfinished: find one that is not finished too.

    Raises
    ------
    UnknownNameError: the URI has another form, or there is no such version, alias or run.
    """
    found = _find(client, model_uri)
    if is_unfinished(found) and not unfinished:
        raise UnknownNameError(
            f"there is no model {model_uri}: it is being made, or its making was interrupted",
            expected=_FORMS,
            remedy="wait for its request, or run: sgps reconcile",
        )
    return found


def _find(client: MlflowClient, model_uri: str) -> ModelVersion:
    scheme, _, rest = model_uri.partition(":/")
    try:
        if scheme == "runs" and rest.count("/") == 1:
            return _version_of_run(client, rest.split("/")[0], model_uri)
        if scheme == "models" and "@" in rest:
            return client.get_model_version_by_alias(*rest.rsplit("@", 1))
        if scheme == "models" and rest.count("/") == 1:
            name, number = rest.split("/")
            if number == "latest":
                return _latest(client, name, model_uri)
            return client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code not in _NOT_THERE:
            raise
        raise unknown_model(model_uri) from error
    raise UnknownNameError(
        f"{model_uri!r} is no address of a model", expected=_FORMS, remedy="run: sgps models"
    )


def search_versions(
    client: MlflowClient, *, model_name: str | None, tags: Mapping[str, str], limit: int
) -> list[ModelVersion]:
    """Finished versions that carry every tag, newest first, at most ``limit``.

    Raises
    ------
    InputError: a name or value holds both kinds of quotation mark, or the limit is below 1.
    """
    if limit < 1:
        raise InputError(f"limit {limit}", expected="1 or more")
    clauses = [f"tags.`{name}` = {_quoted(value)}" for name, value in tags.items()]
    if model_name is not None:
        clauses.insert(0, f"name = {_quoted(model_name)}")
    found: list[ModelVersion] = []
    token: str | None = None
    while len(found) < limit:
        page = client.search_model_versions(
            " and ".join(clauses) or None,
            max_results=min(limit - len(found), _LARGEST_PAGE),
            order_by=["creation_timestamp DESC"],
            page_token=token,
        )
        found += [version for version in page if not is_unfinished(version)]
        token = page.token
        if not token:
            break
    return found


def summarise(client: MlflowClient, versions: Sequence[ModelVersion]) -> list[VersionSummary]:
    """The facts of each version that a list shows.

    Aliases are asked for once a model: a search for versions does not give them.
    """
    names = {version.name for version in versions}
    aliases = {name: client.get_registered_model(name).aliases for name in names}
    return [_summary(version, aliases[version.name]) for version in versions]


def _summary(version: ModelVersion, aliases: Mapping[str, str]) -> VersionSummary:
    tags = dict(version.tags)
    created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    return VersionSummary(
        model_name=version.name,
        version=str(version.version),
        model_uri=f"models:/{version.name}/{version.version}",
        run_id=version.run_id or "",
        created=created.isoformat(timespec="seconds"),
        task=tags.get("task", ""),
        requester=tags.get("requester", ""),
        purpose=tags.get("purpose", ""),
        state=tags.get("state", ""),
        generator=tags.get("generator", ""),
        request_id=tags.get("request_id", ""),
        weights_sha256=tags.get("weights_sha256", ""),
        aliases=tuple(
            sorted(name for name, number in aliases.items() if str(number) == str(version.version))
        ),
        tags=tags,
    )


def unknown_model(model_uri: str) -> UnknownNameError:
    """The error for an address behind which there is nothing."""
    return UnknownNameError(
        f"there is no model {model_uri}", expected=_FORMS, remedy="run: sgps models"
    )


def _version_of_run(client: MlflowClient, run_id: str, model_uri: str) -> ModelVersion:
    found = client.search_model_versions(f"run_id = {_quoted(run_id)}")
    if not found:
        raise unknown_model(model_uri)
    return min(found, key=is_unfinished)


def _latest(client: MlflowClient, name: str, model_uri: str) -> ModelVersion:
    token: str | None = None
    while True:
        page = client.search_model_versions(
            f"name = {_quoted(name)}",
            max_results=_NEWEST,
            order_by=["version_number DESC"],
            page_token=token,
        )
        for version in page:
            if not is_unfinished(version):
                return version
        token = page.token
        if not token:
            raise unknown_model(model_uri)


def _quoted(value: str) -> str:
    for mark in ("'", '"'):
        if mark not in value:
            return f"{mark}{value}{mark}"
    raise InputError(
        f"{value!r} cannot be searched for", expected="text with one kind of quotation mark"
    )
