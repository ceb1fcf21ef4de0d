"""The two bodies under the baselines: public weights, and what the generator makes of them."""

import numpy as np
import pytest
import torch

from sgps.evaluation.bases import META, PUBLIC, benchmark_bases
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer
from sgps.synthesizer.sealed import digest_tensors

TINY = {
    "architecture": "test_efficientnet", "resolution": 32, "whitening_rank": 16, "text_rank": 8,
    "initial_tap_weights": (0.5, 0.7, 1.0, 1.0),
}  # fmt: skip


def build(*, moved: bool, task_codes: bool = False) -> Synthesizer:
    torch.manual_seed(0)
    config = GeneratorConfig(**TINY, task_codes=task_codes)
    hypernetwork = Hypernetwork.create(config, pretrained=False)
    if moved:
        with torch.no_grad():
            for delta in hypernetwork.generator.deltas:
                delta.add_(torch.randn(delta.shape) * 0.05)
    return Synthesizer(hypernetwork, name="test")


@pytest.fixture(scope="module")
def pool():
    return np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("task_codes", [False, True])
def test_they_are_the_base_and_the_body_before_any_task(pool, task_codes):
    synthesizer = build(moved=True, task_codes=task_codes)
    hypernetwork = synthesizer.hypernetwork
    bases = benchmark_bases(synthesizer)
    assert [bank.name for bank in bases] == [PUBLIC, META]
    images = torch.from_numpy(pool)
    for bank, tensors in zip(
        bases, (hypernetwork.base_tensors(), hypernetwork.shared_body()), strict=True
    ):
        with torch.no_grad():
            expected = hypernetwork.taps_under(tensors, images)
        centre_taps = len(hypernetwork.network.centre_of)
        assert centre_taps == (0 if task_codes else 6)
        for taps, wanted in (
            (bank.every_tap(pool, np.arange(6)), expected),
            (bank.taps(pool, np.arange(6)), expected[centre_taps:]),
        ):
            for tap, one in zip(taps, wanted, strict=True):
                np.testing.assert_allclose(tap, one.numpy(), atol=1e-5, rtol=1e-4)
        assert bank.version == digest_tensors(tensors)
    assert bases[0].version != bases[1].version
    assert not np.allclose(*(bank.last(pool, np.arange(6)) for bank in bases))


def test_making_them_leaves_the_generator_as_it_is(pool):
    synthesizer = build(moved=True)
    before = digest_tensors(synthesizer.hypernetwork.state_dict())
    benchmark_bases(synthesizer)[1].taps(pool, np.arange(2))
    assert digest_tensors(synthesizer.hypernetwork.state_dict()) == before


def test_of_an_untrained_generator_both_are_one(pool):
    public, meta = benchmark_bases(build(moved=False))
    assert public.version == meta.version
    np.testing.assert_array_equal(*(bank.last(pool, np.arange(6)) for bank in (public, meta)))
