"""Known classes as a background: which of them are kept, and what a margin is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sgps.synthesizer.head import LinearHead, solve_head
from sgps.synthesizer.head_parameters import HeadParameters, Whitening
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.resemblance import (
    KEPT_CLASSES,
    Resemblance,
    foreign_margin,
    resemblance_of,
)
from sgps.synthesizer.support_labels import SupportLabels

from .reference_head import shrinkage
from .reference_resemblance import (
    direction,
    head_row,
    margin,
    nearest_first,
    own_directions,
    reference_foreign_margin,
)

DOUBLE = torch.float64
TAP_WIDTHS = (4, 6)
WIDTH = sum(TAP_WIDTHS)
HALF = 2e-3
"""What half precision of unit directions may change in a margin."""
GENERATOR = "ab" * 32
SHOTS = st.lists(st.integers(1, 4), min_size=2, max_size=4)
SEEDS = st.integers(0, 2**32)


@dataclass(frozen=True)
class Case:
    """A task, its head, and classes known beside it, in double precision."""

    taps_SD: Tensor
    labels: SupportLabels
    parameters: HeadParameters
    known: KnownClasses
    unit_rows: bool = True

    @property
    def head(self) -> LinearHead:
        taps = split(self.taps_SD)
        return solve_head(taps, self.labels, self.parameters, unit_rows=self.unit_rows)

    def resemblance(self) -> Resemblance:
        taps = split(self.taps_SD)
        return resemblance_of(self.known, taps, self.labels, self.head, self.parameters.whitening)

    def margins(self, taps_QD: Tensor) -> tuple[Tensor, Tensor]:
        return self.resemblance().margins(self.head.features(split(taps_QD)))

    def foreign_margin(self) -> float | None:
        seen = split(self.taps_SD), self.labels, self.head, self.parameters.whitening
        return foreign_margin(self.resemblance(), *seen)

    @property
    def shrink_DD(self) -> np.ndarray:
        return shrinkage(self.parameters, WIDTH)

    def reference_rows(self, taps_QD: Tensor) -> list[np.ndarray]:
        centre_D, scale_D = self.head.centre_D.numpy(), self.head.scale_D.numpy()
        return [
            head_row(tap_D, centre_D, scale_D, unit_rows=self.unit_rows)
            for tap_D in taps_QD.numpy()
        ]

    def reference_directions(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Those of the task and those of all known classes."""
        rows = self.reference_rows(self.taps_SD)
        known = self.reference_rows(self.known.means_CD)
        own = own_directions(rows, self.labels.class_S.tolist(), self.shrink_DD)
        return own, [direction([row_D], self.shrink_DD) for row_D in known]


def split(taps_SD: Tensor) -> tuple[Tensor, ...]:
    return torch.split(taps_SD, list(TAP_WIDTHS), dim=1)


def normal(count: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, WIDTH, dtype=DOUBLE, generator=random)


def make_case(
    shots: tuple[int, ...],
    *,
    known: int = 5,
    seed: int = 0,
    whitened: bool = True,
    unit_rows: bool = True,
) -> Case:
    """Classes of their own corner each, their images in no order."""
    random = torch.Generator().manual_seed(seed)
    class_S = torch.repeat_interleave(torch.tensor(shots))
    class_S = class_S[torch.randperm(len(class_S), generator=random)]
    labels = SupportLabels(class_S, len(shots), DOUBLE)
    basis_DR = torch.linalg.qr(torch.randn(WIDTH, 3, dtype=DOUBLE, generator=random)).Q
    whitening = Whitening(basis_DR.T, torch.tensor([0.9, 0.5, 0.2], dtype=DOUBLE))
    parameters = HeadParameters(
        log_tap_weights_T=torch.tensor([0.5, 1.3], dtype=DOUBLE).log(),
        log_ridge=torch.tensor(0.3, dtype=DOUBLE).log(),
        log_temperature=torch.tensor(5.0, dtype=DOUBLE).log(),
        text_weights_ND=torch.zeros(len(shots), WIDTH, dtype=DOUBLE),
        whitening=whitening if whitened else None,
    )
    corners_ND = normal(len(shots), seed + 1)
    taps_SD = corners_ND[class_S] + 0.7 * normal(len(class_S), seed + 2)
    names = tuple(f"drawn: {number}" for number in range(known))
    background = KnownClasses(names, normal(known, seed + 3), GENERATOR)
    return Case(taps_SD, labels, parameters, background, unit_rows)


def plane(*rows: tuple[float, float]) -> Tensor:
    return torch.tensor(rows, dtype=DOUBLE)


def plain_head(ways: int, *, unit_rows: bool = False) -> LinearHead:
    nothing = torch.zeros(2, dtype=DOUBLE), torch.ones(2, dtype=DOUBLE)
    weight_ND, bias_N = torch.zeros(ways, 2, dtype=DOUBLE), torch.zeros(ways, dtype=DOUBLE)
    return LinearHead(*nothing, weight_ND, bias_N, unit_rows)


def test_golden_margins_in_the_plane() -> None:
    """Right and up are the task's; the query points between, as a known class does."""
    labels = SupportLabels(torch.tensor([0, 1]), 2, DOUBLE)
    seen = (plane((1, 0), (0, 2)),), labels
    names, means_CD = ("down", "left", "between"), plane((0, -3), (-4, 0), (3, 4))
    known = KnownClasses(names, means_CD, GENERATOR)
    found = resemblance_of(known, *seen, plain_head(2), None)
    assert found.names == ("between", "down", "left")
    expected = plane((1, 0), (0, 1), (0.6, 0.8), (0, -1), (-1, 0))
    torch.testing.assert_close(found.weight_MD.double(), expected, atol=5e-4, rtol=0)
    margin_Q, index_Q = found.margins(plane((3, 4), (0, 5), (-2, -7)))
    np.testing.assert_allclose(margin_Q, [-1, 1, -9], atol=2e-3)
    assert index_Q.tolist() == [0, 0, 1]
    unit = resemblance_of(known, *seen, plain_head(2, unit_rows=True), None)
    rows_QD = plain_head(2, unit_rows=True).features((plane((3, 4)),))
    assert float(unit.margins(rows_QD)[0]) == pytest.approx(0.8 - 1, abs=1e-3)


def test_golden_margin_of_whitened_rows() -> None:
    """Upwards counts half: (3, 8) is (3, 4) to the whitening, and once more (0.6, 0.4) long."""
    labels = SupportLabels(torch.tensor([0, 1]), 2, DOUBLE)
    whitening = Whitening(plane((0, 1)), torch.tensor([0.5], dtype=DOUBLE))
    known = KnownClasses(("k",), plane((3, 8)), GENERATOR)
    found = resemblance_of(known, (plane((1, 0), (0, 2)),), labels, plain_head(2), whitening)
    expected = plane((1, 0), (0, 0.5), (0.6, 0.4))
    torch.testing.assert_close(found.weight_MD.double(), expected, atol=5e-4, rtol=0)
    assert float(found.margins(plane((3, 8)))[0]) == pytest.approx(4 - 5, abs=3e-3)


def test_golden_foreign_margin() -> None:
    """(3, 4) and (5, 0), each against the other: 3 + 3 and 3 + 5; the lonely one would have 2."""
    labels = SupportLabels(torch.tensor([0, 0, 1]), 2, DOUBLE)
    seen = (plane((3, 4), (5, 0), (0, -2)),), labels, plain_head(2), None
    known = KnownClasses(("k: left",), plane((-1, 0)), GENERATOR)
    assert foreign_margin(resemblance_of(known, *seen), *seen) == pytest.approx(6.2, abs=1e-12)


@pytest.mark.parametrize("unit_rows", [True, False])
@pytest.mark.parametrize("whitened", [True, False])
def test_equals_numpy_from_the_definition(whitened: bool, unit_rows: bool) -> None:
    case = make_case((3, 1, 2), known=40, whitened=whitened, unit_rows=unit_rows)
    found = case.resemblance()
    own, known = case.reference_directions()
    kept = nearest_first(own, known)[:KEPT_CLASSES]
    assert found.names == tuple(case.known.names[number] for number in kept)
    assert found.ways == 3
    foreign = [known[number] for number in kept]
    expected = np.stack([*own, *foreign]) @ case.shrink_DD
    assert found.weight_MD.dtype == torch.float16
    np.testing.assert_allclose(found.weight_MD.double().numpy(), expected, atol=5e-4, rtol=0)
    queries = normal(7, seed=50)
    margin_Q, index_Q = case.margins(queries)
    wanted = [margin(row, own, foreign, case.shrink_DD) for row in case.reference_rows(queries)]
    scale = 1 if unit_rows else float(case.head.features(split(queries)).norm(dim=1).max())
    np.testing.assert_allclose(margin_Q, [value for value, _ in wanted], atol=HALF * scale)
    assert index_Q.tolist() == [index for _, index in wanted]


@settings(max_examples=30, deadline=None)
@given(shots=SHOTS, seed=SEEDS, whitened=st.booleans(), unit_rows=st.booleans())
def test_the_foreign_margin_comes_from_leaving_each_image_out(
    shots: list[int], seed: int, whitened: bool, unit_rows: bool
) -> None:
    case = make_case(tuple(shots), seed=seed, whitened=whitened, unit_rows=unit_rows)
    rows = case.reference_rows(case.taps_SD)
    _, known = case.reference_directions()
    expected = reference_foreign_margin(rows, case.labels.class_S.tolist(), known, case.shrink_DD)
    found = case.foreign_margin()
    if max(shots) == 1:
        assert found is expected is None
    else:
        longest = max(float(np.linalg.norm(row_D)) for row_D in rows)
        assert found == pytest.approx(expected, abs=HALF * max(1.0, longest))


def test_the_foreign_margin_is_exact_beside_the_directions_as_they_are_kept() -> None:
    case = make_case((4, 1, 3), whitened=False)
    foreign = case.resemblance().weight_MD[3:].double().numpy()
    rows = case.reference_rows(case.taps_SD)
    expected = reference_foreign_margin(
        rows, case.labels.class_S.tolist(), list(foreign), case.shrink_DD
    )
    assert case.foreign_margin() == pytest.approx(expected, abs=1e-12)


def test_with_one_image_a_class_no_foreign_margin_can_be_told() -> None:
    assert make_case((1, 1, 1)).foreign_margin() is None
    assert make_case((1, 2, 1)).foreign_margin() is not None


@settings(max_examples=25, deadline=None)
@given(shots=SHOTS, seed=SEEDS, data=st.data())
def test_the_order_of_the_images_says_nothing(
    shots: list[int], seed: int, data: st.DataObject
) -> None:
    case = make_case(tuple(shots), seed=seed)
    order = data.draw(st.permutations(range(sum(shots))))
    labels = replace(case.labels, class_S=case.labels.class_S[order])
    turned = replace(case, taps_SD=case.taps_SD[order], labels=labels)
    assert_alike(case, turned, range(len(shots)), seed)


@settings(max_examples=25, deadline=None)
@given(shots=SHOTS, seed=SEEDS, data=st.data())
def test_the_order_of_the_classes_is_that_of_the_directions_alone(
    shots: list[int], seed: int, data: st.DataObject
) -> None:
    case = make_case(tuple(shots), seed=seed)
    order = data.draw(st.permutations(range(len(shots))))
    numbers = torch.argsort(torch.tensor(order))[case.labels.class_S]
    turned = replace(case, labels=replace(case.labels, class_S=numbers))
    assert_alike(case, turned, order, seed)
    reordered = case.resemblance().reordered(torch.tensor(order))
    assert reordered.names == turned.resemblance().names
    torch.testing.assert_close(
        reordered.weight_MD, turned.resemblance().weight_MD, atol=1e-3, rtol=0
    )


def assert_alike(case: Case, turned: Case, order: object, seed: int) -> None:
    """Up to rounding, output i of ``turned`` is output ``order[i]`` of ``case``."""
    ours, theirs = case.resemblance(), turned.resemblance()
    assert theirs.names == ours.names
    rows = [*order, *range(ours.ways, len(ours.weight_MD))]
    torch.testing.assert_close(theirs.weight_MD, ours.weight_MD[rows], atol=1e-3, rtol=0)
    queries = normal(4, seed)
    torch.testing.assert_close(turned.margins(queries), case.margins(queries), atol=HALF, rtol=0)
    assert turned.foreign_margin() == pytest.approx(case.foreign_margin(), abs=HALF)


@pytest.mark.parametrize("count", [1, KEPT_CLASSES - 1, KEPT_CLASSES, KEPT_CLASSES + 9])
def test_no_more_than_24_are_kept_and_fewer_all(count: int) -> None:
    case = make_case((2, 2), known=count)
    found = case.resemblance()
    assert len(found.names) == len(set(found.names)) == min(count, KEPT_CLASSES) <= 24
    assert found.weight_MD.shape == (2 + len(found.names), WIDTH)
    assert set(found.names) <= set(case.known.names)


def test_the_nearest_are_kept() -> None:
    """Twins of the task's three images come first among many others, whatever their places."""
    case = make_case((1, 1, 1), known=60)
    means_CD = case.known.means_CD.clone()
    twins = [58, 3, 17]
    means_CD[twins] = case.taps_SD
    found = replace(case, known=replace(case.known, means_CD=means_CD)).resemblance()
    assert set(found.names[:3]) == {f"drawn: {number}" for number in twins}


@pytest.mark.parametrize("shots", [(1, 1, 1), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("whitened", [True, False])
def test_a_known_class_is_foreign_and_the_support_at_home(
    shots: tuple[int, ...], whitened: bool
) -> None:
    case = make_case(shots, known=8, seed=3, whitened=whitened)
    foreign_C, index_C = case.margins(case.known.means_CD)
    assert (foreign_C < 0).all()
    assert [case.resemblance().names[index] for index in index_C.tolist()] == list(case.known.names)
    at_home_S, _ = case.margins(case.taps_SD)
    assert (at_home_S > 0).all()
