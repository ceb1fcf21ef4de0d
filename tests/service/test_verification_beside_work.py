"""Work that goes on while everything is compared is no tampering; tampering beside it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from recorded_home import RecordedHome, request_of

from sgps.service import _comparison, _snapshot
from sgps.service.erasure import ErasureSelection, erase
from sgps.service.exactly_once import process, submit
from sgps.service.review import approve, archive, repair_labels, submit_for_review
from sgps.service.synthesis import synthesize_request
from sgps.service.verification import AuditReport, verify_records
from sgps.service.workspace import Workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer

BO = {"reviewer": "Dr. Bo", "reason": "Looked at 50 cases."}
EVE = {"by": "Dr. Eve", "reason": "Consent was withdrawn."}


@pytest.fixture
def settings(home: RecordedHome) -> Settings:
    return home.settings


def verify_beside(workspace: Workspace, work: Callable[[], object]) -> AuditReport:
    """Verify; ``work`` is done when the first version was compared."""
    return verify_records(workspace, progress=lambda done, _total: done == 1 and work())


def test_a_synthesis_between_reading_ledger_and_registry_is_known(
    workspace: Workspace,
    home: RecordedHome,
    generator: Synthesizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    list_versions = _snapshot.list_versions

    def list_after_a_synthesis(registry: Any) -> Any:
        monkeypatch.setattr(_snapshot, "list_versions", list_versions)
        synthesize_request(request_of(home.images, "Fourth"), workspace, generator)
        return list_versions(registry)

    monkeypatch.setattr(_snapshot, "list_versions", list_after_a_synthesis)
    report = verify_records(workspace)
    assert report.findings == ()
    assert report.versions == 3


def test_a_review_that_goes_on_is_no_tampering(workspace: Workspace, home: RecordedHome) -> None:
    uri = home.third.model_uri

    def review() -> None:
        submit_for_review(uri, workspace, reviewer="Dr. Ada")
        approve(uri, workspace, **BO)

    assert verify_beside(workspace, review).findings == ()
    assert verify_beside(workspace, lambda: archive(uri, workspace, **BO)).findings == ()


def test_an_alias_that_moves_between_reading_ledger_and_registry_is_no_tampering(
    workspace: Workspace, home: RecordedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, list_versions = home.third.model_uri, _snapshot.list_versions
    submit_for_review(uri, workspace, reviewer="Dr. Ada")

    def list_after_an_approval(registry: Any) -> Any:
        monkeypatch.setattr(_snapshot, "list_versions", list_versions)
        approve(uri, workspace, **BO)
        return list_versions(registry)

    monkeypatch.setattr(_snapshot, "list_versions", list_after_an_approval)
    assert verify_records(workspace).findings == ()


def test_an_erasure_that_goes_on_is_no_tampering(workspace: Workspace, home: RecordedHome) -> None:
    chosen = ErasureSelection(model_uri=home.third.model_uri)
    report = verify_beside(workspace, lambda: erase(chosen, workspace, **EVE))
    assert report.findings == ()
    assert report.erased == (home.third.model_uri,)


class _EraserDiedError(Exception):
    pass


def test_an_erasure_that_stops_meanwhile_is_called_unfinished(
    workspace: Workspace, home: RecordedHome
) -> None:
    def die(step: str, _request: str) -> None:
        if step == "key":
            raise _EraserDiedError

    def erase_half() -> None:
        chosen = ErasureSelection(model_uri=home.third.model_uri)
        with pytest.raises(_EraserDiedError):
            erase(chosen, workspace, **EVE, progress=die)

    findings = verify_beside(workspace, erase_half).findings
    assert [(one.kind, one.subject) for one in findings] == [
        ("unfinished erasure", home.third.model_uri)
    ]


def test_tampering_beside_a_review_is_named(workspace: Workspace, home: RecordedHome) -> None:
    third = home.third

    def tamper() -> None:
        submit_for_review(third.model_uri, workspace, reviewer="Dr. Ada")
        client = workspace.registry.client
        client.set_model_version_tag(third.model_name, third.version, "requester", "Mallory")
        (home.artifacts(third) / "card.html").unlink()

    found = {(one.kind, one.where) for one in verify_beside(workspace, tamper).findings}
    assert found == {("altered label", "tag requester"), ("missing artifact", "card.html")}


def verify_before_finish(
    workspace: Workspace, home: RecordedHome, generator: Synthesizer, work: Callable[[], object]
) -> AuditReport:
    """Verify while a version is recorded and not finished; ``work`` as in :func:`verify_beside`."""
    sent = submit(request_of(home.images, "Fourth"), workspace, generator)
    reports: list[AuditReport] = []

    def verify(step: str) -> None:
        if step == "finish_version":
            reports.append(verify_beside(workspace, work))

    process(sent.request_id, workspace, generator, progress=verify)
    (report,) = reports
    assert report.versions == 4
    return report


def test_a_version_about_to_be_finished_is_no_tampering(
    workspace: Workspace, home: RecordedHome, generator: Synthesizer
) -> None:
    assert verify_before_finish(workspace, home, generator, lambda: None).findings == ()


def test_a_version_that_is_finished_meanwhile_is_no_tampering(
    workspace: Workspace,
    home: RecordedHome,
    generator: Synthesizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_comparison, "_FINISHING", timedelta(0))
    report = verify_before_finish(
        workspace, home, generator, lambda: repair_labels("models:/fourth/1", workspace)
    )
    assert report.findings == ()


def test_a_version_that_nobody_finishes_is_named(
    workspace: Workspace,
    home: RecordedHome,
    generator: Synthesizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_comparison, "_FINISHING", timedelta(0))
    report = verify_before_finish(workspace, home, generator, lambda: None)
    assert {one.kind for one in report.findings} == {"wrong state", "altered label"}
    assert {one.subject for one in report.findings} == {"models:/fourth/1"}
