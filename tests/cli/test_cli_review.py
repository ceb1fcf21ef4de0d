"""``sgps review`` from draft to archive, and what ``sgps predict`` says meanwhile."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_outcome import Sgps

from sgps.service.identity import login_of_process

pytestmark = pytest.mark.usefixtures("used_home")


@pytest.fixture
def sign_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes this process one of another login."""

    def be(login: str) -> None:
        monkeypatch.setattr("sgps.service.identity.login_of_process", lambda: login)

    return be


def test_the_login_is_the_systems_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert login_of_process() == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 3)
    assert login_of_process() == f"uid {2**31 - 3}"


def test_the_login_that_typed_the_request_cannot_decide(
    sgps: Sgps, lesions: Path, sign_in: Callable[[str], None]
) -> None:
    sign_in("ada")
    made = sgps("synthesize", lesions, "--requester", "Dr. Ada", "--task", "Moles", "--json")
    uri = json.loads(made.stdout)["model_uri"]
    [entry] = json.loads(sgps("audit", "list", "--kind", "synthesize", "--json").stdout)
    assert entry["record"]["audit"]["who"] == {
        "requester": "Dr. Ada", "role": "steward", "authentication": "none", "login": "ada"
    }  # fmt: skip
    assert sgps("review", "submit", uri).code == 0
    for verb in ("approve", "reject"):
        refused = sgps("review", verb, uri, "--reviewer", "Dr. Bo", "--reason", "Fine.")
        refused.assert_one_line_error("asked for by Dr. Ada, with the login ada", "another login")
    sign_in("bo")
    named = sgps("review", "approve", uri, "--reviewer", "ADA", "--reason", "Fine.")
    named.assert_one_line_error("with the login ada")
    assert sgps("review", "approve", uri, "--reviewer", "Dr. Bo", "--reason", "Fine.").code == 0
    decision = json.loads(sgps("audit", "list", "--kind", "review", "--json").stdout)[-1]["record"]
    assert (decision["reviewer"], decision["role"]) == ("Dr. Bo", None)
    assert (decision["authentication"], decision["login"]) == ("none", "bo")
    assert "none (login bo)" in sgps("review", "show", uri).stdout


def test_a_review_on_the_command_line(
    sgps: Sgps, lesions: Path, sign_in: Callable[[str], None]
) -> None:
    image = lesions.parent / "held_out" / "melanoma" / "3.png"
    made = sgps("synthesize", lesions, "--requester", "Dr. Ada", "--task", "Moles", "--json")
    uri = json.loads(made.stdout)["model_uri"]
    review = ("review", "approve", uri, "--reason", "Looked at 50 cases.")

    sign_in("bo")
    shown = sgps("review", "show", uri)
    assert shown.stdout.splitlines() == ["model  models:/moles/1", "state  draft"]
    sgps(*review, "--reviewer", "Dr. Bo").assert_one_line_error("is draft", "pending review")
    assert sgps("review", "submit", uri, "--reviewer", "Dr. Ada").code == 0
    sgps(*review, "--reviewer", "dr. ada").assert_one_line_error("not the requester")
    sgps("review", "reject", uri, "--reviewer", "Dr. Bo").assert_one_line_error("reason")
    seen = sgps("predict", uri, image, "--who", "Dr. Cy")
    assert "is not approved (state: pending review)" in seen.stderr
    header = seen.stdout.splitlines()[0].split()
    assert header == ["image", "label", "probability", "note"]

    approved = sgps(*review, "--reviewer", "Dr. Bo", "--role", "reviewer", "--json")
    state = json.loads(approved.stdout)
    assert (state["model_uri"], state["state"]) == (uri, "approved")
    assert [change["who"] for change in state["history"]] == ["Dr. Ada", "Dr. Bo"]
    seen = sgps("predict", "models:/moles@approved", image, "--no-record-access", "--json")
    assert "approved" not in seen.stderr
    [prediction] = json.loads(seen.stdout)["predictions"]
    assert prediction["state"] == "approved"
    [found] = json.loads(sgps("models", "--state", "approved", "--json").stdout)
    assert found["aliases"] == ["approved"]
    assert "Looked at 50 cases." in sgps("review", "show", "models:/moles@approved").stdout

    assert sgps("review", "archive", uri).code == 0
    sgps("predict", "models:/moles@approved", image).assert_one_line_error("moles@approved")
    again = sgps("review", "show", uri, "--repair", "--json")
    assert "repaired" not in again.stderr
    assert json.loads(again.stdout)["state"] == "archived"
    [access] = json.loads(sgps("audit", "list", "--kind", "access", "--json").stdout)
    assert access["subject"] == uri
    assert (access["record"]["who"], access["record"]["images"]) == ("Dr. Cy", 1)
