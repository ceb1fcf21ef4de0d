from __future__ import annotations

import numpy as np
import pytest

from sgps.datasets.decoding import hash_pixels, perceptual_hash
from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom
from sgps.datasets.preprocessing import resize_and_crop
from sgps.errors import InputError, UnknownNameError


@pytest.mark.parametrize("kind", PHANTOM_CLASSES)
def test_the_same_seed_draws_the_same_lesion_and_another_another(kind: str) -> None:
    first = draw_phantom(kind, 64, np.random.default_rng(3))
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert hash_pixels(first) == hash_pixels(draw_phantom(kind, 64, np.random.default_rng(3)))
    other = draw_phantom(kind, 64, np.random.default_rng(4))
    assert np.abs(first.astype(int) - other).mean() > 3


@pytest.mark.parametrize("kind", PHANTOM_CLASSES)
def test_a_lesion_stands_out_from_its_skin(kind: str) -> None:
    differences = []
    for seed in range(5):
        pixels = draw_phantom(kind, 64, np.random.default_rng(seed)).astype(float)
        centre = pixels[22:42, 22:42].reshape(-1, 3).mean(axis=0)
        corners = np.concatenate([pixels[:6, :6], pixels[-6:, -6:]]).reshape(-1, 3).mean(axis=0)
        differences.append(np.abs(centre - corners).mean())
        assert 40 < pixels.mean() < 230
    assert np.mean(differences) > 8


@pytest.mark.parametrize("size", [32, 57, 1024])
def test_any_size_is_drawn(size: int) -> None:
    assert draw_phantom("melanoma", size, np.random.default_rng(0)).shape == (size, size, 3)


@pytest.mark.parametrize("kind", PHANTOM_CLASSES)
def test_a_seed_gives_one_lesion_at_any_size(kind: str) -> None:
    small = draw_phantom(kind, 64, np.random.default_rng(1)).astype(int)
    large = resize_and_crop(draw_phantom(kind, 128, np.random.default_rng(1)), 64).astype(int)
    assert np.abs(small - large).mean() < 9


def test_no_two_lesions_are_near_duplicates() -> None:
    codes = [
        int(perceptual_hash(draw_phantom(kind, 64, np.random.default_rng([seed, place]))), 16)
        for place, kind in enumerate(PHANTOM_CLASSES)
        for seed in range(6)
    ]
    closest = min(
        (one ^ other).bit_count() for at, one in enumerate(codes) for other in codes[at + 1 :]
    )
    assert closest >= 4


def test_classes_can_be_told_apart_by_their_colours() -> None:
    def colours(kind: str, seed: int) -> np.ndarray:
        pixels = draw_phantom(kind, 64, np.random.default_rng([seed, 5]))[12:52, 12:52] / 255.0
        skin = np.median(pixels.reshape(-1, 3), axis=0)
        flat = pixels.reshape(-1, 3)
        edges = np.abs(np.diff(pixels, axis=0)).mean(axis=(0, 1))
        return np.concatenate(
            [flat.mean(0), flat.std(0), np.quantile(flat, 0.05, axis=0), edges, skin]
        )

    kinds = list(PHANTOM_CLASSES)
    known = np.array([[colours(kind, seed) for seed in range(12)] for kind in kinds])
    centres, spread = known.mean(axis=1), known.std(axis=(0, 1))
    right = 0
    for place, kind in enumerate(kinds):
        for seed in range(12, 20):
            distances = np.abs((colours(kind, seed) - centres) / spread).sum(axis=1)
            right += int(distances.argmin() == place)
    assert right / (8 * len(kinds)) > 0.5


def test_every_class_is_described() -> None:
    assert len(PHANTOM_CLASSES) >= 8
    for name, text in PHANTOM_CLASSES.items():
        assert name == name.lower()
        assert 80 < len(text) < 400


def test_unknown_kinds_and_sizes_are_named() -> None:
    with pytest.raises(UnknownNameError, match="phantom class 'wart'; expected one of reticular"):
        draw_phantom("wart", 64, np.random.default_rng(0))
    for size in (31, 1025):
        with pytest.raises(InputError, match=f"phantom size {size}; expected 32 to 1024"):
            draw_phantom("melanoma", size, np.random.default_rng(0))
