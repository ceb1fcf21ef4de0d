"""Names that the operator allows beside those of the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sending import picture
from starlette.testclient import TestClient

from sgps.errors import InputError
from sgps.service.addresses import host_headers, origins
from sgps.service.processes import plan_system
from sgps.settings import Settings, load_settings

OpenClient = Callable[..., TestClient]
NAMES = "SGPS.example.org, labs"


def test_an_allowed_name_opens_the_page(open_client: OpenClient) -> None:
    client = open_client(page_names=NAMES)
    for host in ("sgps.example.org", "Sgps.Example.org:8600", "labs:80", "127.0.0.1:8600"):
        assert client.get("/api/health", headers={"Host": host}).status_code == 200
    for host in ("example.org", "evil.example", "labs.evil.example"):
        assert client.get("/api/health", headers={"Host": host}).status_code == 421
    own = {"Host": "sgps.example.org", "Origin": "https://sgps.example.org"}
    assert client.post("/api/images", content=picture(1), headers=own).status_code == 201
    foreign = {"Host": "sgps.example.org", "Origin": "https://evil.example"}
    assert client.post("/api/images", content=picture(1), headers=foreign).status_code == 403


def test_a_refusal_says_how_to_allow_a_name(open_client: OpenClient) -> None:
    refused = open_client().get("/api/health", headers={"Host": "sgps.example.org"})
    assert refused.status_code == 421
    assert "SGPS_PAGE_NAMES" in refused.json()["error"]["remedy"]


def test_mlflow_and_prefect_know_the_names(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, page_names=NAMES, page_host="0.0.0.0")
    servers = {one.name: one for one in plan_system(settings, {}, tmp_path)[0]}
    command = servers["mlflow"].command
    hosts = command[command.index("--allowed-hosts") + 1].split(",")
    assert {"sgps.example.org", "sgps.example.org:5000", "labs:5000"} <= set(hosts)
    allowed = command[command.index("--cors-allowed-origins") + 1].split(",")
    assert {"http://labs:5000", "https://sgps.example.org"} <= set(allowed)
    assert not any(origin.startswith("https://evil") or "*" in origin for origin in allowed)
    assert "--name=labs" in servers["prefect"].command


def test_without_names_nothing_is_added() -> None:
    assert host_headers("127.0.0.1", 5000) == host_headers("127.0.0.1", 5000, ())
    assert not any(origin.startswith("https:") for origin in origins("127.0.0.1", 5000))
    assert Settings().page_host_names == ()


@pytest.mark.parametrize("names", ["*", "a b", "http://labs", "labs:80", "-labs", "a..b", "*.labs"])
def test_what_is_no_name_is_refused(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    monkeypatch.setenv("SGPS_PAGE_NAMES", names)
    with pytest.raises(InputError, match=r"SGPS_PAGE_NAMES: .*host name"):
        load_settings()
