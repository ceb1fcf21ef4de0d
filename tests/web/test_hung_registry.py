"""A registry that takes connections and never answers: what people ask for goes on all the same."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sending import picture, request_for, services
from starlette.testclient import TestClient

from sgps.audit import RequestState
from sgps.errors import StoreError
from sgps.web.registry_gate import RegistryGate
from sgps.web.services import TRYING_THREADS

OpenClient = Callable[..., TestClient]


@pytest.fixture
def hung() -> Iterator[socket.socket]:
    """A server whose connections the system takes, and nobody answers; closing it ends them."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(128)
        yield server


@pytest.fixture
def open_hung(
    open_client: OpenClient, hung: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> Callable[[float], TestClient]:
    """Opens a client whose registry hangs for a minute; it is given up after some seconds."""

    def open_with(patience: float) -> TestClient:
        monkeypatch.setattr("sgps.registry._reachability._SECONDS", 60.0)
        monkeypatch.setattr("sgps.web.registry_gate.SECONDS_TO_ANSWER", patience)
        return open_client(tracking_uri=_address(hung), wait=0.2)

    return open_with


def _address(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_nothing_that_is_sent_waits_for_it(
    open_hung: Callable[[float], TestClient], hung: socket.socket
) -> None:
    """More predictions than threads hang; a picture and a request are accepted meanwhile."""
    client = open_hung(60.0)
    fields = request_for(client, "Waits")
    with ThreadPoolExecutor(3 * TRYING_THREADS) as people:
        tries = [
            people.submit(client.post, "/api/models/moles/1/predict", content=picture(1))
            for _ in range(3 * TRYING_THREADS)
        ]
        dropped = client.post("/api/images", content=picture(2))
        asked = client.post("/api/requests", json=fields)
        assert not any(one.done() for one in tries)
        hung.close()
        answers = [one.result() for one in tries]
    assert dropped.status_code == 201
    assert (asked.status_code, asked.json()["state"]) == (202, "pending")
    assert {one.status_code for one in answers} == {503}


def test_who_tries_a_classifier_is_told_before_it_answers(
    open_hung: Callable[[float], TestClient], hung: socket.socket
) -> None:
    client = open_hung(0.3)
    predicted = client.post("/api/models/moles/1/predict", content=picture(1))
    shown = client.get("/api/models/moles/1/support/0")
    assert any(thread.name == "sgps-asking" for thread in threading.enumerate())
    for answer in (predicted, shown):
        assert answer.status_code == 503
        assert "does not answer" in answer.json()["error"]["what"]
        assert answer.json()["error"]["remedy"]
        assert "retry-after" in answer.headers
    hung.close()


def test_a_request_is_put_back(
    open_hung: Callable[[float], TestClient], hung: socket.socket
) -> None:
    client = open_hung(0.3)
    answer = client.post("/api/requests", json=request_for(client, "Put back")).json()
    worker = services(client).worker
    ended = worker.enqueue(answer["request_id"]).result(timeout=60)
    assert ended.state is RequestState.ACCEPTED
    assert "does not answer" in ended.error
    assert [row.task for row in worker.workspace.ledger.outbox.waiting()] == ["Put back"]
    hung.close()


def test_one_question_is_asked_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    enough = threading.Event()

    def ask(uri: str) -> None:
        asked.append(uri)
        enough.wait(60)

    monkeypatch.setattr("sgps.web.registry_gate.check_reachable", ask)
    gate = RegistryGate("http://127.0.0.1:1", seconds=0.2)
    with ThreadPoolExecutor(8) as people:
        tries = [people.submit(gate.require_answer) for _ in range(8)]
        errors = [one.exception() for one in tries]
    enough.set()
    assert asked == ["http://127.0.0.1:1"]
    assert all("does not answer" in str(error) for error in errors)


def test_it_is_asked_again(hung: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgps.web.registry_gate._SECONDS_BELIEVED", 0.0)
    gate = RegistryGate(_address(hung), seconds=60.0)
    answering = threading.Thread(target=_answer_once, args=(hung,), daemon=True)
    answering.start()
    gate.require_answer()
    answering.join()
    hung.close()
    time.sleep(0.01)
    with pytest.raises(StoreError, match="cannot be used"):
        gate.require_answer()


def _answer_once(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1_000)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nOK")


def test_a_registry_in_a_file_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgps.web.registry_gate.check_reachable", None)
    RegistryGate("sqlite:////nowhere/mlflow.db", seconds=1.0).require_answer()
