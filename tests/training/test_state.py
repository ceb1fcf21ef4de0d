"""Where a run stands, and what a validation changes about it."""

from __future__ import annotations

from sgps.training.state import RunProgress
from sgps.training.validation import ValidationScores


def scores(accuracy: float) -> ValidationScores:
    return ValidationScores(accuracy, 1.0, {"phantom/1-shot": accuracy})


def test_only_a_higher_accuracy_is_the_best_so_far() -> None:
    progress = RunProgress()
    best = [
        progress.record_validation(episode, scores(accuracy))
        for episode, accuracy in [(0, 0.0), (4, 0.5), (8, 0.5), (12, 0.4)]
    ]
    assert best == [True, True, False, False]
    assert (progress.best_score, progress.best_episode) == (0.5, 4)
    assert progress.stale_validations == 2
    assert progress.record_validation(16, scores(0.6))
    assert progress.stale_validations == 0


def test_every_validation_is_in_the_history() -> None:
    progress = RunProgress()
    progress.record_validation(0, scores(0.5))
    progress.record_validation(4, scores(0.4), 0.7)
    assert [entry["train_loss"] for entry in progress.history] == [None, 0.7]
    assert progress.history[1] == {
        "episode": 4,
        "train_loss": 0.7,
        "accuracy": 0.4,
        "loss": 1.0,
        "by_dataset": {"phantom/1-shot": 0.4},
    }
