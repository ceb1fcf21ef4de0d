"""Known classes as a background: where they differ, and what a margin is."""

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
from sgps.synthesizer.known_background import KnownBackground
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.resemblance import (
    TOLD_CLASSES,
    Resemblance,
    foreign_margin,
    nearest_known,
    resemblance_of,
)
from sgps.synthesizer.support_labels import SupportLabels

from .reference_head import shrinkage
from .reference_resemblance import (
    cosine,
    discriminant,
    head_row,
    margin,
    own_directions,
    reference_foreign_margin,
    rows_of_dataset,
)

DOUBLE = torch.float64
TAP_WIDTHS = (4, 6)
WIDTH = sum(TAP_WIDTHS)
FLOOR = 0.2
HALF = 4e-3
"""What half precision of directions and coordinates may change in a margin."""
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

    @property
    def background(self) -> KnownBackground:
        found = KnownBackground.of(self.known, TAP_WIDTHS, self.parameters, floor=FLOOR)
        assert found is not None
        return found

    def resemblance(self) -> Resemblance:
        taps, whitening = split(self.taps_SD), self.parameters.whitening
        return resemblance_of(self.background, taps, self.labels, self.head, whitening)

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

    def reference_own(self) -> list[np.ndarray]:
        rows = self.reference_rows(self.taps_SD)
        return own_directions(rows, self.labels.class_S.tolist(), self.shrink_DD)

    def reference_product(self) -> np.ndarray:
        """Of the discriminant, from its definition."""
        datasets: dict[str, list[np.ndarray]] = {}
        for name, mean_D in zip(self.known.names, self.known.means_CD.numpy(), strict=True):
            datasets.setdefault(name.split(": ")[0], []).append(mean_D)
        weights = self.parameters.log_tap_weights_T.exp().tolist()
        rows = [
            rows_of_dataset(np.stack(means), TAP_WIDTHS, weights)
            for means in datasets.values()
            if len(means) > 1
        ]
        within_DD = np.eye(WIDTH)
        if self.parameters.whitening is not None:
            basis_RD = self.parameters.whitening.basis_RD.numpy()
            left_R = 1 - (1 - self.parameters.whitening.shares_R.numpy()) ** 2
            within_DD = FLOOR * within_DD + basis_RD.T @ np.diag(left_R - FLOOR) @ basis_RD
        return discriminant(rows, self.shrink_DD, within_DD, 1e-6)


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
    names = tuple(f"drawn {number % 2}: {number}" for number in range(known))
    background = KnownClasses(names, normal(known, seed + 3), GENERATOR)
    return Case(taps_SD, labels, parameters, background, unit_rows)


def plane(*rows: tuple[float, float]) -> Tensor:
    return torch.tensor(rows, dtype=DOUBLE)


def plain_head(ways: int, *, unit_rows: bool = False) -> LinearHead:
    nothing = torch.zeros(2, dtype=DOUBLE), torch.ones(2, dtype=DOUBLE)
    weight_ND, bias_N = torch.zeros(ways, 2, dtype=DOUBLE), torch.zeros(ways, dtype=DOUBLE)
    return LinearHead(*nothing, weight_ND, bias_N, unit_rows)


def background_in_the_plane(
    *means: tuple[float, float], whitening: Whitening | None = None
) -> KnownBackground:
    """Known classes of one dataset; where three of them span the plane, products are plain."""
    names = tuple(f"k: {'abc'[number]}" for number in range(len(means)))
    parameters = HeadParameters(
        log_tap_weights_T=torch.zeros(1, dtype=DOUBLE),
        log_ridge=torch.zeros((), dtype=DOUBLE),
        log_temperature=torch.zeros((), dtype=DOUBLE),
        text_weights_ND=torch.zeros(1, 2, dtype=DOUBLE),
        whitening=whitening,
    )
    known = KnownClasses(names, plane(*means), GENERATOR)
    found = KnownBackground.of(known, (2,), parameters, floor=0.25)
    assert found is not None
    return found


def test_golden_margins_in_the_plane() -> None:
    """Right and up are the task's; down, left and (3, 4) are known. cos((0, 5), (3, 4)) = 0.8."""
    labels = SupportLabels(torch.tensor([0, 1]), 2, DOUBLE)
    background = background_in_the_plane((0, -3), (-4, 0), (3, 4))
    seen = (plane((1, 0), (0, 2)),), labels, plain_head(2)
    found = resemblance_of(background, *seen, None)
    torch.testing.assert_close(found.own_ND.double(), plane((1, 0), (0, 1)), atol=5e-4, rtol=0)
    margin_Q, index_Q = found.margins(plane((3, 4), (0, 5), (-2, -7)))
    expected = [4 - 0.75, 5 - 0.75 * 0.8, -2 - 0.75 * 7 / 53**0.5]
    np.testing.assert_allclose(margin_Q, expected, atol=HALF)
    assert [found.names[index] for index in index_Q.tolist()] == ["k: c", "k: c", "k: a"]
    assert nearest_known(found, *seen) == ("k: c", "k: a", "k: b")


def test_golden_margin_of_two_known_classes() -> None:
    """Two classes differ along one line: each image is on the side of one of them."""
    labels = SupportLabels(torch.tensor([0, 1]), 2, DOUBLE)
    background = background_in_the_plane((1, 2), (1, -2))
    found = resemblance_of(background, (plane((1, 0), (0, 2)),), labels, plain_head(2), None)
    margin_Q, index_Q = found.margins(plane((3, 4), (5, -1)))
    np.testing.assert_allclose(margin_Q, [4 - 0.75, 5 - 0.75], atol=HALF)
    assert index_Q.tolist() == [0, 1]


def test_golden_margin_of_whitened_rows() -> None:
    """Upwards half is taken away: within a class 0.75 are left there, 0.25 to the right.

    Products of the discriminant are then x x / 0.25 + (y / 2) (y / 2) / 0.75.
    """
    labels = SupportLabels(torch.tensor([0, 1]), 2, DOUBLE)
    whitening = Whitening(plane((0, 1)), torch.tensor([0.5], dtype=DOUBLE))
    background = background_in_the_plane((3, 8), (-4, 0), (0, -3), whitening=whitening)
    seen = (plane((1, 0), (0, 2)),), labels, plain_head(2), whitening
    found = resemblance_of(background, *seen)
    torch.testing.assert_close(found.own_ND.double(), plane((1, 0), (0, 0.5)), atol=5e-4, rtol=0)
    cosine = 12 / (2 * (36 + 64 / 3) ** 0.5)
    margin_Q, index_Q = found.margins(plane((3, 8), (1, 0)))
    np.testing.assert_allclose(margin_Q, [4 - 0.75, 1 - 0.75 * cosine], atol=HALF)
    assert index_Q.tolist() == [0, 0]


def test_golden_foreign_margin() -> None:
    """(3, 4) and (5, 0), each against the other: both 3, less what they resemble the known one.

    Of one dataset's classes (-1, 0), (0, 1), (0, -1), (3, 4) resembles (0, 1) by 0.8 and (5, 0)
    none: 3 - 0.6 and 3, of which a tenth falls short of 2.46.
    """
    labels = SupportLabels(torch.tensor([0, 0, 1]), 2, DOUBLE)
    seen = (plane((3, 4), (5, 0), (0, -2)),), labels, plain_head(2), None
    found = resemblance_of(background_in_the_plane((-1, 0), (0, 1), (0, -1)), *seen)
    assert foreign_margin(found, *seen) == pytest.approx(2.46, abs=HALF)


@pytest.mark.parametrize("unit_rows", [True, False])
@pytest.mark.parametrize("whitened", [True, False])
@pytest.mark.parametrize("known", [6, 9])
def test_equals_numpy_from_the_definition(whitened: bool, unit_rows: bool, known: int) -> None:
    case = make_case((3, 1, 2), known=known, whitened=whitened, unit_rows=unit_rows)
    found, own, product_DD = case.resemblance(), case.reference_own(), case.reference_product()
    assert found.names == case.known.names
    assert found.ways == 3
    assert {tensor.dtype for tensor in found.tensors().values()} == {torch.float16}
    np.testing.assert_allclose(
        found.own_ND.double().numpy(), np.stack(own) @ case.shrink_DD, atol=5e-4, rtol=0
    )
    known_rows = case.reference_rows(case.known.means_CD)
    queries = normal(7, seed=50)
    margin_Q, index_Q = case.margins(queries)
    wanted = [
        margin(row_D, own, known_rows, case.shrink_DD, product_DD)
        for row_D in case.reference_rows(queries)
    ]
    scale = 1 if unit_rows else float(case.head.features(split(queries)).norm(dim=1).max())
    np.testing.assert_allclose(margin_Q, [value for value, _ in wanted], atol=HALF * scale)
    assert index_Q.tolist() == [index for _, index in wanted]


def test_products_along_the_projection_are_those_of_the_discriminant() -> None:
    case = make_case((2, 2), known=7)
    product_DD = case.reference_product()
    rows_QD = case.head.features(split(normal(5, seed=9)))
    along_QK = torch.nn.functional.normalize(
        rows_QD @ case.background.projection_DK.double(), dim=1
    )
    expected = [
        [cosine(one, other, product_DD) for other in rows_QD.numpy()] for one in rows_QD.numpy()
    ]
    np.testing.assert_allclose(along_QK @ along_QK.T, expected, atol=HALF)


@settings(max_examples=30, deadline=None)
@given(shots=SHOTS, seed=SEEDS, whitened=st.booleans(), unit_rows=st.booleans())
def test_the_foreign_margin_comes_from_leaving_each_image_out(
    shots: list[int], seed: int, whitened: bool, unit_rows: bool
) -> None:
    case = make_case(tuple(shots), seed=seed, whitened=whitened, unit_rows=unit_rows)
    rows, product_DD = case.reference_rows(case.taps_SD), case.reference_product()
    known = case.reference_rows(case.known.means_CD)
    classes = case.labels.class_S.tolist()
    expected = reference_foreign_margin(rows, classes, known, case.shrink_DD, product_DD)
    found = case.foreign_margin()
    if max(shots) == 1:
        assert found is expected is None
    else:
        longest = max(float(np.linalg.norm(row_D)) for row_D in rows)
        assert found == pytest.approx(expected, abs=HALF * max(1.0, longest))


def test_classes_that_look_alike_do_no_harm() -> None:
    case = make_case((2, 2), known=6)
    means_CD = case.known.means_CD.clone()
    means_CD[[2, 4]] = case.known.means_CD[0]
    twins = replace(case, known=replace(case.known, means_CD=means_CD))
    assert all(tensor.isfinite().all() for tensor in twins.resemblance().tensors().values())
    margin_Q, _ = twins.margins(normal(4, seed=3))
    assert bool(margin_Q.isfinite().all())


@pytest.mark.parametrize(
    "names", [("a: 1", "b: 1", "c: 1"), ("a: 1", "a: 2", "a: 3")], ids=["lonely", "all alike"]
)
def test_where_known_classes_do_not_differ_there_is_no_background(names: tuple[str, ...]) -> None:
    case = make_case((2, 2))
    means_CD = case.known.means_CD[:1].expand(3, -1)
    known = KnownClasses(names, means_CD, GENERATOR)
    assert KnownBackground.of(known, TAP_WIDTHS, case.parameters, floor=FLOOR) is None


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
    torch.testing.assert_close(reordered.own_ND, turned.resemblance().own_ND, atol=1e-3, rtol=0)


def assert_alike(case: Case, turned: Case, order: object, seed: int) -> None:
    """Up to rounding, output i of ``turned`` is output ``order[i]`` of ``case``."""
    ours, theirs = case.resemblance(), turned.resemblance()
    assert theirs.names == ours.names
    rows = list(order)  # type: ignore[call-overload]
    torch.testing.assert_close(theirs.own_ND, ours.own_ND[rows], atol=1e-3, rtol=0)
    torch.testing.assert_close(theirs.known_CK, ours.known_CK, atol=1e-3, rtol=0)
    queries = normal(4, seed)
    torch.testing.assert_close(turned.margins(queries), case.margins(queries), atol=HALF, rtol=0)
    assert turned.foreign_margin() == pytest.approx(case.foreign_margin(), abs=HALF)


@pytest.mark.parametrize("count", [2, TOLD_CLASSES - 1, TOLD_CLASSES + 9])
def test_the_nearest_of_all_known_classes_are_told(count: int) -> None:
    """Twins of the task's images come first among many others, whatever their places."""
    case = make_case((1, 1), known=count + 2)
    means_CD = case.known.means_CD.clone()
    means_CD[[count, 1]] = case.taps_SD
    case = replace(case, known=replace(case.known, means_CD=means_CD))
    found = case.resemblance()
    assert len(found.names) == count + 2
    told = nearest_known(found, split(case.taps_SD), case.labels, case.head)
    assert set(told[:2]) == {case.known.names[count], case.known.names[1]}
    assert len(told) == len(set(told)) == min(count + 2, TOLD_CLASSES)


@pytest.mark.parametrize("shots", [(1, 1, 1), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("whitened", [True, False])
def test_a_known_class_is_more_foreign_than_the_support(
    shots: tuple[int, ...], whitened: bool
) -> None:
    case = make_case(shots, known=8, seed=3, whitened=whitened)
    foreign_C, index_C = case.margins(case.known.means_CD)
    assert index_C.tolist() == list(range(8))
    at_home_S, _ = case.margins(case.taps_SD)
    assert float(foreign_C.max()) < float(at_home_S.min())


def test_directions_of_before_the_discriminant_say_what_they_said() -> None:
    """They are told by their one tensor; the known ones count whole and are plain directions."""
    weight_MD = plane((1, 0), (0, 1), (0.6, 0.8)).half()
    former = Resemblance.from_tensors({"weight": weight_MD}, ["k"])
    margin_Q, index_Q = former.margins(plane((3, 4), (2, 0)))
    np.testing.assert_allclose(margin_Q, [-1, 0.8], atol=2e-3)
    assert index_Q.tolist() == [0, 0]
    [(name, tensor)] = former.tensors().items()
    assert name == "weight"
    assert torch.equal(tensor, weight_MD)
    turned = former.reordered(torch.tensor([1, 0]))
    assert torch.equal(turned.own_ND, weight_MD[[1, 0]])
