from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgps.errors import RequestError
from sgps.synthesizer import ClassSupport, Task

from .conftest import random_images


def test_refuses_one_class() -> None:
    with pytest.raises(RequestError, match=r"classes: 1 given; expected 2 to 20"):
        Task("t", (ClassSupport("a", random_images(0, 1)),))


def test_refuses_21_classes() -> None:
    classes = tuple(ClassSupport(f"c{i}", random_images(i, 1)) for i in range(21))
    with pytest.raises(RequestError, match="21 given"):
        Task("t", classes)


def test_refuses_a_class_without_images() -> None:
    with pytest.raises(RequestError, match="class 'b' has no images"):
        Task("t", (ClassSupport("a", random_images(0, 1)), ClassSupport("b", ())))


def test_refuses_a_repeated_name() -> None:
    with pytest.raises(RequestError, match=r"classes\[1\]\.name: 'a' is used twice"):
        Task("t", (ClassSupport("a", random_images(0, 1)), ClassSupport("a", random_images(1, 1))))


def test_refuses_one_image_in_two_classes() -> None:
    shared = random_images(0, 1)
    with pytest.raises(RequestError, match="in class 'a' and in class 'b'"):
        Task("t", (ClassSupport("a", shared), ClassSupport("b", shared)))


def test_refuses_what_is_no_image() -> None:
    with pytest.raises(RequestError, match=r"float64 of shape \(4, 4, 3\)"):
        Task("t", (ClassSupport("a", (np.zeros((4, 4, 3)),)), ClassSupport("b", ())))


@given(st.permutations(range(4)), st.permutations(range(3)))
def test_canonical_order_does_not_depend_on_the_given_one(
    class_order: list[int], image_order: list[int]
) -> None:
    def build(classes: list[int], images: list[int]) -> Task:
        return Task(
            "t",
            tuple(
                ClassSupport(f"c{c}", tuple(random_images(10 * c + i, 1, 8)[0] for i in images))
                for c in classes
            ),
        )

    reference = build([0, 1, 2, 3], [0, 1, 2]).canonical()
    shuffled = build(class_order, image_order).canonical()
    assert [c.name for c in shuffled.classes] == [c.name for c in reference.classes]
    for ours, theirs in zip(shuffled.classes, reference.classes, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours.images, theirs.images, strict=True))
    names = [shuffled.classes[place].name for place in shuffled.position]
    assert names == [f"c{c}" for c in class_order]
