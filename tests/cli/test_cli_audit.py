"""``sgps audit``: search, verify, checkpoint, export, erase and sbom, from a recorded model on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_outcome import Outcome, Sgps

pytestmark = pytest.mark.usefixtures("used_home")

COMMANDS = (
    "list", "show", "search", "verify", "checkpoint", "export", "check-export", "erase", "sbom",
)  # fmt: skip


@pytest.fixture
def model(sgps: Sgps, lesions: Path) -> dict[str, str]:
    made = sgps("synthesize", lesions, "--requester", "Dr. Ada", "--json")
    assert made.code == 0, made.stderr
    receipt: dict[str, str] = json.loads(made.stdout)
    return receipt


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_ends_with_an_example(sgps: Sgps, command: str) -> None:
    outcome = sgps("audit", command, "--help")
    assert outcome.code == 0
    assert f"Example:\n    sgps audit {command}" in outcome.stdout


def result(outcome: Outcome) -> dict[str, object]:
    assert outcome.code == 0, outcome.stderr
    value: dict[str, object] = json.loads(outcome.stdout)
    return value


def test_from_search_to_erasure(
    sgps: Sgps, model: dict[str, str], lesions: Path, sgps_home: Path, tmp_path: Path
) -> None:
    uri = model["model_uri"]
    image = lesions / "melanoma" / "0.png"
    for query in (
        ("--requester", "Dr. Ada"),
        ("--state", "draft"),
        ("--image", image),
        ("--task", "lesions", "--requester", "Dr. Ada"),
    ):
        found = json.loads(sgps("audit", "search", *query, "--json").stdout)
        assert [one["model_uri"] for one in found] == [uri], query
    assert json.loads(sgps("audit", "search", "--requester", "Nobody", "--json").stdout) == []
    nobody = sgps("audit", "search", "--requester", "x")
    assert (nobody.code, nobody.stderr) == (0, "nothing found for requester 'x'\n")
    assert uri in sgps("audit", "search", "--requester", "dr. ada").stdout
    assert uri in sgps("audit", "search").stdout
    sgps("audit", "list", "--kind", "nonsense").assert_one_line_error("nonsense", "synthesize")
    assert sgps("audit", "list", "--kind", "promotion").code == 0
    sgps("audit", "search", "--state", "odd").assert_one_line_error("odd")

    checkpoint = tmp_path / "safe" / "checkpoint.json"
    assert result(sgps("audit", "checkpoint", "--out", checkpoint, "--json"))["number"] == 1
    verified = result(sgps("audit", "verify", "--checkpoint", checkpoint, "--json"))
    assert verified["passed"] is True
    assert verified["versions"] == 1

    archive = tmp_path / "record.zip"
    receipt = result(sgps("audit", "export", uri, "--out", archive, "--by", "Dr. Eve", "--json"))
    fingerprint = str(receipt["fingerprint"])
    check = sgps("audit", "check-export", archive, "--fingerprint", fingerprint, "--json")
    assert result(check)["trusted"] is True
    sgps("audit", "check-export", archive, "--fingerprint", "0" * 64).assert_one_line_error("key")

    dry = sgps("audit", "erase", "--image", image)
    assert dry.code == 0
    assert uri in dry.stdout
    assert "was exported" in dry.stderr
    assert "nothing was done" in dry.stderr
    sgps("audit", "erase", "--image", image, "--yes").assert_one_line_error("--reason")
    done = sgps(
        "audit", "erase", "--image", image, "--reason", "Withdrawn.", "--by", "Dr. Eve", "--yes"
    )
    assert done.code == 0
    assert "Backups" in done.stderr
    verified = result(sgps("audit", "verify", "--checkpoint", checkpoint, "--json"))
    assert verified["erased"] == [uri]
    found = json.loads(sgps("audit", "search", "--state", "erased", "--json").stdout)
    assert [one["model_uri"] for one in found] == [uri]
    assert "erased  Dr. Eve" in sgps("review", "show", uri).stdout
    assert sgps("predict", uri, image).code == 2
    assert not list((sgps_home / "mlflow" / "artifacts").rglob("*.png"))
    sgps("audit", "erase", "--image", image).assert_one_line_error("nothing is kept")


def test_findings_are_listed_and_named(
    sgps: Sgps, model: dict[str, str], sgps_home: Path, tmp_path: Path
) -> None:
    folder = sgps_home / "mlflow" / "artifacts" / model["run_id"] / "artifacts"
    (folder / "texts.json").unlink()
    outcome = sgps("audit", "verify")
    outcome.assert_one_line_error("texts.json", model["model_uri"])
    assert "missing artifact" in outcome.stdout
    chain = sgps("audit", "verify", "--chain-only")
    assert chain.code == 0
    assert chain.stdout.endswith("; versions not compared\n")
    listed = json.loads(sgps("audit", "verify", "--json").stdout)
    assert [one["where"] for one in listed["findings"]] == ["texts.json"]
    (tmp_path / "no.json").write_text("{}")
    sgps("audit", "verify", "--checkpoint", tmp_path / "no.json").assert_one_line_error("no.json")


def test_a_checkpoint_that_proves_a_truncation_is_not_overwritten(
    sgps: Sgps, model: dict[str, str], sgps_home: Path, tmp_path: Path
) -> None:
    del model
    checkpoint = tmp_path / "checkpoint.json"
    assert sgps("audit", "checkpoint", "--out", checkpoint).code == 0
    assert sgps("audit", "checkpoint", "--out", checkpoint).code == 0
    kept = checkpoint.read_bytes()
    ledger = sgps_home / "ledger.db"
    ledger.rename(tmp_path / "ledger.db")
    sgps("audit", "checkpoint", "--out", checkpoint).assert_one_line_error("cut off")
    assert checkpoint.read_bytes() == kept


def test_what_is_written_is_for_its_owner_alone(
    sgps: Sgps, model: dict[str, str], sgps_home: Path, tmp_path: Path
) -> None:
    archive, checkpoint = tmp_path / "record.zip", tmp_path / "checkpoint.json"
    assert sgps("audit", "export", model["model_uri"], "--out", archive).code == 0
    assert sgps("audit", "checkpoint", "--out", checkpoint).code == 0
    for path in (sgps_home, sgps_home / "ledger.db", archive, checkpoint):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_bill_of_materials_is_written(sgps: Sgps, tmp_path: Path) -> None:
    assert len(str(result(sgps("audit", "sbom", "--out", tmp_path / "b.json", "--json"))["sha256"]))
    assert json.loads((tmp_path / "b.json").read_text())["specVersion"] == "1.6"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("erase",), "0 things"),
        (("erase", "--person", "p", "--model", "models:/m/1"), "2 things"),
        (("erase", "--image", "nosuch.png"), "nosuch.png"),
        (("export", "models:/m/1", "--out", "x.zip"), "models:/m/1"),
        (("check-export", "nosuch.zip"), "nosuch.zip"),
        (("search", "--image", "xyz"), "xyz"),
    ],
)
def test_wrong_input_is_one_line(
    sgps: Sgps,
    arguments: tuple[str, ...],
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    sgps("audit", *arguments).assert_one_line_error(word)
    assert not list(tmp_path.glob("*.zip"))
