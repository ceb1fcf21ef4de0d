"""``sgps synthesize`` sent twice, ``sgps requests`` and ``sgps reconcile``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_outcome import Outcome, Sgps

pytestmark = pytest.mark.usefixtures("used_home")


def done(outcome: Outcome) -> str:
    assert outcome.code == 0, outcome
    return outcome.stdout


def test_the_same_request_is_made_once(sgps: Sgps, lesions: Path) -> None:
    first = json.loads(done(sgps("synthesize", lesions, "--json")))
    assert json.loads(done(sgps("synthesize", lesions, "--json"))) == first
    (listed,) = json.loads(done(sgps("requests", "--json")))
    assert listed["request_id"] == first["request_id"]
    assert (listed["state"], listed["model_uri"]) == ("done", first["model_uri"])
    assert first["model_uri"] in done(sgps("requests", "--state", "done"))
    assert json.loads(done(sgps("requests", "--state", "failed", "--json"))) == []
    other = json.loads(done(sgps("synthesize", lesions, "--key", "mine", "--json")))
    assert (other["version"], other["weights_sha256"]) == ("2", first["weights_sha256"])


def test_an_accepted_request_is_finished_later(
    sgps: Sgps, lesions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("SGPS_TRACKING_URI", "http://127.0.0.1:9")
        sgps("synthesize", lesions, "--json").assert_one_line_error("is accepted but not done")
        (waiting,) = json.loads(done(sgps("requests", "--state", "accepted", "--json")))
        assert "tracking store" in waiting["error"]
    report = json.loads(done(sgps("reconcile", "--json")))
    assert report["finished"] == [f"{waiting['request_id']}: done: models:/lesions/1"]
    assert "outcome" in done(sgps("reconcile"))


def test_an_unknown_state_is_named(sgps: Sgps) -> None:
    sgps("requests", "--state", "lost").assert_one_line_error("accepted, running, done, failed")
