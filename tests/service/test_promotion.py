"""Promotion: one at a time, against what was compared with, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sgps.audit import Ledger
from sgps.errors import ConflictError
from sgps.service.promotion import current_folder, decide_and_promote, find_incumbent
from sgps.settings import Settings

BETTER = {"difference": 0.02, "low": 0.01, "high": 0.03}
TEST = {"flow": "test"}


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "own", generator="nosuch")


@pytest.fixture
def promoted(own: Settings, untrained_generator: Path) -> str:
    """Digest of the generator in use."""
    return decide_and_promote(untrained_generator, None, own, TEST).candidate_sha256


def entries(settings: Settings) -> list[dict[str, Any]]:
    with Ledger.open(settings.resolved_ledger_url.get_secret_value()) as ledger:
        return [entry.record for entry in ledger.entries(kind="promotion")]


@pytest.mark.parametrize("compared", ["", "ab" * 32])
def test_figures_against_another_generator_promote_nothing(
    compared: str, promoted: str, untrained_generator: Path, own: Settings
) -> None:
    with pytest.raises(ConflictError, match=f"not {promoted[:12]}.*run the retraining again"):
        decide_and_promote(untrained_generator, BETTER, own, TEST, compared_sha256=compared)
    assert len(entries(own)) == 1
    decide_and_promote(untrained_generator, BETTER, own, TEST, compared_sha256=promoted)
    assert len(entries(own)) == 2


def interrupted_at(patched: pytest.MonkeyPatch, where: str) -> None:
    """Let a promotion end at a step as a kill would: nothing is cleaned up after it."""
    rename: Callable[[Path, Path], Path] = Path.rename

    def rename_unless(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(self, target)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if where == "ledger":
        patched.setattr(Ledger, "append", fail)
    else:
        patched.setattr(Path, "rename", rename_unless)
        patched.setattr("sgps.service.promotion.shutil.rmtree", lambda *_, **__: None)


@pytest.mark.usefixtures("promoted")
def test_what_was_set_aside_is_put_back(
    untrained_generator: Path, own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupted_at(patched, "folder")
        with pytest.raises(KeyboardInterrupt):
            decide_and_promote(untrained_generator, BETTER, own, TEST)
    assert not current_folder(own).exists()
    assert find_incumbent(own) == str(current_folder(own))
    assert [path.name for path in current_folder(own).parent.iterdir()] == ["current"]
    assert len(entries(own)) == 1


def test_a_promotion_that_the_ledger_lacks_is_entered_with_the_next(
    promoted: str, untrained_generator: Path, own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupted_at(patched, "ledger")
        with pytest.raises(KeyboardInterrupt):
            decide_and_promote(untrained_generator, BETTER, own, {"flow": "interrupted"})
    installed = json.loads((current_folder(own) / "promotion.json").read_text())
    assert installed["provenance"] == {"flow": "interrupted"}
    assert [entry["provenance"] for entry in entries(own)] == [TEST]
    worse = {"difference": 0.0, "low": -0.01, "high": 0.01}
    for _ in range(2):
        decide_and_promote(untrained_generator, worse, own, TEST, compared_sha256=promoted)
    flows = [entry["provenance"]["flow"] for entry in entries(own)]
    assert flows == ["test", "interrupted", "test", "test"]
    assert entries(own)[1] == installed
