from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgps.datasets.preprocessing import resize_and_crop, shrink_long_side
from sgps.errors import ImageError, InputError


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_any_image_becomes_a_square(height: int, width: int, size: int) -> None:
    pixels = np.full((height, width, 3), 77, dtype=np.uint8)
    square = resize_and_crop(pixels, size)
    assert square.shape == (size, size, 3)
    assert (square == 77).all()


def test_the_centre_is_kept() -> None:
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, 20:40] = 200
    turned = pixels.transpose(1, 0, 2).copy()
    for square in (resize_and_crop(pixels, 10), resize_and_crop(turned, 10)):
        assert np.abs(square.astype(int) - 200).max() <= 15


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = resize_and_crop(stripes, 8).astype(int)
    assert np.abs(small - 127).max() < 20


def test_a_square_of_the_size_is_copied() -> None:
    pixels = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    same = resize_and_crop(pixels, 8)
    assert np.array_equal(same, pixels)
    assert not np.shares_memory(same, pixels)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(InputError, match="size 0; expected at least 1"):
        resize_and_crop(np.zeros((4, 4, 3), np.uint8), 0)
    with pytest.raises(ImageError, match=r"shape \(4, 4\)"):
        resize_and_crop(np.zeros((4, 4), np.uint8), 4)


@given(st.integers(1, 90), st.integers(1, 90))
def test_long_sides_are_shrunk_and_short_images_left_alone(height: int, width: int) -> None:
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    shrunk = shrink_long_side(pixels, 32)
    assert max(shrunk.shape[:2]) == min(32, max(height, width))
    assert min(shrunk.shape[:2]) >= 1
    if max(height, width) <= 32:
        assert shrunk is pixels
    else:
        scale = 32 / max(height, width)
        assert abs(shrunk.shape[0] - height * scale) < 1
        assert abs(shrunk.shape[1] - width * scale) < 1
