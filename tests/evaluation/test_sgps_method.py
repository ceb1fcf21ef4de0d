import numpy as np
import pytest

from sgps.evaluation import EpisodeInputs, SynthesizerMethod
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer


@pytest.fixture(scope="module")
def method():
    hypernetwork = Hypernetwork.create(GeneratorConfig(resolution=32), pretrained=False)
    return SynthesizerMethod(Synthesizer(hypernetwork, name="untrained"))


def test_synthesizes_and_scores_an_episode(method):
    pool = np.random.default_rng(0).integers(0, 256, (9, 3, 32, 32), dtype=np.uint8)
    episode = EpisodeInputs(
        class_names=("a", "b"),
        descriptions=("red and round", ""),
        pool=pool,
        support_rows=(np.array([0, 1]), np.array([2])),
        query_rows=np.arange(3, 9),
    )
    prediction = method.predict(episode)
    assert prediction.probs_QN.shape == (6, 2)
    assert prediction.probs_QN.dtype == np.float64
    np.testing.assert_allclose(prediction.probs_QN.sum(1), 1, atol=1e-6)
    assert prediction.seconds > 0
    np.testing.assert_allclose(method.predict(episode).probs_QN, prediction.probs_QN, atol=1e-6)


def test_details_name_the_generator(method):
    details = method.details()
    assert details["generator"] == "untrained"
    assert len(details["generator_sha256"]) == 64
    assert (details["architecture"], details["resolution"]) == ("tf_efficientnet_lite0", 32)
