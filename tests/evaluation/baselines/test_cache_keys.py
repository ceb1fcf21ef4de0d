"""Under which key predictions of baselines are kept: whether code and taps have a part in it."""

import pytest
from frozen_example import untrained_base

from sgps.evaluation import sources
from sgps.evaluation.baselines import build_baselines
from sgps.evaluation.episode_cache import method_digest
from sgps.evaluation.features import TapBank
from sgps.evaluation.sources import source_digest
from sgps.synthesizer.tapped_network import LAST, TappedNetwork


def keys(base: TapBank) -> dict[str, str]:
    return {method.name: method_digest(method) for method in build_baselines("all", [base])}


@pytest.fixture
def other_code(tmp_path, monkeypatch):
    """Every module is another one."""
    for path in sources.BASELINE_SOURCES:
        file = tmp_path / path if path.endswith(".py") else tmp_path / path / "other.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("other")

    def use():
        monkeypatch.setattr(sources, "_package", lambda: tmp_path)
        source_digest.cache_clear()

    yield use
    source_digest.cache_clear()


def test_other_code_means_other_predictions_but_of_the_iterative_ones(other_code):
    base = untrained_base()
    before = keys(base)
    other_code()
    after = keys(base)
    same = {name for name, key in before.items() if after[name] == key}
    iterative = {m.name for m in build_baselines("all", [base]) if getattr(m, "iterative", False)}
    assert len(iterative) == 5
    assert same == iterative


def test_other_taps_mean_other_predictions():
    base = untrained_base()
    few = TappedNetwork(base.network.body, (5, LAST)).eval()
    other = TapBank(base.name, few, base.version, base.normalise)
    before, after = keys(base), keys(other)
    assert not [name for name, key in before.items() if after[name] == key]
