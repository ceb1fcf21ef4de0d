import numpy as np
from frozen_example import untrained_base

from sgps.evaluation.baselines.cache_model import TipAdapter
from sgps.evaluation.baselines.space import Support


def test_affinities_by_hand():
    keys_RD = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 5.0]])
    support = Support((keys_RD,), np.array([0, 0, 1]), 2)
    method = TipAdapter(base=untrained_base(), taps="last", centring=None, sharpness=2.0)
    logits_QN = method.fit(support)((np.array([[7.0, 0.0]]),))
    far = np.exp(-2.0)
    np.testing.assert_allclose(logits_QN, [[(1 + far) / 2, far]])


def test_says_in_which_form_it_runs():
    assert "cache model" in TipAdapter(base=untrained_base()).details()["form"]
