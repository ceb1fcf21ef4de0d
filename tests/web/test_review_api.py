"""Review over HTTP: who may take which step, and how the record says the name was proved."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sending import basic, ledger, request_for, services
from starlette.testclient import TestClient

from sgps.errors import UnknownNameError
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer
from sgps.web.app import create_app

ACCOUNTS = (
    "ada:one:steward,sue:four:steward,rita:two:reviewer,raul:five:reviewer,otto:three:auditor"
)
ADA, SUE = basic("ada:one"), basic("sue:four")
RITA, RAUL, OTTO = basic("rita:two"), basic("raul:five"), basic("otto:three")
LOOKED = "Looked at 50 cases."
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def signed(
    fresh_home: Path, generator: Synthesizer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """A client of an application with accounts, shared by the tests of this module."""
    home = tmp_path_factory.mktemp("review") / "home"
    shutil.copytree(fresh_home, home)
    app = create_app(Settings(home=home, basic_auth=ACCOUNTS), generator, wait=60.0)
    with TestClient(app, base_url="http://127.0.0.1:8600") as opened:
        yield opened


def make(client: TestClient, headers: dict[str, str] | None = None, **fields: Any) -> str:
    """Ask for a classifier of a task of its own; the address of its review."""
    kept = dict(client.headers)
    client.headers.update(headers or {})
    number = next(_NUMBERS)
    answer = client.post("/api/requests", json=request_for(client, f"Task {number}", **fields))
    client.headers = kept  # type: ignore[assignment]
    assert answer.status_code == 201, answer.text
    return f"/api/models/task-{number}/1/review"


def take(
    client: TestClient, address: str, act: str, headers: dict[str, str] | None = None, **more: Any
) -> Any:
    fields = {"act": act, "reason": LOOKED} | more
    return client.post(address, json=fields, headers=headers or {})


def approved(client: TestClient, address: str) -> bool:
    name = address.split("/")[3]
    try:
        services(client).worker.workspace.registry.describe(f"models:/{name}@approved")
    except UnknownNameError:
        return False
    return True


def test_a_field_whose_name_is_no_text_is_refused(signed: TestClient) -> None:
    address = make(signed, ADA)
    body = b'{"act": "submit", "\\ud800": "x"}'
    answer = signed.post(address, content=body, headers=ADA)
    assert answer.status_code == 422
    assert answer.json()["error"]["what"] == "?: not known"


def test_from_a_stewards_draft_to_the_archive(signed: TestClient) -> None:
    address = make(signed, ADA)
    assert signed.get(address, headers=ADA).json()["acts"] == ["submit"]
    submitted = take(signed, address, "submit", ADA, reason="")
    assert submitted.status_code == 200, submitted.text
    assert submitted.json()["acts"] == []
    assert signed.get(address, headers=RITA).json()["acts"] == ["approve", "reject", "archive"]
    assert not approved(signed, address)
    done = take(signed, address, "approve", RITA).json()
    assert (done["state"], done["acts"]) == ("approved", ["archive"])
    assert approved(signed, address)
    assert [change["proof"] for change in done["history"]] == [
        "signed in as steward",
        "signed in as reviewer",
    ]
    record = ledger(signed).get(done["history"][-1]["entry"]).record
    assert {name: record[name] for name in ("reviewer", "role", "authentication", "login")} == {
        "reviewer": "rita",
        "role": "reviewer",
        "authentication": "basic",
        "login": None,
    }
    assert record["reason"] == LOOKED
    assert take(signed, address, "archive", RITA).json()["state"] == "archived"
    assert not approved(signed, address)
    assert signed.get(address, headers=OTTO).json()["state"] == "archived"


@pytest.mark.parametrize(
    ("act", "headers"),
    [
        *itertools.product(("approve", "reject", "archive"), (ADA, SUE, OTTO)),
        ("submit", SUE),
        ("submit", OTTO),
    ],
)
def test_roles(signed: TestClient, draft: str, act: str, headers: dict[str, str]) -> None:
    refused = take(signed, draft, act, headers)
    assert refused.status_code == 403
    assert set(refused.json()["error"]) == {"what", "expected", "remedy"}
    assert signed.get(draft, headers=OTTO).json()["history"] == []


@pytest.fixture(scope="module")
def draft(signed: TestClient) -> str:
    """The review of a draft that Ada asked for, which no test changes."""
    return make(signed, ADA)


def test_a_steward_sees_the_reviews_of_their_own_requests_alone(
    signed: TestClient, draft: str
) -> None:
    assert signed.get(draft, headers=ADA).json()["requester"] == "ada"
    assert signed.get(draft, headers=SUE).status_code == 403
    assert signed.get(draft).status_code == 401
    assert signed.post(draft, json={"act": "submit"}).status_code == 401


def test_nobody_decides_on_their_own_request(signed: TestClient) -> None:
    address = make(signed, RITA)
    assert take(signed, address, "submit", RITA).status_code == 200
    assert signed.get(address, headers=RITA).json()["acts"] == ["archive"]
    for act in ("approve", "reject"):
        refused = take(signed, address, act, RITA)
        assert refused.status_code == 422
        assert refused.json()["error"] == {
            "what": f"models:/{address.split('/')[3]}/1 was asked for by rita",
            "expected": "a reviewer who is not the requester",
            "remedy": "ask somebody else to review it",
        }
    assert take(signed, address, "approve", RITA, reviewer="raul").status_code == 422
    assert signed.get(address, headers=OTTO).json()["state"] == "pending_review"
    assert take(signed, address, "approve", RAUL).json()["state"] == "approved"


def test_steps_out_of_turn_are_refused(signed: TestClient, draft: str) -> None:
    refused = take(signed, draft, "approve", RITA)
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert "is draft and cannot become approved" in error["what"]
    assert error["expected"] == "pending review or archived"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"act": "erase"},
        {"act": ["approve"]},
        {"act": "approve", "reason": 1},
        {"act": "approve", "reason": "", "state": "approved"},
        {"act": "approve", "reason": "x", "reviewer": "Dr. Bo"},
        {"act": "archive", "reason": "r" * 1001},
        {"act": "archive", "reason": "w\x00hy"},
    ],
)
def test_wrong_fields_are_named(signed: TestClient, draft: str, fields: dict[str, Any]) -> None:
    refused = signed.post(draft, json=fields, headers=RITA)
    assert refused.status_code == 422, refused.text
    assert refused.json()["error"]["what"]
    assert signed.get(draft, headers=OTTO).json()["state"] == "draft"


def test_a_decision_needs_a_reason(signed: TestClient) -> None:
    address = make(signed, ADA)
    take(signed, address, "submit", ADA)
    for act in ("approve", "reject"):
        refused = take(signed, address, act, RITA, reason=" \n")
        assert refused.status_code == 422
        assert "reason has 0 characters" in refused.json()["error"]["what"]


@pytest.mark.parametrize("name", ["nothing/1", "task-1/99", "..%2Fx/1", "Task-1/1"])
def test_unknown_versions(signed: TestClient, name: str) -> None:
    address = f"/api/models/{name}/review"
    assert signed.get(address, headers=RITA).status_code == 404
    assert take(signed, address, "approve", RITA).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_cannot_decide_through_a_reviewers_browser(
    signed: TestClient, draft: str, headers: dict[str, str]
) -> None:
    refused = take(signed, draft, "archive", RITA | headers)
    assert refused.status_code == 403
    assert "another page" in refused.json()["error"]["what"]
    assert signed.get(draft, headers=OTTO).json()["state"] == "draft"


def test_where_nobody_signs_in_the_record_says_that_the_name_was_not_proved(
    running: TestClient,
) -> None:
    address = make(running, requester="Dr. Ada")
    assert running.get(address).json()["acts"] == ["submit", "archive"]
    assert take(running, address, "submit").status_code == 422
    assert take(running, address, "submit", reviewer="Dr. Ada").status_code == 200
    own = take(running, address, "approve", reviewer=" dr. ADA")
    assert own.status_code == 422
    assert "was asked for by Dr. Ada" in own.json()["error"]["what"]
    done = take(running, address, "approve", reviewer="Dr. Bo").json()
    assert approved(running, address)
    record = ledger(running).get(done["history"][-1]["entry"]).record
    assert (record["reviewer"], record["role"]) == ("Dr. Bo", None)
    assert record["authentication"] == "none"
    assert done["history"][-1]["proof"] == "name not proved"


def test_the_page_of_a_synthesis_offers_what_the_account_may_do(signed: TestClient) -> None:
    address = make(signed, ADA)
    entry = signed.get(address, headers=RITA).json()["entry"]

    def offered(headers: dict[str, str]) -> list[str]:
        text = signed.get(f"/audit/{entry}", headers=headers).text
        assert "Nobody has asked for a review yet." in text
        return [
            act
            for act in ("submit", "approve", "reject", "archive")
            if f'data-act="{act}">' in text or f'data-act="{act}" class="quiet">' in text
        ]

    assert offered(ADA) == ["submit"]
    assert offered(OTTO) == []
    assert offered(RITA) == ["submit", "archive"]
    take(signed, address, "submit", ADA, reason="<img src=x onerror=alert(1)>")
    page = signed.get(f"/audit/{entry}", headers=OTTO).text
    assert "&lt;img src=x" in page
    assert "<img" not in page
    assert f'data-address="{address}"' not in page
    assert f'data-address="{address}"' in signed.get(f"/audit/{entry}", headers=RITA).text
    submitted = signed.get(address, headers=RITA).json()["history"][0]["entry"]
    assert f'href="/audit/{entry}"' in signed.get(f"/audit/{submitted}", headers=OTTO).text


def test_what_waits_for_review_is_listed(signed: TestClient) -> None:
    address = make(signed, ADA)
    entry = signed.get(address, headers=RITA).json()["entry"]
    waiting = "/audit?state=pending_review"
    assert f'href="{waiting}"' in signed.get("/audit", headers=RITA).text
    assert f'href="/audit/{entry}"' not in signed.get(waiting, headers=RITA).text
    take(signed, address, "submit", ADA)
    assert f'href="/audit/{entry}"' in signed.get(waiting, headers=RITA).text
