"""Flow retrain: the whole chain on drawn lesions, and the decision at its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from flows.retrain import RetrainRequest, decide_promotion, retrain
from sgps.audit import Ledger
from sgps.service.promotion import current_folder, find_incumbent
from sgps.settings import load_settings
from sgps.synthesizer import Synthesizer

pytestmark = pytest.mark.usefixtures("prefect_server", "home")

TRAINING = {
    "episodes": 2, "max_ways": 3, "max_shots": 2, "queries": 2, "validate_every": 2,
    "validation_episodes": 2, "checkpoint_every": 2, "warmup_steps": 1,
    "validation_roles": ["novel_val"], "generator": {"resolution": 32},
}  # fmt: skip


def test_the_whole_chain_ends_in_a_recorded_decision(phantom_root: Path, tmp_path: Path) -> None:
    request = RetrainRequest.model_validate(
        {
            "training": {"folder": tmp_path / "run", "root": phantom_root, "config": TRAINING},
            "episodes": {
                "dataset": "phantom", "root": phantom_root, "index": tmp_path / "index.json",
                "role": "novel_val", "n_way": 3, "n_query": 3, "episodes": 4,
            },
            "report": tmp_path / "validation.html",
            "evaluation": tmp_path / "evaluation.json",
        }
    )  # fmt: skip
    outcome = retrain(request)
    report = json.loads((tmp_path / "evaluation.json").read_text())
    decision = outcome["decision"]
    baselines = {"public/nearest_centroid", "meta/nearest_centroid"}
    assert {"sgps", "incumbent", *baselines} <= set(report["methods"])
    assert decision["promoted"] is (report["paired"]["incumbent"]["low"] > 0)
    assert decision["candidate_sha256"] == outcome["training"]["generator_sha256"]
    [entry] = _ledger_entries()
    assert entry["provenance"]["flow"] == "retrain"
    assert entry["provenance"]["flow_run_id"]
    assert entry["promoted"] is decision["promoted"]
    compared = report["settings"]["methods"]["incumbent"]["generator_sha256"]
    assert entry["incumbent_sha256"] == compared


def test_a_promotion_looks_at_no_final_figures(tmp_path: Path) -> None:
    episodes = {"dataset": "phantom", "root": tmp_path, "index": tmp_path / "i.json"}
    training = {"folder": tmp_path, "root": tmp_path}
    with pytest.raises(ValidationError, match="novel_test, which no choice may look at"):
        RetrainRequest.model_validate({"training": training, "episodes": episodes})


@pytest.mark.parametrize(
    ("low", "promoted"), [(0.001, True), (0.0, False), (-0.01, False)], ids=str
)
def test_only_a_lower_bound_above_zero_promotes(
    low: float, promoted: bool, untrained_generator: Path
) -> None:
    paired = {"difference": 0.02, "low": low, "high": 0.05}
    decision = decide_promotion.fn(untrained_generator, paired, {"flow": "test"})
    settings = load_settings()
    assert decision["promoted"] is promoted
    assert (current_folder(settings) / "promotion.json").exists() is promoted
    if promoted:
        assert find_incumbent(settings) == str(current_folder(settings))
        Synthesizer.load(find_incumbent(settings), device="cpu")
        decide_promotion.fn(untrained_generator, paired, {"flow": "again"})
        folders = [path.name for path in current_folder(settings).parent.iterdir()]
        assert folders == ["current"]
    else:
        assert decision["generator"] == settings.generator


def test_the_first_generator_is_promoted(
    untrained_generator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGPS_GENERATOR", "nosuch")
    assert find_incumbent(load_settings()) == ""
    decision = decide_promotion.fn(untrained_generator, None, {"flow": "test"})
    assert decision["promoted"] is True
    assert decision["incumbent_sha256"] == ""


def _ledger_entries() -> list[dict[str, object]]:
    with Ledger.open(load_settings().resolved_ledger_url.get_secret_value()) as ledger:
        return [entry.record for entry in ledger.entries(kind="promotion")]
