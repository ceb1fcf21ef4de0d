"""What stewards, reviewers and auditors see: their records, the form, the links they may follow."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sending import ADDRESS, basic, ledger, request_for, services
from starlette.testclient import TestClient

from sgps.service import review
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer
from sgps.web.app import create_app

ACCOUNTS = "ada:one:steward,bo:five:steward,rita:two:reviewer,otto:three:auditor"
ADA, BO, RITA, OTTO = (basic(each) for each in ("ada:one", "bo:five", "rita:two", "otto:three"))
OpenClient = Callable[..., TestClient]


@pytest.fixture(scope="module")
def office(
    fresh_home: Path, generator: Synthesizer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """With accounts; entry 1 is of Ada, entry 2 of Bo, entry 3 the review of entry 1. Only read."""
    home = tmp_path_factory.mktemp("office") / "home"
    shutil.copytree(fresh_home, home)
    app = create_app(Settings(home=home, basic_auth=ACCOUNTS), generator, wait=60.0)
    client = TestClient(app, base_url=ADDRESS)
    for number, (who, task) in enumerate(((ADA, "Moles"), (BO, "Spots"))):
        client.headers.update(who)
        fields = request_for(client, task, 50 * number)
        assert client.post("/api/requests", json=fields).status_code == 201
    del client.headers["Authorization"]
    workspace = services(client).worker.workspace
    review.submit_for_review("models:/moles/1", workspace, reviewer="rita", reason="Look.")
    yield client
    services(client).close()


def _entries(client: TestClient, who: dict[str, str], query: str = "") -> list[int]:
    text = client.get(f"/audit?{query}", headers=who).text
    return [int(number) for number in re.findall(r'href="/audit/(\d+)"', text)]


def test_a_steward_reads_his_own_records_alone(office: TestClient) -> None:
    assert _entries(office, ADA) == [3, 1]
    assert _entries(office, BO) == [2]
    assert _entries(office, RITA) == _entries(office, OTTO) == [3, 2, 1]
    for query, found in (
        ("model=moles", [3, 1]),
        ("model=models:/moles/1&kind=review", [3]),
        ("model=spots", []),
        ("task=Moles", [1]),
        ("task=Spots", []),
        ("requester=bo", [3, 1]),
        ("state=pending_review", [1]),
        ("state=draft", []),
    ):
        assert _entries(office, ADA, query) == found, query
    assert "Spots" not in office.get("/audit", headers=ADA).text


@pytest.mark.parametrize(
    ("who", "allowed"), [(ADA, (1, 3)), (BO, (2,)), (RITA, (1, 2, 3)), (OTTO, (1, 2, 3))]
)
def test_an_entry_is_shown_to_whom_it_concerns(
    office: TestClient, who: dict[str, str], allowed: tuple[int, ...]
) -> None:
    seen = [office.get(f"/audit/{number}", headers=who).status_code for number in (1, 2, 3)]
    assert seen == [200 if number in allowed else 403 for number in (1, 2, 3)]


def test_a_name_that_was_only_typed_is_not_the_account(
    open_client: OpenClient,
) -> None:
    unguarded = open_client()
    fields = request_for(unguarded, "Typed", requester="ada")
    assert unguarded.post("/api/requests", json=fields).status_code == 201
    guarded = open_client(basic_auth=ACCOUNTS)
    assert _entries(guarded, ADA) == []
    assert guarded.get("/audit/1", headers=ADA).status_code == 403


def test_the_answer_leads_to_the_record_of_ones_own_request(office: TestClient) -> None:
    (entry,) = ledger(office).find(task="Moles")
    path = f"/api/requests/{entry.record['audit']['request_id']}"
    assert office.get(path, headers=ADA).json()["record"] == "/audit/1"
    assert office.get(path, headers=RITA).json()["record"] == "/audit/1"
    assert office.get(path, headers=BO).json()["record"] == ""


def test_requests_that_are_done_can_be_tried(office: TestClient) -> None:
    (entry,) = ledger(office).find(task="Moles")
    link = f'href="/?request={entry.record["audit"]["request_id"]}"'
    assert link in office.get("/audit", headers=ADA).text
    assert link in office.get("/audit", headers=RITA).text
    assert link not in office.get("/audit", headers=BO).text
    assert "/?request=" not in office.get("/audit", headers=OTTO).text


def test_an_auditor_is_told_that_he_makes_none(office: TestClient) -> None:
    page = office.get("/", headers=OTTO).text
    assert "<form" not in page
    assert "<script" not in page
    assert "signed in as otto, with the role auditor" in page
    for path in ("/", "/audit", "/audit/1"):
        assert 'href="/">Make a classifier' not in office.get(path, headers=OTTO).text
        assert re.search('href="/"[^>]*>Make a class', office.get(path, headers=ADA).text)
        assert re.search('href="/audit"[^>]*>Records', office.get(path, headers=ADA).text)
