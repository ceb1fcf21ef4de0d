"""``sgps doctor``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_outcome import Sgps


def test_a_healthy_installation(sgps: Sgps) -> None:
    outcome = sgps("doctor", "--json")
    assert outcome.code == 0, outcome.stdout
    content = json.loads(outcome.stdout)
    assert content["healthy"] is True
    looked_at = {check["subject"] for check in content["checks"]}
    assert {"python", "encoders", "home", "ledger", "registry", "disk", "device"} <= looked_at
    assert sgps("doctor").stdout.splitlines()[0].split() == ["subject", "state", "detail"]


def test_a_home_that_others_may_read_is_warned_of(sgps: Sgps, sgps_home: Path) -> None:
    sgps_home.mkdir(mode=0o755)
    sgps_home.chmod(0o755)
    outcome = sgps("doctor", "--json")
    assert outcome.code == 0, outcome.stdout
    [home] = [one for one in json.loads(outcome.stdout)["checks"] if one["subject"] == "home"]
    assert home["state"] == "warning"
    assert "chmod 700" in home["detail"]


def test_broken_things_are_named(
    sgps: Sgps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SGPS_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setenv("SGPS_GENERATOR", "nosuch")
    outcome = sgps("doctor", "--json")
    assert outcome.code == 1
    states = {check["subject"]: check["state"] for check in json.loads(outcome.stdout)["checks"]}
    assert {subject for subject, state in states.items() if state == "broken"} == {
        "home",
        "ledger",
        "registry",
        "generator",
    }
