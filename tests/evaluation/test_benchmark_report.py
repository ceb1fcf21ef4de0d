import json

import numpy as np
import pytest

from sgps.errors import StoreError
from sgps.evaluation import BenchmarkReport, Prediction
from sgps.evaluation.metrics import risk_coverage
from sgps.evaluation.report import save_json
from sgps.evaluation.scores import MethodTally, QueryTruth

LABELS_Q = np.repeat([0, 1], 6)
SETTINGS = {
    "name": "ISIC-FS", "dataset": "ham10000", "role": "novel_test", "n_way": 2, "k_shot": 5,
    "episodes": 5, "resolution": 32, "seed": 0,
}  # fmt: skip


def draw_scores(seed: int, episodes: int = 5, skill: float = 1.0):
    rng = np.random.default_rng(seed)
    tally = MethodTally()
    for _ in range(episodes):
        logits_QN = rng.normal(size=(12, 2)) + skill * np.eye(2)[LABELS_Q]
        probs_QN = np.exp(logits_QN) / np.exp(logits_QN).sum(1, keepdims=True)
        truth = QueryTruth(LABELS_Q, np.arange(12))
        tally.add(Prediction(probs_QN, 0.1, 0.2), truth, ("a", "b"))
    return tally.scores()


@pytest.fixture(scope="module")
def report():
    scores = {"sgps": draw_scores(0, skill=2.0), "public/ridge": draw_scores(1)}
    return BenchmarkReport(SETTINGS, {**scores, "public/fine_tuning": draw_scores(2, episodes=3)})


def test_report_has_the_agreed_form(report):
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    names = {"sgps", "public/ridge", "public/fine_tuning"}
    parts = {"methods", "episodes_of", "curves", "subgroups"}
    assert set(content) == parts | {"settings", "paired"}
    assert all(set(content[part]) == names for part in parts)
    for figures in content["methods"].values():
        assert set(figures) == {
            "accuracy", "balanced_accuracy", "auroc", "brier", "ece", "seconds_per_synthesis",
            "seconds_per_query", "recall:a", "recall:b",
        }  # fmt: skip
        for interval in figures.values():
            assert set(interval) == {"mean", "low", "high"}
            assert interval["low"] <= interval["mean"] <= interval["high"]
    assert set(content["paired"]) == names - {"sgps"}
    for paired in content["paired"].values():
        assert set(paired) == {"difference", "low", "high", "episodes"}
    assert content["episodes_of"] == {"sgps": 5, "public/ridge": 5, "public/fine_tuning": 3}
    assert content["paired"]["public/fine_tuning"]["episodes"] == 3


def test_curves_are_those_of_all_queries(report):
    curves = report.to_dict()["curves"]["sgps"]
    scores = report.scores["sgps"]
    assert curves["coverage"] == pytest.approx(np.arange(1, 21) / 20)
    assert curves["accuracy"] == pytest.approx(risk_coverage(scores.confidence, scores.hits)[1])
    assert curves["accuracy"][-1] == pytest.approx(scores.hits.mean())
    reliability = curves["reliability"]
    assert sum(reliability["counts"]) == len(scores.hits) == 60
    assert min(reliability["counts"]) > 0
    assert np.average(reliability["accuracy"], weights=reliability["counts"]) == pytest.approx(
        scores.hits.mean()
    )
    assert np.average(reliability["confidence"], weights=reliability["counts"]) == pytest.approx(
        scores.confidence.mean()
    )


def test_without_the_synthesizer_nothing_is_paired():
    assert BenchmarkReport(SETTINGS, {"public/ridge": draw_scores(1)}).to_dict()["paired"] == {}


def test_saved_report_is_its_dictionary(report, tmp_path):
    report.save(tmp_path / "reports" / "report.json")
    assert json.loads((tmp_path / "reports" / "report.json").read_text()) == report.to_dict()
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["report.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        report.save(tmp_path / "file" / "report.json")


def test_what_is_no_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_json({"accuracy": float("nan")}, tmp_path / "report.json")
    assert list(tmp_path.iterdir()) == []


def test_table_names_every_method(report):
    text = report.to_text()
    assert all(name in text for name in report.scores)
    assert text.startswith("ISIC-FS (novel_test): 2-way 5-shot, 5 episodes")
    assert "±" in text
