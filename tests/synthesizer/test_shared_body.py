"""A generator without task codes: one body for all tasks, heads from fitted priors."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgps.synthesizer import ClassSupport, Hypernetwork, Synthesizer, Task
from sgps.synthesizer.head import LinearHead, solve_head
from sgps.synthesizer.sealed import digest_tensors
from sgps.synthesizer.support_labels import SupportLabels
from sgps.synthesizer.tapped_network import tap_layout
from sgps.synthesizer.temperature import log_temperature_by_separation
from sgps.synthesizer.weight_plan import Rule

from .conftest import RESOLUTION, MakeTask, build_hypernetwork

DOUBLE = torch.float64


@pytest.fixture(scope="module")
def exact() -> Hypernetwork:
    """The shared generator in float64."""
    return build_hypernetwork(trained=True, task_codes=False, dtype=DOUBLE)


@pytest.fixture(scope="module")
def widths(exact: Hypernetwork) -> tuple[int, ...]:
    return tap_layout(exact.network).widths


def random_images(count: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    shape = (count, 3, RESOLUTION, RESOLUTION)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)


def random_texts(count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    random = torch.Generator().manual_seed(4)
    return torch.nn.functional.normalize(torch.randn(count, 384, generator=random), dim=1).to(dtype)


def random_taps(widths: tuple[int, ...], count: int, seed: int) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(count, width, dtype=DOUBLE, generator=random) for width in widths)


def test_a_share_of_nothing_is_the_base(shared: Hypernetwork) -> None:
    base, body = shared.base_tensors(), shared.shared_body(0.0)
    assert body.keys() == base.keys()
    assert [name for name in base if not torch.equal(body[name], base[name])] == []


def test_the_body_is_linear_in_the_share(exact: Hypernetwork) -> None:
    none, whole, some = (exact.shared_body(share) for share in (0.0, 1.0, 0.3))
    for name in none:
        torch.testing.assert_close(some[name], 0.7 * none[name] + 0.3 * whole[name])
    generated = [t.name for t in exact.plan.tensors if t.rule is not Rule.STATISTIC]
    assert [name for name in generated if torch.equal(whole[name], none[name])] == []
    statistics = set(none) - set(generated)
    assert all(torch.equal(whole[name], none[name]) for name in statistics)


def test_by_default_the_share_is_the_configured_one(
    shared: Hypernetwork, trained: Hypernetwork
) -> None:
    by_default, configured = shared.shared_body(), shared.shared_body(shared.config.delta_scale)
    assert all(torch.equal(by_default[name], configured[name]) for name in by_default)
    with_codes, whole = trained.shared_body(), trained.shared_body(1.0)
    assert all(torch.equal(with_codes[name], whole[name]) for name in whole)


def test_two_tasks_share_the_body_and_differ_in_the_head(shared: Hypernetwork) -> None:
    labels, texts = SupportLabels(torch.tensor([0, 1, 1]), 2), random_texts(2)
    with torch.no_grad():
        first, second = (shared.generate(random_images(3, seed), labels, texts) for seed in (1, 2))
        body = shared.shared_body()
    assert all(torch.equal(first.tensors[name], body[name]) for name in body)
    assert all(torch.equal(second.tensors[name], body[name]) for name in body)
    for name in ("centre_D", "scale_D", "weight_ND"):
        assert not torch.equal(getattr(first.head, name), getattr(second.head, name))


def test_untrained_it_is_the_base_with_a_head_that_knows_no_texts() -> None:
    hypernetwork = build_hypernetwork(trained=False, task_codes=False)
    base = hypernetwork.base_tensors()
    images, labels = random_images(4), SupportLabels(torch.tensor([0, 1, 0, 1]), 2)
    with torch.no_grad():
        described, bare = (
            hypernetwork.generate(images, labels, texts)
            for texts in (random_texts(2), torch.zeros(2, 384))
        )
    assert all(torch.equal(described.tensors[name], base[name]) for name in base)
    assert torch.equal(described.head.weight_ND, bare.head.weight_ND)


def with_views(hypernetwork: Hypernetwork, views: int) -> Hypernetwork:
    config = replace(hypernetwork.config, support_views=views)
    other = Hypernetwork(config, hypernetwork.network)
    other.load_state_dict(hypernetwork.state_dict())
    return other


def test_one_view_is_the_image_itself(shared: Hypernetwork) -> None:
    images, body = random_images(2), shared.shared_body()
    with torch.no_grad():
        once = with_views(shared, 1).support_taps(body, images)
        plain = shared.taps_under(body, images)
    assert all(torch.equal(left, right) for left, right in zip(once, plain, strict=True))


def test_three_views_are_the_image_mirrored_and_upside_down(shared: Hypernetwork) -> None:
    images, body = random_images(3), shared.shared_body()
    views = (images, images.flip(-1), images.flip(-2))
    with torch.no_grad():
        averaged = with_views(shared, 3).support_taps(body, images)
        by_view = [shared.taps_under(body, view) for view in views]
    for tap, of_views in zip(averaged, zip(*by_view, strict=True), strict=True):
        torch.testing.assert_close(tap, sum(of_views) / 3, atol=2e-5, rtol=1e-4)


def test_a_mirrored_support_has_the_views_of_the_mirror_image(exact: Hypernetwork) -> None:
    """Mirroring swaps the first two views; of the third, the turned image takes the place."""
    images, body = random_images(2), exact.shared_body()
    with torch.no_grad():
        given, mirrored = (exact.support_taps(body, i) for i in (images, images.flip(-1)))
        upside_down, turned = (
            exact.taps_under(body, i) for i in (images.flip(-2), images.flip(-2, -1))
        )
    for left, right, down, around in zip(given, mirrored, upside_down, turned, strict=True):
        torch.testing.assert_close(left - down / 3, right - around / 3)


SHOTS = (2, 3, 1, 2)
CLASS_S = torch.repeat_interleave(torch.tensor(SHOTS))


def head_of(
    exact: Hypernetwork, taps: tuple[torch.Tensor, ...], class_S: torch.Tensor, texts: torch.Tensor
) -> LinearHead:
    labels = SupportLabels(class_S, len(texts), DOUBLE)
    with torch.no_grad():
        return exact.head_of(taps, labels, texts)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(sum(SHOTS))))
def test_the_order_of_the_support_changes_nothing(
    exact: Hypernetwork, widths: tuple[int, ...], order: list[int]
) -> None:
    taps, queries = random_taps(widths, 8, seed=0), random_taps(widths, 3, seed=1)
    texts = random_texts(4, DOUBLE)
    reference = head_of(exact, taps, CLASS_S, texts).logits(queries)
    shuffled = head_of(exact, tuple(tap[order] for tap in taps), CLASS_S[order], texts)
    torch.testing.assert_close(shuffled.logits(queries), reference, atol=1e-9, rtol=0)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(len(SHOTS))))
def test_the_order_of_the_classes_is_that_of_the_logits(
    exact: Hypernetwork, widths: tuple[int, ...], order: list[int]
) -> None:
    taps, queries = random_taps(widths, 8, seed=0), random_taps(widths, 3, seed=1)
    texts = random_texts(4, DOUBLE)
    place = torch.tensor(order).argsort()  # new number of each old class
    reference = head_of(exact, taps, CLASS_S, texts).logits(queries)
    permuted = head_of(exact, taps, place[CLASS_S], texts[order]).logits(queries)
    torch.testing.assert_close(permuted, reference[:, order], atol=1e-9, rtol=0)


def test_with_one_image_a_class_the_temperature_is_that_of_the_separation(
    exact: Hypernetwork, widths: tuple[int, ...]
) -> None:
    taps, texts = random_taps(widths, 3, seed=2), random_texts(3, DOUBLE)
    given = exact.generator.head_priors(texts)
    parameters = replace(
        given,
        log_temperature=torch.tensor(0.0, dtype=DOUBLE),
        temperature_evidence=False,
        within_spread_K=None,
    )
    labels = SupportLabels(torch.arange(3), 3, DOUBLE)
    with torch.no_grad():
        bare = solve_head(taps, labels, parameters, unit_rows=True)
    head = head_of(exact, taps, torch.arange(3), texts)
    temperature = log_temperature_by_separation(taps, labels, given).exp()
    assert float(temperature) != pytest.approx(exact.config.temperature)
    torch.testing.assert_close(head.weight_ND, temperature * bare.weight_ND)


def test_texts_move_the_head(exact: Hypernetwork, widths: tuple[int, ...]) -> None:
    taps, texts = random_taps(widths, 8, seed=3), random_texts(4, DOUBLE)
    described, bare = (
        head_of(exact, taps, CLASS_S, given) for given in (texts, torch.zeros_like(texts))
    )
    assert not torch.allclose(described.weight_ND, bare.weight_ND)


def test_images_that_are_all_alike_still_make_a_classifier() -> None:
    black = [np.zeros((side, side, 3), dtype=np.uint8) for side in (64, 96)]
    task = Task("alike", tuple(ClassSupport(f"c{n}", (image,)) for n, image in enumerate(black)))
    classifier = Synthesizer(build_hypernetwork(trained=True, task_codes=False)).synthesize(task)
    np.testing.assert_allclose(classifier.predict_proba(black), 0.5, atol=1e-6)


def test_through_the_folded_network_a_synthesis_is_the_same(exact: Hypernetwork) -> None:
    """In double precision what folding changes is beyond the digits that count."""
    labels, texts = SupportLabels(torch.tensor([0, 1, 1]), 2, DOUBLE), random_texts(2, DOUBLE)
    images, body = random_images(3), exact.frozen_body()
    assert body is not None
    with torch.no_grad():
        plain = exact.generate(images, labels, texts)
        folded = exact.generate(images, labels, texts, body=body)
    assert all(torch.equal(folded.tensors[name], plain.tensors[name]) for name in plain.tensors)
    assert folded.tensors.keys() == plain.tensors.keys()
    torch.testing.assert_close(folded.support_taps, plain.support_taps, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(folded.head.weight_ND, plain.head.weight_ND, rtol=1e-6, atol=1e-8)


def test_with_task_codes_no_body_is_shared(trained: Hypernetwork) -> None:
    assert trained.frozen_body() is None


def test_no_two_classifiers_hold_the_same_memory(shared: Hypernetwork, make_task: MakeTask) -> None:
    """What somebody does to the weights of one is no matter of the next."""
    synthesizer = Synthesizer(shared)
    first = synthesizer.synthesize(make_task((1, 2)))
    digest = first.weights_sha256
    before = {name: tensor.clone() for name, tensor in first.tensors().items()}
    for tensor in first.tensors().values():
        tensor.zero_()
    second = synthesizer.synthesize(make_task((1, 2)))
    assert second.weights_sha256 == digest == digest_tensors(before)
    assert all(torch.equal(second.tensors()[name], before[name]) for name in before)


def test_a_synthesizer_that_has_worked_can_be_sent_to_another_process(
    shared: Hypernetwork, make_task: MakeTask
) -> None:
    synthesizer = Synthesizer(shared)
    made = synthesizer.synthesize(make_task((1, 2)))
    copied = copy.deepcopy(synthesizer).synthesize(make_task((1, 2)))
    assert copied.weights_sha256 == made.weights_sha256
