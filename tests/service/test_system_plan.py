"""What `sgps up` starts: commands, environments, addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from sgps.errors import InputError
from sgps.service._servers import Server
from sgps.service.addresses import (
    host_headers,
    near_host,
    open_address,
    prefect_api,
    with_driver,
)
from sgps.service.processes import plan_system
from sgps.settings import Settings

ACCOUNTS = "ada:long-password-1:steward, bob:long-password-2:auditor"
DATABASES = {
    "tracking_database_url": SecretStr("postgresql://u:pass-one@db/mlflow"),
    "prefect_database_url": SecretStr("postgresql://u:pass-two@db/prefect"),
    "ledger_url": SecretStr("postgresql+psycopg://u:pass-three@db/ledger"),
}
SECRETS = ("long-password-1", "long-password-2", "pass-one", "pass-two", "pass-three")


def plan(home: Path, *, prefect: bool = True, **changes: object) -> dict[str, Server]:
    settings = Settings(home=home, **changes)  # type: ignore[arg-type]
    environment = {
        "PATH": "/bin",
        "SGPS_BASIC_AUTH": ACCOUNTS,
        "SGPS_LEDGER_URL": "postgresql://u:pass-three@db/ledger",
        "NO_PROXY": "example.org",
    }
    servers, _ = plan_system(settings, environment, home, prefect=prefect)
    return {server.name: server for server in servers}


def test_servers_and_what_they_wait_for(tmp_path: Path) -> None:
    servers = plan(tmp_path)
    assert {name: server.after for name, server in servers.items()} == {
        "mlflow": (), "prefect": (), "runner": ("mlflow", "prefect"), "page": ("mlflow",),
    }  # fmt: skip
    assert list(plan(tmp_path, prefect=False)) == ["mlflow", "page"]
    assert "PREFECT_API_URL" not in plan(tmp_path, prefect=False)["page"].environment


def test_everything_is_local_and_quiet(tmp_path: Path) -> None:
    servers = plan(tmp_path)
    for server in servers.values():
        environment = server.environment
        assert environment["SGPS_HOME"] == str(tmp_path)
        assert environment["PREFECT_HOME"] == str(tmp_path / "prefect")
        assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
        assert {"127.0.0.1", "example.org"} <= set(environment["NO_PROXY"].split(","))
    for name in ("mlflow", "prefect"):
        command = servers[name].command
        assert command[command.index("--host") + 1] == "127.0.0.1"
    assert servers["mlflow"].environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    for name in ("runner", "page"):
        assert servers[name].environment["SGPS_TRACKING_URI"] == "http://127.0.0.1:5000"
        assert servers[name].environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert servers["runner"].environment["PREFECT_RUNNER_POLL_FREQUENCY"] == "1"


def test_mlflow_uses_the_embedded_store(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    mlflow = plan(tmp_path)["mlflow"]
    assert mlflow.environment["MLFLOW_BACKEND_STORE_URI"] == settings.resolved_tracking_uri
    root = mlflow.command[mlflow.command.index("--default-artifact-root") + 1]
    assert root == settings.artifact_folder.as_uri()


def test_no_secret_is_shown_and_each_goes_where_it_is_needed(tmp_path: Path) -> None:
    servers = plan(tmp_path, basic_auth=SecretStr(ACCOUNTS), **DATABASES)
    for server in servers.values():
        for secret in SECRETS:
            assert not any(secret in word for word in server.command)
            assert secret not in repr(server)
        assert set(server.secrets) >= {"pass-one", "long-password-2"}
        assert "SGPS_TRACKING_DATABASE_URL" not in server.environment
    holders = {
        secret: {
            name
            for name, server in servers.items()
            if any(secret in value for value in server.environment.values())
        }
        for secret in SECRETS
    }
    assert holders == {
        "long-password-1": {"prefect", "runner", "page"},
        "long-password-2": {"page"},
        "pass-one": {"mlflow"},
        "pass-two": {"prefect"},
        "pass-three": {"runner", "page"},
    }
    mlflow = servers["mlflow"].environment["MLFLOW_BACKEND_STORE_URI"]
    prefect = servers["prefect"].environment["PREFECT_API_DATABASE_CONNECTION_URL"]
    assert mlflow == "postgresql+psycopg://u:pass-one@db/mlflow"
    assert prefect == "postgresql+asyncpg://u:pass-two@db/prefect"


@pytest.mark.parametrize(
    ("uri", "own"),
    [
        ("http://localhost:5000", True),
        ("http://127.0.0.1:5000/", True),
        ("sqlite:////elsewhere/mlflow.db", True),
        ("https://mlflow.example.org", False),
        ("http://127.0.0.1:5001", False),
    ],
)
def test_another_mlflow_server_is_used_and_said(tmp_path: Path, uri: str, own: bool) -> None:
    servers, remarks = plan_system(Settings(home=tmp_path, tracking_uri=uri), {}, tmp_path)
    by_name = {server.name: server for server in servers}
    assert ("mlflow" in by_name) is own
    expected = "http://127.0.0.1:5000" if own else uri
    assert by_name["page"].environment["SGPS_TRACKING_URI"] == expected
    assert any("another MLflow server" in remark for remark in remarks) is not own
    if uri.startswith("sqlite"):
        assert by_name["mlflow"].environment["MLFLOW_BACKEND_STORE_URI"] == uri


@pytest.mark.parametrize("content", [None, "train: {}\n", "retrain: 3\n", "{broken"])
def test_without_parameters_the_runner_serves_synthesis_alone(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "params.yaml").write_text(content)
    servers, remarks = plan_system(Settings(home=tmp_path), {}, tmp_path)
    [runner] = [server for server in servers if server.name == "runner"]
    assert runner.command[-1] == "--on-demand-only"
    assert any("no retraining" in remark for remark in remarks)
    (tmp_path / "params.yaml").write_text("retrain: {datasets: [a]}\n")
    servers, remarks = plan_system(Settings(home=tmp_path), {}, tmp_path)
    assert "--on-demand-only" not in servers[2].command
    assert remarks == ()


def test_open_to_others_without_accounts_is_said(tmp_path: Path) -> None:
    for host, accounts, warned in (
        ("0.0.0.0", None, True),
        ("0.0.0.0", SecretStr(ACCOUNTS), False),
        ("127.0.0.1", None, False),
    ):
        settings = Settings(home=tmp_path, page_host=host, basic_auth=accounts)
        _, remarks = plan_system(settings, {}, tmp_path)
        assert any("nobody has to sign in" in remark for remark in remarks) is warned


def test_a_home_that_others_may_read_is_said(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for mode, warned in ((0o755, True), (0o710, True), (0o700, False)):
        home.chmod(mode)
        _, remarks = plan_system(Settings(home=home), {}, tmp_path)
        assert any(f"chmod 700 {home}" in remark for remark in remarks) is warned


def test_mlflow_keeps_no_list_of_what_was_looked_at(tmp_path: Path) -> None:
    command = plan(tmp_path)["mlflow"].command
    assert command[command.index("--uvicorn-opts") + 1] == "--no-access-log"


def test_what_is_written_to_mlflow_is_written_by_an_account_of_its_own(tmp_path: Path) -> None:
    first, second = (plan(tmp_path, basic_auth=SecretStr(ACCOUNTS)) for _ in range(2))
    for name in ("page", "runner"):
        assert first[name].environment["MLFLOW_TRACKING_USERNAME"] == "sgps-service"
    passwords = {
        servers["mlflow"].environment["MLFLOW_AUTH_ADMIN_PASSWORD"] for servers in (first, second)
    }
    assert len(passwords) == 2
    assert not passwords & {"long-password-1", "long-password-2"}
    taken = SecretStr("sgps-service:long-password-1:steward")
    with pytest.raises(InputError, match="the name sgps-service"):
        plan(tmp_path, basic_auth=taken)


@pytest.mark.parametrize("accounts", ["ada", "ada:", ":long-password-1", "ada:short", "ada:x,"])
def test_wrong_accounts_are_refused_without_showing_them(tmp_path: Path, accounts: str) -> None:
    with pytest.raises(InputError, match="account 1 of SGPS_BASIC_AUTH") as caught:
        plan(tmp_path, basic_auth=SecretStr(accounts))
    assert "long-password-1" not in str(caught.value)


def test_s3_needs_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgps.service._system.find_spec", lambda _name: None)
    with pytest.raises(InputError, match="boto3"):
        plan(tmp_path, artifact_uri="s3://bucket")
    monkeypatch.setattr("sgps.service._system.find_spec", lambda _name: object())
    assert "s3://bucket" in plan(tmp_path, artifact_uri="s3://bucket")["mlflow"].command


def test_addresses() -> None:
    assert near_host("0.0.0.0") == "127.0.0.1"
    assert near_host("::1") == "[::1]"
    assert prefect_api("::", 4200) == "http://[::1]:4200/api"
    assert open_address("127.0.0.1", 5000) == "http://127.0.0.1:5000"
    assert host_headers("127.0.0.1", 5000) == ("localhost:5000", "127.0.0.1:5000")
    assert "10.*" in host_headers("0.0.0.0", 5000)
    assert "10.*" not in host_headers("10.1.2.3", 5000)
    assert "*" not in host_headers("0.0.0.0", 5000)
    assert with_driver("sqlite:///a.db", "mlflow") == "sqlite:///a.db"
