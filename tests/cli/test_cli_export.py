"""``sgps models export``, and ``sgps models`` as it was before it had a second command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_outcome import KINDS, Sgps

from sgps.synthesizer.compact import CompactClassifier

pytestmark = pytest.mark.usefixtures("used_home")


@pytest.fixture
def model_uri(sgps: Sgps, lesions: Path) -> str:
    made = sgps("synthesize", lesions, "--task", "Moles", "--requester", "Dr. Ada", "--json")
    assert made.code == 0, made.stderr
    return str(json.loads(made.stdout)["model_uri"])


def test_both_forms(sgps: Sgps, model_uri: str, tmp_path: Path) -> None:
    import onnxruntime

    onnx, compact = tmp_path / "moles.onnx", tmp_path / "moles-compact"
    done = sgps("models", "export", model_uri, "--onnx", onnx, "--compact", compact, "--json")
    assert done.code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["model_uri"] == model_uri
    assert facts["onnx"] == str(onnx)
    assert facts["compact"] == str(compact)
    assert 0 <= facts["onnx_difference"] <= 1e-4
    assert facts["compact_bytes"] <= 500_000
    found = CompactClassifier.load(compact).description
    assert found["weights_sha256"] == facts["weights_sha256"]
    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
    assert set(names) == set(KINDS)


def test_words_for_people_and_errors(sgps: Sgps, model_uri: str, tmp_path: Path) -> None:
    done = sgps("models", "export", model_uri, "--compact", tmp_path / "compact")
    assert done.code == 0, done.stderr
    assert "compact_bytes" in done.stdout
    assert "onnx" not in done.stdout
    sgps("models", "export", model_uri).assert_one_line_error("--onnx FILE")
    sgps("models", "export", "models:/nosuch/1", "--compact", tmp_path).assert_one_line_error(
        "nosuch"
    )
    sgps(
        "models", "export", model_uri, "--compact", tmp_path / "other", "--generator", "default"
    ).assert_one_line_error("did not make this classifier")
    assert not (tmp_path / "other").exists()


def test_list_is_what_models_does_by_itself(sgps: Sgps, model_uri: str) -> None:
    listed = sgps("models", "list", "--json").stdout
    assert json.loads(listed)[0]["model_uri"] == model_uri
    assert sgps("models", "--json").stdout == listed
    assert sgps("models", "moles", "--json").stdout == listed
    assert sgps("models", "--requester", "Dr. Ada", "--json").stdout == listed
    assert json.loads(sgps("models", "nosuch", "--json").stdout) == []
