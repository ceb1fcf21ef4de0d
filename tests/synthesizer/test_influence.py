from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sgps.synthesizer import ClassSupport, Hypernetwork, Task, leave_one_out
from sgps.synthesizer.head import LinearHead, solve_head
from sgps.synthesizer.head_parameters import HeadParameters, Whitening
from sgps.synthesizer.influence import (
    SupportInfluence,
    influence_by_image,
    support_influence,
    synthesis_influence,
)
from sgps.synthesizer.scoring import images_to_tensor
from sgps.synthesizer.support_labels import SupportLabels

from .conftest import RESOLUTION, MakeTask, random_images

DOUBLE = torch.float64
TAP_WIDTHS = (3, 2, 4, 6)
CENTRE_OF = (2, 2)
"""Two centre taps before the plain ones: of the first of those, at two widths."""
WIDTH = sum(TAP_WIDTHS)
Taps = tuple[Tensor, ...]


def random_taps(class_S: Tensor, seed: int = 0, apart: float = 0.0) -> Taps:
    """Class numbers lie ``apart`` along axes of their own; middles are half their blocks' means."""
    random = torch.Generator().manual_seed(seed)
    one_hot_SN = torch.nn.functional.one_hot(class_S, max(WIDTH, int(class_S.max()) + 1))
    noise = [
        torch.randn(len(class_S), width, dtype=DOUBLE, generator=random) for width in TAP_WIDTHS
    ]
    plain = [rows + apart * one_hot_SN[:, : rows.shape[1]] for rows in noise[2:]]
    middles = [0.4 * rows + plain[0][:, : rows.shape[1]] for rows in noise[:2]]
    return (*middles, *plain)


def full_parameters(ways: int, *, text: float = 0.2, whitened: bool = True) -> HeadParameters:
    random = torch.Generator().manual_seed(7)
    basis_DR = torch.linalg.qr(torch.randn(WIDTH, 3, dtype=DOUBLE, generator=random)).Q
    whitening = Whitening(basis_DR.T, torch.tensor([0.9, 0.5, 0.2], dtype=DOUBLE))
    return HeadParameters(
        log_tap_weights_T=torch.tensor([0.7, 0.4, 0.5, 1.3], dtype=DOUBLE).log(),
        log_ridge=torch.tensor(0.3, dtype=DOUBLE).log(),
        log_temperature=torch.tensor(5.0, dtype=DOUBLE).log(),
        text_weights_ND=text * torch.randn(ways, WIDTH, dtype=DOUBLE, generator=random),
        whitening=whitening if whitened else None,
        temperature_evidence=True,
        text_evidence=True,
        centre_of=CENTRE_OF,
    )


def in_single_precision(parameters: HeadParameters) -> HeadParameters:
    whitening = parameters.whitening
    assert whitening is not None
    names = ("log_tap_weights_T", "log_ridge", "log_temperature", "text_weights_ND")
    return replace(
        parameters,
        **{name: getattr(parameters, name).float() for name in names},
        whitening=Whitening(whitening.basis_RD.float(), whitening.shares_R.float()),
    )


def measure(
    taps: Taps, labels: SupportLabels, parameters: HeadParameters, *, unit_rows: bool = True
) -> tuple[LinearHead, SupportInfluence]:
    head = solve_head(taps, labels, parameters, unit_rows=unit_rows)
    return head, support_influence(taps, labels, head, parameters)


def probabilities_without(
    image: int,
    taps: Taps,
    labels: SupportLabels,
    parameters: HeadParameters,
    temperature: Tensor,
    *,
    unit_rows: bool,
) -> Tensor:
    """By brute force: the image removed, the head solved from the rest."""
    kept = [place for place in range(len(labels.class_S)) if place != image]
    rest = SupportLabels(labels.class_S[kept], labels.ways, DOUBLE)
    fixed = replace(
        parameters,
        temperature_evidence=False,
        within_spread_K=None,
        log_temperature=temperature.log(),
    )
    head = solve_head(tuple(tap[kept] for tap in taps), rest, fixed, unit_rows=unit_rows)
    return head.logits(taps).softmax(dim=1)


@settings(max_examples=25, deadline=None)
@given(
    shots=st.lists(st.integers(2, 4), min_size=2, max_size=4),
    seed=st.integers(0, 2**32),
    unit_rows=st.booleans(),
    whitened=st.booleans(),
    text_evidence=st.booleans(),
)
def test_equals_the_head_solved_again_without_the_image(
    shots: list[int], seed: int, unit_rows: bool, whitened: bool, text_evidence: bool
) -> None:
    class_S = torch.repeat_interleave(torch.tensor(shots))
    class_S = class_S[torch.randperm(len(class_S), generator=torch.Generator().manual_seed(seed))]
    labels = SupportLabels(class_S, len(shots), DOUBLE)
    taps = random_taps(class_S, seed, apart=1.0)
    parameters = replace(
        full_parameters(len(shots), whitened=whitened), text_evidence=text_evidence
    )
    head, found = measure(taps, labels, parameters, unit_rows=unit_rows)
    assert head.temperature is not None
    complete_SN = head.logits(taps).softmax(dim=1)
    for image in range(len(class_S)):
        without_SN = probabilities_without(
            image, taps, labels, parameters, head.temperature, unit_rows=unit_rows
        )
        torch.testing.assert_close(
            found.probabilities_SN[image], without_SN[image], atol=1e-8, rtol=0
        )
        others = [place for place in range(len(class_S)) if place != image]
        change = (without_SN - complete_SN)[others].abs().mean()
        assert float(found.influence_S[image]) == pytest.approx(float(change), abs=1e-8)
        wrong = int(without_SN[image].argmax()) != int(class_S[image])
        assert bool(found.contradicts_S[image]) is wrong
    assert bool(found.judged_S.all())


@settings(max_examples=25, deadline=None)
@given(
    classes=st.lists(st.integers(0, 2), min_size=2, max_size=8).filter(
        lambda numbers: len(set(numbers)) > 1
    ),
    seed=st.integers(0, 2**32),
)
def test_the_order_of_the_support_orders_the_rows_and_nothing_else(
    classes: list[int], seed: int
) -> None:
    class_S = torch.tensor(classes)
    taps, parameters = random_taps(class_S, seed), full_parameters(3)
    order_S = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))
    _, found = measure(taps, SupportLabels(class_S, 3, DOUBLE), parameters)
    shuffled = tuple(tap[order_S] for tap in taps)
    _, moved = measure(shuffled, SupportLabels(class_S[order_S], 3, DOUBLE), parameters)
    torch.testing.assert_close(moved.probabilities_SN, found.probabilities_SN[order_S])
    torch.testing.assert_close(moved.influence_S, found.influence_S[order_S])
    assert torch.equal(moved.judged_S, found.judged_S[order_S])
    torch.testing.assert_close(found.probabilities_SN.sum(dim=1), torch.ones(len(classes)).double())
    assert bool(((found.influence_S >= 0) & (found.influence_S <= 1)).all())


def test_a_few_images_at_once_tell_the_same_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    class_S = torch.tensor([0, 0, 1, 2, 2, 1, 0])
    taps, labels = random_taps(class_S, apart=1.0), SupportLabels(class_S, 3, DOUBLE)
    _, at_once = measure(taps, labels, full_parameters(3))
    monkeypatch.setattr(leave_one_out, "_LARGEST_BATCH", 3 * len(class_S) ** 2)
    _, in_parts = measure(taps, labels, full_parameters(3))
    torch.testing.assert_close(in_parts.scores_SN, at_once.scores_SN)
    torch.testing.assert_close(in_parts.influence_S, at_once.influence_S)


def test_a_mislabelled_image_contradicts_its_class_and_weighs_most() -> None:
    true_S = torch.arange(3).repeat_interleave(5)
    taps = random_taps(true_S, apart=6.0)
    given_S = true_S.clone()
    given_S[7] = 0
    _, found = measure(taps, SupportLabels(given_S, 3, DOUBLE), full_parameters(3, text=0.0))
    assert found.contradicts_S.nonzero().flatten().tolist() == [7]
    assert int(found.probabilities_SN[7].argmax()) == 1
    assert int(found.influence_S.argmax()) == 7


def test_the_only_image_of_a_class_is_not_judged() -> None:
    class_S = torch.tensor([0, 0, 1, 2, 2])
    _, found = measure(random_taps(class_S), SupportLabels(class_S, 3, DOUBLE), full_parameters(3))
    assert found.judged_S.tolist() == [True, True, False, True, True]
    assert not found.contradicts_S[2]
    assert bool(found.influence_S.isfinite().all())


def test_a_class_left_empty_does_not_move_the_centre() -> None:
    class_S = torch.tensor([0, 0, 1, 2, 2])
    labels, parameters = SupportLabels(class_S, 3, DOUBLE), full_parameters(3)
    taps = random_taps(class_S)
    _, found = measure(taps, labels, parameters)
    _, far = measure(tuple(tap + 100.0 for tap in taps), labels, parameters)
    torch.testing.assert_close(far.probabilities_SN, found.probabilities_SN)
    torch.testing.assert_close(far.influence_S, found.influence_S)


def test_without_either_of_two_images_every_class_is_as_likely() -> None:
    class_S = torch.tensor([0, 1])
    head, found = measure(
        random_taps(class_S), SupportLabels(class_S, 2, DOUBLE), full_parameters(2)
    )
    assert not found.judged_S.any()
    torch.testing.assert_close(found.probabilities_SN, torch.full((2, 2), 0.5, dtype=DOUBLE))
    assert head.temperature is not None


@pytest.mark.parametrize("whitened", [True, False])
def test_images_all_alike_have_no_influence(whitened: bool) -> None:
    class_S = torch.tensor([0, 0, 1, 1])
    labels = SupportLabels(class_S, 2, DOUBLE)
    parameters = full_parameters(2, text=0.0, whitened=whitened)
    alike = tuple(torch.ones(4, width, dtype=DOUBLE) for width in TAP_WIDTHS)
    zeros = [torch.zeros(size, dtype=DOUBLE) for size in (WIDTH, 2)]
    head = LinearHead(
        zeros[0], zeros[0] + 1, torch.zeros(2, WIDTH, dtype=DOUBLE), zeros[1], True,
        torch.tensor(5.0, dtype=DOUBLE),
    )  # fmt: skip
    found = support_influence(alike, labels, head, parameters)
    torch.testing.assert_close(found.influence_S, torch.zeros(4, dtype=DOUBLE))


@pytest.mark.parametrize("shots", [(3, 1), (2, 2, 2, 2, 2), (4, 4, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_copies_of_one_image_are_borne_in_single_precision(
    shots: tuple[int, ...], seed: int
) -> None:
    """Their inner products around the mean are rounding noise, which no ridge makes regular."""
    class_S = torch.repeat_interleave(torch.tensor(shots))
    random = torch.Generator().manual_seed(seed)
    rows = [100 * torch.randn(1, width, generator=random) for width in TAP_WIDTHS]
    copies = [row.repeat(len(class_S), 1) for row in rows]
    if shots == (3, 1):
        copies = [torch.cat([row[:3], torch.randn(1, row.shape[1])]) for row in copies]
    parameters = full_parameters(len(shots))
    single = replace(in_single_precision(parameters), within_spread_K=torch.tensor([4.0, 5.0]))
    labels = SupportLabels(class_S, len(shots))
    head, found = measure(tuple(copies), labels, single)
    assert head.temperature is not None
    assert bool(head.temperature.isfinite())
    assert bool(found.influence_S.isfinite().all())


def test_some_two_hundred_images_are_left_out_at_once() -> None:
    """A batch of a hundred LU decompositions of this size hangs in the library."""
    class_S = torch.arange(5).repeat_interleave(40)
    parameters = in_single_precision(full_parameters(5))
    taps = tuple(tap.float() for tap in random_taps(class_S, apart=1.0))
    _, found = measure(taps, SupportLabels(class_S, 5), parameters)
    assert bool(found.judged_S.all())
    assert not torch.equal(found.scores_SN, torch.zeros_like(found.scores_SN))
    assert bool(found.influence_S.isfinite().all())


def test_single_precision_is_enough() -> None:
    class_S = torch.arange(3).repeat_interleave(3)
    taps = random_taps(class_S, apart=1.0)
    parameters = full_parameters(3)
    _, found = measure(taps, SupportLabels(class_S, 3, DOUBLE), parameters)
    single = in_single_precision(parameters)
    _, rough = measure(tuple(tap.float() for tap in taps), SupportLabels(class_S, 3), single)
    torch.testing.assert_close(
        rough.probabilities_SN.double(), found.probabilities_SN, atol=1e-4, rtol=0
    )
    torch.testing.assert_close(rough.influence_S.double(), found.influence_S, atol=1e-4, rtol=0)


def test_a_head_without_a_temperature_is_refused() -> None:
    class_S = torch.tensor([0, 0, 1, 1])
    taps, labels, parameters = (
        random_taps(class_S), SupportLabels(class_S, 2, DOUBLE), full_parameters(2),
    )  # fmt: skip
    head = replace(solve_head(taps, labels, parameters, unit_rows=True), temperature=None)
    with pytest.raises(ValueError, match="temperature"):
        support_influence(taps, labels, head, parameters)


@pytest.mark.parametrize("network", ["shared", "trained"])
def test_a_whole_synthesis_is_measured(
    network: str, request: pytest.FixtureRequest, make_task: MakeTask
) -> None:
    hypernetwork: Hypernetwork = request.getfixturevalue(network)
    task = make_task((2, 2))
    images = images_to_tensor([p for c in task.classes for p in c.images], RESOLUTION)
    labels = SupportLabels(torch.tensor([0, 0, 1, 1]), 2)
    with torch.inference_mode():
        found = synthesis_influence(hypernetwork, images, labels, torch.zeros(2, 384))
        synthesis = hypernetwork.generate(images, labels, torch.zeros(2, 384))
    head = synthesis.head
    assert found.scores_SN.shape == (4, 2)
    assert bool(found.influence_S.isfinite().all())
    assert head.temperature is not None
    torch.testing.assert_close(found.temperature, head.temperature)


def test_influence_is_told_in_the_order_of_the_task() -> None:
    pool = random_images(0, 5, side=8)
    task = Task("rash", (ClassSupport("b", pool[:3]), ClassSupport("a", pool[3:])))
    canonical = task.canonical().classes
    place = {
        (support.name, image.tobytes()): row
        for row, (support, image) in enumerate(
            (support, image) for support in canonical for image in support.images
        )
    }
    rows = torch.arange(5, dtype=DOUBLE)
    found = SupportInfluence(
        scores_SN=torch.zeros(5, 2),
        probabilities_SN=torch.stack([rows, -rows], dim=1),
        judged_S=torch.ones(5, dtype=torch.bool),
        contradicts_S=rows == place["b", pool[1].tobytes()],
        influence_S=rows / 10,
        temperature=torch.tensor(1.0),
    )
    told = influence_by_image(task, found)
    assert [len(images) for images in told] == [3, 2]
    for support, images in zip(task.classes, told, strict=True):
        for pixels, image in zip(support.images, images, strict=True):
            row = place[support.name, pixels.tobytes()]
            assert image.influence == pytest.approx(row / 10)
            assert image.probabilities == (-row, row)
    assert [image.contradicts for image in told[0]] == [False, True, False]
    assert set(told[0][0].to_dict()) == {
        "probabilities_without_it", "judged", "contradicts_its_class", "influence",
    }  # fmt: skip


def test_numbers_are_plain(make_task: MakeTask) -> None:
    task = make_task((1, 1))
    found = SupportInfluence(
        *(torch.full((2, 2), 0.5),) * 2, *(torch.zeros(2, dtype=torch.bool),) * 2,
        torch.zeros(2), torch.tensor(1.0),
    )  # fmt: skip
    values = influence_by_image(task, found)[0][0].to_dict()
    assert not any(isinstance(value, torch.Tensor | np.generic) for value in values.values())
