import colorsys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from sgps.evaluation.corruptions import (
    BLUR_SHARE,
    BRIGHTER_BY,
    CORRUPTIONS,
    NOISE_DEVIATION,
    CorruptedCopies,
    add_noise,
    blur,
    brighten,
    compress,
)


def draw_pool(count: int = 4, side: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_copies_differ_and_depend_on_the_image_alone(name):
    pool = draw_pool()
    before = pool.copy()
    copies = [CORRUPTIONS[name](image) for image in pool]
    for image, copy in zip(pool, copies, strict=True):
        assert (copy.dtype, copy.shape) == (np.uint8, image.shape)
        assert (copy != image).mean() > 0.3
        np.testing.assert_array_equal(CORRUPTIONS[name](np.array(image)), copy)
    np.testing.assert_array_equal(pool, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shade", [0, 127, 255])
def test_flat_images_keep_their_range(name, shade):
    flat = np.full((3, 32, 32), shade, dtype=np.uint8)
    copy = CORRUPTIONS[name](flat)
    expected = {"brightness": min(shade + BRIGHTER_BY, 255)}.get(name, shade)
    tolerance = 40 if name == "noise" else 2.5
    assert copy.mean() == pytest.approx(expected, abs=tolerance)


def test_blur_is_a_separable_gaussian_in_proportion_to_the_side():
    image = draw_pool(1, side=64)[0]
    deviation = BLUR_SHARE * 64
    expected = gaussian_filter1d(image.astype(float), deviation, axis=1)
    expected = gaussian_filter1d(expected, deviation, axis=2)
    np.testing.assert_allclose(blur(image), expected, atol=0.51)


def test_noise_is_normal_and_another_for_another_image():
    grey = np.full((3, 96, 96), 128, dtype=np.uint8)
    noise = add_noise(grey).astype(float) - 128
    assert noise.mean() == pytest.approx(0, abs=1)
    assert noise.std() == pytest.approx(NOISE_DEVIATION, rel=0.03)
    assert np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1] == pytest.approx(0, abs=0.05)
    other = grey.copy()
    other[0, 0, 0] = 127
    assert (add_noise(other) != add_noise(grey)).mean() > 0.9


def test_brightness_agrees_with_the_standard_library():
    image = draw_pool(1, side=12)[0]
    expected = np.empty(image.shape)
    for row, column in np.ndindex(12, 12):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[:, row, column] / 255)
        brighter = min(value + BRIGHTER_BY / 255, 1)
        expected[:, row, column] = colorsys.hsv_to_rgb(hue, saturation, brighter)
    np.testing.assert_allclose(brighten(image), 255 * expected, atol=0.51)


def test_compression_keeps_the_channels_in_order():
    red = np.zeros((3, 32, 32), dtype=np.uint8)
    red[0] = 200
    np.testing.assert_allclose(compress(red).mean((1, 2)), [200, 0, 0], atol=8)


def test_copies_of_a_pool_are_made_when_asked_for():
    pool = draw_pool()
    copies = CorruptedCopies(pool)
    images = copies.images
    assert images.shape == (20, 3, 48, 48)
    rows = np.array([2, 0, 2])
    assert copies.keep(rows).tolist() == [2, 0, 2]
    altered = copies.alter(rows)
    assert list(altered) == list(CORRUPTIONS)
    np.testing.assert_array_equal(images[rows], pool[rows])
    for name, places in altered.items():
        for row, place in zip(rows, places, strict=True):
            np.testing.assert_array_equal(images[place], CORRUPTIONS[name](pool[row]))
    assert not images[[1, 3, 5, 7]].any()
    assert copies.images is images
