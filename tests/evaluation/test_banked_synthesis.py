"""On features of a bank the synthesizer makes the classifiers that it makes from images."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sgps.evaluation import EpisodeInputs, SynthesizerMethod
from sgps.evaluation.banked_synthesis import PARTS, WHOLE, BankedSynthesis
from sgps.evaluation.bases import benchmark_bases
from sgps.evaluation.sgps_method import own_methods
from sgps.evaluation.text_bank import TextBank
from sgps.synthesizer import GeneratorConfig, Hypernetwork, Synthesizer
from sgps.synthesizer.head import solve_head
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.support_labels import SupportLabels

TINY = {
    "architecture": "test_efficientnet", "resolution": 32, "whitening_rank": 16, "text_rank": 8,
    "initial_tap_weights": (0.5, 0.7, 1.0, 1.0),
}  # fmt: skip
TEXTS = ("red and round", "a pale spot, scaly", "")


@pytest.fixture(scope="module")
def synthesizer():
    """Moved deltas and made-up priors, so that no part of the method is idle."""
    torch.manual_seed(0)
    hypernetwork = Hypernetwork.create(GeneratorConfig(**TINY), pretrained=False)
    priors = hypernetwork.generator.head_priors
    with torch.no_grad():
        for delta in hypernetwork.generator.deltas:
            delta.add_(torch.randn(delta.shape) * 0.05)
        width = priors.basis_RD.shape[1]
        priors.basis_RD.copy_(torch.linalg.qr(torch.randn(width, 16)).Q.T)
        priors.shares_R.uniform_(0.1, 0.9)
        priors.text_down_FK.normal_()
        priors.text_up_KD.normal_(std=priors.text_up_KD.numel() ** -0.5)
    return Synthesizer(hypernetwork, name="made-up")


@pytest.fixture(scope="module")
def bases(synthesizer):
    return benchmark_bases(synthesizer)


@pytest.fixture(scope="module")
def pool():
    """Three classes of a pattern each, ten noisy images of every one."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(60, 200, (3, 1, 3, 8, 8)).repeat(4, 3).repeat(4, 4)
    noisy = patterns + rng.integers(-50, 50, (3, 10, 3, 32, 32))
    return noisy.clip(0, 255).astype(np.uint8).reshape(30, 3, 32, 32)


def noise():
    return np.random.default_rng(1).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def knowing(synthesizer):
    """The same generator, which knows classes of noise: an image of each."""
    images = noise()
    hypernetwork = synthesizer.hypernetwork
    with torch.inference_mode():
        taps = hypernetwork.taps_under(hypernetwork.shared_body(), torch.from_numpy(images))
    names = tuple(f"noise: {number}" for number in range(len(images)))
    known = KnownClasses(names, torch.cat(taps, dim=1), synthesizer.generator_sha256)
    return Synthesizer(hypernetwork, name="made-up", known_classes=known)


def episode_of(pool, shots, descriptions=TEXTS, **changes):
    rows = [10 * number + np.arange(count) for number, count in enumerate(shots)]
    return EpisodeInputs(
        class_names=("a", "b", "c"),
        descriptions=descriptions,
        pool=pool,
        support_rows=tuple(rows),
        query_rows=np.array([5, 16, 27, 8, 19]),
        **changes,
    )


@pytest.mark.parametrize("descriptions", [TEXTS, ("", "", "")], ids=["texts", "no texts"])
@pytest.mark.parametrize("shots", [(1, 1, 1), (3, 3, 3), (3, 1, 2)], ids=str)
def test_probabilities_are_those_of_the_synthesizer(synthesizer, bases, pool, shots, descriptions):
    episode = episode_of(pool, shots, descriptions)
    banked = BankedSynthesis(synthesizer, bases).predict(episode)
    direct = SynthesizerMethod(synthesizer).predict(episode)
    np.testing.assert_allclose(banked.probs_QN, direct.probs_QN, atol=1e-4)
    np.testing.assert_allclose(banked.probs_QN.sum(axis=1), 1, atol=1e-12)
    assert banked.probs_QN.dtype == np.float64
    assert banked.seconds > 0
    assert banked.query_seconds > 0


def test_queries_are_read_from_their_own_pool(synthesizer, bases, pool):
    altered = (pool // 2).astype(np.uint8)
    episode = episode_of(pool, (2, 2, 2), query_pool=altered)
    banked = BankedSynthesis(synthesizer, bases).predict(episode)
    direct = SynthesizerMethod(synthesizer).predict(episode)
    np.testing.assert_allclose(banked.probs_QN, direct.probs_QN, atol=1e-4)


@pytest.mark.parametrize("descriptions", [TEXTS, ("", "", "")], ids=["texts", "no texts"])
@pytest.mark.parametrize("shots", [(1, 1, 1), (3, 3, 3), (3, 1, 2)], ids=str)
def test_familiarity_is_that_of_the_synthesizer(knowing, bases, pool, shots, descriptions):
    query_pool = pool.copy()
    query_pool[::2] = noise()[: len(pool[::2])]
    episode = episode_of(pool, shots, descriptions, query_pool=query_pool)
    banked = BankedSynthesis(knowing, bases).predict(episode)
    direct = SynthesizerMethod(knowing).predict(episode)
    for prediction in (banked, direct):
        assert prediction.familiarity_Q.dtype == np.float64
        assert prediction.familiarity_Q.shape == (5,)
    np.testing.assert_allclose(banked.familiarity_Q, direct.familiarity_Q, atol=1e-4)
    np.testing.assert_allclose(banked.probs_QN, direct.probs_QN, atol=1e-4)
    of_noise = episode.query_rows % 2 == 0
    assert banked.familiarity_Q[of_noise].max() < banked.familiarity_Q[~of_noise].min()


def test_known_classes_change_no_probability(synthesizer, knowing, bases, pool):
    episode = episode_of(pool, (3, 1, 2))
    for make in (lambda given: BankedSynthesis(given, bases), SynthesizerMethod):
        ours, bare = make(knowing).predict(episode), make(synthesizer).predict(episode)
        np.testing.assert_array_equal(ours.probs_QN, bare.probs_QN)
        assert ours.familiarity_Q is not None
        assert bare.familiarity_Q is None
        assert make(knowing).details() == make(synthesizer).details() | {
            "known_classes_sha256": knowing.known_classes.sha256
        }
        assert make(synthesizer).details()["known_classes_sha256"] is None


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_familiarity_needs_the_body_of_the_known_classes(knowing, bases, pool, part):
    found = BankedSynthesis(knowing, bases, part).predict(episode_of(pool, (2, 2, 2)))
    assert (found.familiarity_Q is None) is (part.name == "sgps/no_body_synthesis")


def test_without_texts_it_is_what_it_is_for_undescribed_classes(synthesizer, bases, pool):
    [no_text] = [part for part in PARTS if part.name == "sgps/no_text"]
    bare = BankedSynthesis(synthesizer, bases, no_text).predict(episode_of(pool, (2, 2, 2)))
    undescribed = BankedSynthesis(synthesizer, bases).predict(
        episode_of(pool, (2, 2, 2), ("", "", ""))
    )
    np.testing.assert_array_equal(bare.probs_QN, undescribed.probs_QN)


def test_times_count_the_texts_where_they_are_read(synthesizer, bases, pool):
    class Slow(TextBank):
        seconds_per_text = 1000.0

    texts = Slow(synthesizer.encode_texts)
    [no_text] = [part for part in PARTS if part.name == "sgps/no_text"]
    whole, without = (
        BankedSynthesis(synthesizer, bases, part, texts=texts) for part in (WHOLE, no_text)
    )
    described = episode_of(pool, (2, 2, 2))
    assert 3000 < whole.predict(described).seconds < 3999
    assert without.predict(described).seconds < 999
    assert whole.predict(episode_of(pool, (2, 2, 2), ("", "", ""))).seconds < 999


def test_all_parts_share_the_texts(synthesizer, bases, pool, monkeypatch):
    embedded = []
    encode = synthesizer.encode_texts

    def count(texts):
        embedded.extend(text for text in texts if text)
        return encode(texts)

    monkeypatch.setattr(synthesizer, "encode_texts", count)
    for method in own_methods(synthesizer, bases, parts=True):
        method.predict(episode_of(pool, (2, 2, 2)))
    assert embedded == [TEXTS[0], *TEXTS[:2]]


def test_it_runs_where_the_synthesizer_is(knowing, pool, another_device):
    elsewhere = Synthesizer(
        copy.deepcopy(knowing.hypernetwork),
        known_classes=knowing.known_classes,
        device=another_device,
    )
    banks = [copy.deepcopy(bank) for bank in benchmark_bases(knowing)]
    for bank in banks:
        bank.network.to(another_device)
        bank.normalise.to(another_device)
    elsewhere.background = replace(
        knowing.background,
        projection_DK=knowing.background.projection_DK.to(another_device),
        by_tap_TCK=knowing.background.by_tap_TCK.to(another_device),
    )
    prediction = BankedSynthesis(elsewhere, banks).predict(episode_of(pool, (2, 1, 2)))
    assert prediction.probs_QN.shape == (5, 3)
    assert prediction.familiarity_Q.shape == (5,)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("part", [WHOLE, *PARTS], ids=lambda part: part.name)
def test_a_gpu_gives_the_same_probabilities(knowing, bases, pool, part):
    on_gpu = Synthesizer(
        copy.deepcopy(knowing.hypernetwork), known_classes=knowing.known_classes, device="cuda"
    )
    episode = episode_of(pool, (3, 1, 2))
    found = BankedSynthesis(on_gpu, benchmark_bases(on_gpu), part).predict(episode)
    expected = BankedSynthesis(knowing, bases, part).predict(episode)
    np.testing.assert_allclose(found.probs_QN, expected.probs_QN, atol=1e-2)


def test_without_centre_taps_it_is_the_head_of_images_without_a_middle(synthesizer, bases, pool):
    episode = episode_of(pool, (2, 3, 2))
    [part] = [part for part in PARTS if part.name == "sgps/no_centre_taps"]
    found = BankedSynthesis(synthesizer, bases, part).predict(episode)
    priors = synthesizer.hypernetwork.generator.head_priors
    fitted = priors(synthesizer.encode_texts(list(episode.descriptions)))
    centre_widths = priors.layout.widths[: len(priors.layout.centre_of)]

    def taps(rows, view=0):
        plain = [torch.from_numpy(tap).float() for tap in bases[1].taps(pool, rows, view)]
        return (*(torch.zeros(len(rows), width) for width in centre_widths), *plain)

    rows = np.concatenate(episode.support_rows)
    views = [taps(rows, view) for view in range(3)]
    head = solve_head(
        tuple(torch.stack(tap).mean(dim=0) for tap in zip(*views, strict=True)),
        SupportLabels(torch.from_numpy(episode.support_labels), 3),
        replace(fitted, centre_of=()),
        unit_rows=True,
    )
    expected = head.logits(taps(episode.query_rows)).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(found.probs_QN, expected, atol=1e-5)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_part_makes_a_difference(synthesizer, bases, pool, part):
    episode = episode_of(pool, (3, 2, 2))
    whole, without = (
        BankedSynthesis(synthesizer, bases, given).predict(episode) for given in (WHOLE, part)
    )
    assert not np.allclose(whole.probs_QN, without.probs_QN, atol=1e-4)
    np.testing.assert_allclose(without.probs_QN.sum(axis=1), 1, atol=1e-12)


def test_methods_are_told_apart(synthesizer, bases):
    """Predictions are kept under the name and the details: no two methods share both."""
    methods = own_methods(synthesizer, bases, parts=True)
    keys = [json.dumps([method.name, method.details()], sort_keys=True) for method in methods]
    assert len(set(keys)) == len(keys) == 1 + len(PARTS)
    assert methods[0].name == "sgps"
    assert all(method.name.startswith("sgps/no_") for method in methods[1:])
    assert [method.name for method in own_methods(synthesizer, bases)] == ["sgps"]


def test_a_generator_that_writes_a_body_a_task_goes_image_by_image(bases):
    hypernetwork = Hypernetwork.create(GeneratorConfig(**TINY, task_codes=True), pretrained=False)
    with_codes = Synthesizer(hypernetwork, name="codes")
    with pytest.raises(ValueError, match="another body for each task"):
        BankedSynthesis(with_codes, bases)
    [method] = own_methods(with_codes, bases, parts=True)
    assert isinstance(method, SynthesizerMethod)


def test_without_banks_it_goes_image_by_image(synthesizer):
    [method] = own_methods(synthesizer, ())
    assert isinstance(method, SynthesizerMethod)
