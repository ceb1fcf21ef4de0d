"""The bill of materials: complete, valid, the same every time, beside each promoted generator."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import pytest

from sgps.audit import Ledger
from sgps.errors import StoreError
from sgps.service.promotion import current_folder, decide_and_promote
from sgps.service.sbom import SBOM_FILE, GeneratorComponent, build_sbom, write_sbom
from sgps.settings import Settings


def test_the_bill_names_what_is_installed(tmp_path: Path) -> None:
    digest = write_sbom(tmp_path / "a" / "sbom.json")
    data = (tmp_path / "a" / "sbom.json").read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest
    bill = json.loads(data)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "sgps"
    components = {item["name"]: item for item in bill["components"]}
    assert components["torch"]["version"] == version("torch")
    assert components["torch"]["purl"].startswith("pkg:pypi/torch@")
    needs = {item["ref"]: item.get("dependsOn", []) for item in bill["dependencies"]}
    own = next(ref for ref in needs if ref.startswith("pkg:pypi/sgps@"))
    assert any(ref.startswith("pkg:pypi/mlflow@") for ref in needs[own])


def test_the_same_environment_gives_the_same_bill() -> None:
    generator = GeneratorComponent("default", "ab" * 32)
    first = build_sbom(generator)
    assert first == build_sbom(generator)
    assert first != build_sbom(GeneratorComponent("default", "cd" * 32))
    models = [
        item for item in json.loads(first)["components"] if item["type"] == "machine-learning-model"
    ]
    assert [model["hashes"][0]["content"] for model in models] == ["ab" * 32]


def test_a_bill_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError):
        write_sbom(tmp_path / "file" / "sbom.json")


def test_a_promoted_generator_carries_its_bill(tmp_path: Path, untrained_generator: Path) -> None:
    settings = Settings(home=tmp_path / "home", generator=str(tmp_path / "none"))
    decision = decide_and_promote(untrained_generator, None, settings, {"flow": "test"})
    assert decision.promoted
    data = (current_folder(settings) / SBOM_FILE).read_bytes()
    assert decision.candidate_sha256 in data.decode()
    with Ledger.open(settings.resolved_ledger_url.get_secret_value()) as ledger:
        (entry,) = ledger.entries("promotion")
    assert entry.record["sbom_sha256"] == hashlib.sha256(data).hexdigest()
    record = json.loads((current_folder(settings) / "promotion.json").read_text())
    assert record == entry.record
