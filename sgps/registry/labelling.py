"""What MLflow shows of a version (tags, description, alias): what it should be, and is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sgps.registry._labels import VersionFacts, describe_version
from sgps.registry._mlflow import MlflowClient, MlflowException
from sgps.registry._reachability import quick_failure, store_errors
from sgps.registry._request_runs import find_run
from sgps.registry._searching import unknown_model
from sgps.registry._tags import KEPT_TAGS, is_own_tag, run_tags, version_tags
from sgps.registry.contents import StoredVersion, find_stored
from sgps.registry.erasing import Epitaph
from sgps.registry.mlflow_registry import ModelRegistry
from sgps.registry.states import APPROVED_ALIAS, State, StateChange

STATE_TAG = "state"
_NOTE_TAG = "mlflow.note.content"
_DESCRIPTION = "description"
_RUN_IS_GONE = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
"""Of a run that counts as deleted, and of one that is deleted for good."""
_LONGEST_SHOWN = 80


@dataclass(frozen=True)
class Labels:
    """What a version should show.

    Attributes
    ----------
    tags, description: of the version.
    run_tags: of its run; None where the run is not labelled.
    complete: whether tags of these names that are not among ``tags`` should be absent.
    also: further descriptions that are right, as earlier code wrote them.
    """

    tags: Mapping[str, str]
    description: str
    run_tags: Mapping[str, str] | None = None
    complete: bool = True
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelDifference:
    """A label that is not as it should be; None where there is none, or should be none."""

    name: str
    of_run: bool
    expected: str | None
    found: str | None

    @property
    def is_description(self) -> bool:
        """Whether it is the description of the version or of its run."""
        return self.name in (_DESCRIPTION, _NOTE_TAG)

    @property
    def where(self) -> str:
        """Which label it is, for people."""
        label = _DESCRIPTION if self.is_description else f"tag {self.name}"
        return f"{label} of the run" if self.of_run else label

    @property
    def values(self) -> tuple[str, str]:
        """What was expected and what was found, in short: of texts the first line that differs."""
        expected, found = (self.expected or "").splitlines(), (self.found or "").splitlines()
        for number in range(max(len(expected), len(found))):
            pair = (expected[number : number + 1], found[number : number + 1])
            if pair[0] != pair[1]:
                wanted, there = (_short(line[0] if line else "") for line in pair)
                return wanted, there
        return _short(self.expected or ""), _short(self.found or "")


def record_labels(
    registry: ModelRegistry,
    run_id: str,
    audit: Mapping[str, Any],
    texts: Mapping[str, Any],
    state: State,
    history: Sequence[StateChange],
) -> Labels:
    """The labels of a version, from its record and the steps of its review.

    Parameters
    ----------
    audit, texts: content of ``audit.json`` and ``texts.json``; or the sealed record of the ledger
        and nothing, which leaves out what it does not tell.

    Raises
    ------
    StoreError: the store cannot be read.
    """
    facts = VersionFacts.of_record(audit, texts)
    client = registry.client
    with store_errors(registry.tracking_uri):
        run = find_run(client, run_id)
    experiment_id = "" if run is None else str(run.info.experiment_id)
    description = describe_version(
        facts, state, history, run_id=run_id, experiment_id=experiment_id
    )
    tags = version_tags(facts, state)
    of_run = {**tags, **run_tags(facts), _NOTE_TAG: description}
    return Labels(tags, description, of_run, complete=not audit.get("sealed"))


def tombstone_labels(audit: Mapping[str, Any], epitaphs: Sequence[Epitaph]) -> Labels:
    """The labels of a version that was erased.

    Parameters
    ----------
    audit: the sealed record of the ledger.
    epitaphs: the one to write, and others that are right too.
    """
    facts = version_tags(VersionFacts.of_record(audit, {}), State.ERASED)
    kept = {name: facts[name] for name in (*KEPT_TAGS, STATE_TAG) if name in facts}
    description, *others = (epitaph.to_markdown() for epitaph in epitaphs)
    return Labels(kept, description, also=tuple(others))


def compare_labels(
    registry: ModelRegistry, stored: StoredVersion, labels: Labels
) -> list[LabelDifference]:
    """What a version and its run show otherwise; a run that MLflow counts as deleted is left out.

    Tags of other names are anybody's own. Raises StoreError.
    """
    found = [*_differences(labels, labels.tags, stored.tags, of_run=False)]
    if stored.description not in (labels.description, *labels.also):
        found.append(LabelDifference(_DESCRIPTION, False, labels.description, stored.description))
    if labels.run_tags is None:
        return found
    with store_errors(registry.tracking_uri):
        run = find_run(registry.client, stored.run_id)
    if run is None or run.info.lifecycle_stage != "active":
        return found
    return [*found, *_differences(labels, labels.run_tags, run.data.tags, of_run=True)]


def label_version(
    registry: ModelRegistry, model_name: str, version: str, labels: Labels
) -> tuple[str, ...]:
    """Bring a version and its run to show ``labels``; what had to be changed, in words.

    Raises
    ------
    UnknownNameError: there is no such version (any more).
    StoreError: the store cannot be written.
    """
    stored = find_stored(registry, model_name, version)
    if stored is None:
        raise unknown_model(f"models:/{model_name}/{version}")
    differences = compare_labels(registry, stored, replace(labels, also=()))
    with _writing(registry):
        for difference in sorted(differences, key=_decides):
            _write(registry.client, stored, difference)
    return tuple(_words(difference) for difference in differences)


def point_approved_alias(
    registry: ModelRegistry, model_name: str, version: str | None
) -> tuple[str, ...]:
    """Let the alias ``approved`` stand for ``version``, or for nothing; what changed, in words.

    Raises
    ------
    StoreError: the store cannot be written.
    """
    with _writing(registry):
        client = registry.client
        found = client.get_registered_model(model_name).aliases.get(APPROVED_ALIAS)
        now = None if found is None else str(found)
        if now == version:
            return ()
        if version is None:
            client.delete_registered_model_alias(model_name, APPROVED_ALIAS)
        else:
            client.set_registered_model_alias(model_name, APPROVED_ALIAS, version)
        return (f"alias {APPROVED_ALIAS}: {_short(now or '')} -> {_short(version or '')}",)


@contextlib.contextmanager
def _writing(registry: ModelRegistry) -> Iterator[None]:
    with store_errors(registry.tracking_uri), quick_failure():
        yield


def _differences(
    labels: Labels, expected: Mapping[str, str], found: Mapping[str, str], *, of_run: bool
) -> Iterator[LabelDifference]:
    for name, value in expected.items():
        if found.get(name) != value:
            yield LabelDifference(name, of_run, value, found.get(name))
    for name, value in found.items():
        if labels.complete and name not in expected and is_own_tag(name):
            yield LabelDifference(name, of_run, None, value)


def _decides(difference: LabelDifference) -> bool:
    """Whether it is the state that a version is found by; written last, it is never too early."""
    return difference.name == STATE_TAG and not difference.of_run


def _write(client: MlflowClient, stored: StoredVersion, difference: LabelDifference) -> None:
    name, value = difference.name, difference.expected
    version = (stored.model_name, stored.version)
    if difference.of_run:
        try:
            if value is None:
                client.delete_tag(stored.run_id, name)
            else:
                client.set_tag(stored.run_id, name, value)
        except MlflowException as error:
            if error.error_code not in _RUN_IS_GONE:
                raise
    elif name == _DESCRIPTION:
        client.update_model_version(*version, value)
    elif value is None:
        client.delete_model_version_tag(*version, name)
    else:
        client.set_model_version_tag(*version, name, value)


def _words(difference: LabelDifference) -> str:
    place = "of the run" if difference.of_run else "of the version"
    if difference.is_description:
        return f"{_DESCRIPTION} {place}"
    label = STATE_TAG if difference.name == STATE_TAG else f"tag {difference.name}"
    return f"{label} {place}: {_short(difference.found or '')} -> {difference.values[0]}"


def _short(value: str) -> str:
    if not value:
        return "nothing"
    flat = " ".join(value.split())
    return flat if len(flat) <= _LONGEST_SHOWN else flat[: _LONGEST_SHOWN - 1] + "…"
