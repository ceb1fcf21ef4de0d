"""``sgps up``, ``sgps down`` and ``sgps status``, with the real servers."""

from __future__ import annotations

import base64
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cli_outcome import Outcome, Sgps

PASSWORD = "a-long-password"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A free port for each server, set in the environment."""
    found = {}
    with_sockets = [socket.socket() for _ in range(3)]
    for name, one in zip(("PAGE", "MLFLOW", "PREFECT"), with_sockets, strict=True):
        one.bind(("127.0.0.1", 0))
        found[name] = int(one.getsockname()[1])
        monkeypatch.setenv(f"SGPS_{name}_PORT", str(found[name]))
    for one in with_sockets:
        one.close()
    return found


@pytest.fixture
def down(sgps: Sgps, ports: dict[str, int]) -> Iterator[None]:
    """Whatever the test started is stopped."""
    yield
    assert sgps("down").code == 0


def test_nothing_runs(sgps: Sgps, sgps_home: Path) -> None:
    for arguments in (("status",), ("up", "--status")):
        outcome = sgps(*arguments)
        assert (outcome.code, outcome.stdout) == (1, f"nothing runs in {sgps_home}\n")
    assert json.loads(sgps("status", "--json").stdout)["running"] is False
    assert sgps("down") == Outcome(0, f"nothing runs in {sgps_home}\n", "")


def test_a_port_taken_by_a_stranger(sgps: Sgps, ports: dict[str, int], sgps_home: Path) -> None:
    with closing(socket.socket()) as stranger:
        stranger.bind(("127.0.0.1", ports["PAGE"]))
        stranger.listen()
        for flags in ((), ("--detach",)):
            outcome = sgps("up", "--no-prefect", *flags)
            assert outcome.code == 2
            [line] = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
            assert f"port {ports['PAGE']} of 127.0.0.1 is in use" in line
            assert "set SGPS_PAGE_PORT to another port" in line
    assert sgps("status").code == 1
    assert not (sgps_home / "logs" / "mlflow.log").exists()


def test_a_short_password_is_refused(sgps: Sgps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGPS_BASIC_AUTH", "ada:short:steward")
    outcome = sgps("up")
    outcome.assert_one_line_error("account 1 of SGPS_BASIC_AUTH", "12 characters")
    assert "short:" not in outcome.stderr


@pytest.mark.usefixtures("down")
def test_page_and_mlflow_start_answer_and_stop(
    sgps: Sgps,
    lesions: Path,
    sgps_home: Path,
    ports: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = sgps("synthesize", lesions, "--requester", "Dr. Ada", "--task", "Moles", "--json")
    assert made.code == 0, made.stderr
    monkeypatch.setenv("SGPS_BASIC_AUTH", f"ada:{PASSWORD}:steward")

    started = sgps("up", "--no-prefect", "--detach")
    assert started.code == 0, started.stderr
    mlflow, page = (f"http://127.0.0.1:{ports[name]}" for name in ("MLFLOW", "PAGE"))
    for address in (mlflow, page):
        assert address in started.stdout

    again = sgps("up", "--no-prefect")
    assert (again.code, again.stdout) == (0, started.stdout)
    assert "stop it with: sgps down" in again.stderr
    with monkeypatch.context() as other:
        other.setenv("SGPS_BASIC_AUTH", f"ada:{PASSWORD}-2:steward")
        sgps("up", "--no-prefect").assert_one_line_error("SGPS_BASIC_AUTH", "sgps down")
    seen = json.loads(sgps("status", "--json").stdout)
    assert seen["ready"]
    assert {one["name"]: one["answers"] for one in seen["servers"]} == {
        "mlflow": True, "page": True,
    }  # fmt: skip

    for address in (f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=1", f"{page}/"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            OPENER.open(address, timeout=20)
        assert refused.value.code == 401
        refused.value.close()

    for call, fields, code in (
        ("experiments/search", {"max_results": 1}, 200),
        ("registered-models/create", {"name": "a-task-to-come"}, 403),
        ("registered-models/alias", {"name": "moles", "alias": "approved", "version": "1"}, 403),
        ("runs/create", {"experiment_id": "1"}, 403),
    ):
        assert _ask_as_reader(f"{mlflow}/api/2.0/mlflow/{call}", fields) == code

    monkeypatch.setenv("SGPS_TRACKING_URI", mlflow)
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    [version] = json.loads(sgps("models", "--json").stdout)
    assert version["model_uri"] == json.loads(made.stdout)["model_uri"]
    image = lesions / "melanoma" / "0.png"
    assert sgps("predict", version["model_uri"], image).code == 0

    stopped = sgps("down")
    assert (stopped.code, stopped.stdout) == (0, "stopped\n")
    assert sgps("status").code == 1
    for written in [*(sgps_home / "logs").iterdir(), *(sgps_home / "run").iterdir()]:
        assert PASSWORD.encode() not in written.read_bytes()


def _ask_as_reader(address: str, fields: dict[str, object]) -> int:
    """Status code of a POST request by the account ada."""
    pair = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        address,
        data=json.dumps(fields).encode(),
        headers={"Authorization": f"Basic {pair}", "Content-Type": "application/json"},
    )
    try:
        with OPENER.open(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return int(refused.code)
