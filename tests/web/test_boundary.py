"""Hosts, origins, headers, accounts and roles."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from sending import basic, ledger, picture, request_for, services
from starlette.testclient import TestClient

from sgps.errors import InputError
from sgps.settings import Settings
from sgps.web.app import create_app

ACCOUNTS = "ada:one:steward,rita:two:reviewer,otto:three:auditor,dave:four"
OpenClient = Callable[..., TestClient]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8600", "127.0.0.1.evil.example", "", "a b", "localhost@x"],
)
def test_a_foreign_name_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/health", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]["remedy"]


@pytest.mark.parametrize("host", ["127.0.0.1:8600", "localhost", "[::1]:8600", "192.168.1.4"])
def test_a_name_of_this_machine_is_accepted(client: TestClient, host: str) -> None:
    assert client.get("/api/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    ],
)
def test_another_page_cannot_act(client: TestClient, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/api/images"), ("DELETE", "/api/images/" + "0" * 32)):
        answer = client.request(method, path, content=picture(1), headers=headers)
        assert answer.status_code == 403
        assert "another page" in answer.json()["error"]["what"]


def test_the_page_itself_can_act(client: TestClient) -> None:
    headers = {"Origin": "http://127.0.0.1:8600", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/images", content=picture(1), headers=headers).status_code == 201


@pytest.mark.parametrize("path", ["/", "/audit", "/api/health", "/nothing", "/static/page.css"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_an_unexpected_error_tells_nothing_and_keeps_the_headers(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret path /home/ada")

    monkeypatch.setattr(services(client).uploads, "small", fail)
    answer = client.get("/api/images/" + "0" * 32)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "content-security-policy" in answer.headers


def test_the_log_holds_no_query(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sgps.web.access"):
        client.get("/audit?requester=Ada%20Secret")
        client.get("/x%0d%0aforged")
    assert "GET '/audit' 200" in caplog.text
    assert "Secret" not in caplog.text
    assert "\nforged" not in caplog.text


def test_nobody_comes_in_without_an_account(open_client: OpenClient) -> None:
    client = open_client(basic_auth=ACCOUNTS)
    for path in ("/", "/audit", "/api/descriptions", "/static/page.css", "/nothing"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
    for wrong in ("ada:two", "ada:", ":one", "ada", "otto:three:auditor", "ADA:one"):
        assert client.get("/", headers=basic(wrong)).status_code == 401
    assert client.get("/", headers={"Authorization": "Bearer x"}).status_code == 401
    assert client.get("/", headers={"Authorization": "Basic \u20ac".encode()}).status_code == 401
    assert client.get("/api/health").status_code == 200
    assert "ada (steward)" in client.get("/", headers=basic("ada:one")).text
    assert "dave (steward)" in client.get("/", headers=basic("dave:four")).text


@pytest.mark.parametrize(
    ("account", "makes", "reads"),
    [("ada:one", 201, 200), ("rita:two", 201, 200), ("otto:three", 403, 200)],
)
def test_roles(open_client: OpenClient, account: str, makes: int, reads: int) -> None:
    client = open_client(basic_auth=ACCOUNTS)
    headers = basic(account)
    assert client.post("/api/images", content=picture(1), headers=headers).status_code == makes
    assert client.get("/audit", headers=headers).status_code == reads


def test_whoever_signed_in_is_the_requester(open_client: OpenClient) -> None:
    client = open_client(basic_auth=ACCOUNTS)
    client.headers.update(basic("ada:one"))
    fields = request_for(client, "Signed in", requester="Somebody else")
    assert client.post("/api/requests", json=fields).status_code == 201
    audit = ledger(client).entries("synthesize")[0].record["audit"]
    assert audit["who"] == {"requester": "ada", "role": "steward", "authentication": "basic"}
    assert client.post("/api/models/signed-in/1/predict", content=picture(5)).status_code == 200
    assert ledger(client).entries("access")[0].record["who"] == "ada"


@pytest.mark.parametrize(
    "text", ["ada", "ada:", ":x", "ada:one:king", "ada:one,ada:two", "a:b,,c:d"]
)
def test_accounts_of_a_wrong_form_are_refused(settings: Settings, text: str) -> None:
    wrong = Settings(**{**settings.model_dump(), "basic_auth": text})
    with pytest.raises(InputError, match="SGPS_BASIC_AUTH") as raised:
        create_app(wrong)
    assert "one" not in str(raised.value).replace("one account", "")
