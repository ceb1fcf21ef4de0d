import io
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance

from sgps.datasets._near_duplicates import (
    detail_signature,
    find_near_duplicates,
    hashes_as_integers,
)
from sgps.datasets.decoding import perceptual_hash
from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom


def phantom(kind: str, seed: int, size: int = 128) -> Image.Image:
    return Image.fromarray(draw_phantom(kind, size, np.random.default_rng(seed)))


def measure(image: Image.Image) -> tuple[str, npt.NDArray[np.float32]]:
    thumbnail = image.convert("L").resize((64, 64), Image.Resampling.BICUBIC)
    return perceptual_hash(np.asarray(image)), detail_signature(np.asarray(thumbnail))


def pairs_among(images: list[Image.Image], groups: list[int] | None = None, **options: object):
    measured = [measure(image) for image in images]
    rules = {"max_distance": 8, "min_similarity": 0.99, **options}
    return find_near_duplicates(
        hashes_as_integers([found[0] for found in measured]),
        np.stack([found[1] for found in measured]),
        np.array(groups if groups is not None else range(len(images))),
        np.arange(len(images)),
        **rules,
    )


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        as_jpeg,
        lambda image: image.resize((96, 96), Image.Resampling.BICUBIC),
        lambda image: ImageEnhance.Contrast(image).enhance(0.7),
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: image.convert("L").convert("RGB"),
    ],
    ids=["jpeg", "resized", "contrast", "brightness", "grey"],
)
def test_a_changed_copy_is_found(change: Callable[[Image.Image], Image.Image]) -> None:
    original = phantom(next(iter(PHANTOM_CLASSES)), seed=5)
    (pair,) = pairs_among([original, change(original)])
    assert (pair.first, pair.second) == (0, 1)
    assert pair.distance <= 8
    assert pair.similarity >= 0.99


def test_distinct_phantoms_are_no_near_duplicates() -> None:
    images = [phantom(kind, seed) for kind in PHANTOM_CLASSES for seed in range(8)]
    assert pairs_among(images) == []


def test_the_hash_alone_would_have_collided() -> None:
    """The same broad shading over different specks: one hash, yet no two images are one."""
    waves = np.cos(np.pi * np.outer(np.arange(8), np.arange(128) + 0.5) / 128)
    weights = np.random.default_rng(0).normal(size=(8, 8))
    shading = np.einsum("ab,ay,bx->yx", weights, waves, waves)
    shading = 60 + 120 * (shading - shading.min()) / np.ptp(shading)
    images = []
    for seed in range(6):
        field = shading.copy()
        for y, x in np.random.default_rng(seed + 1).integers(0, 125, (60, 2)):
            field[y : y + 3, x : x + 3] += 40
        images.append(Image.fromarray(np.repeat(field[..., None], 3, 2).astype(np.uint8)))
    assert len(pairs_among(images, min_similarity=-1.0)) == 15
    assert pairs_among(images) == []


def test_pairs_within_a_group_and_of_one_content_are_passed_over() -> None:
    original = phantom(next(iter(PHANTOM_CLASSES)), seed=1)
    copies = [original, as_jpeg(original)]
    assert pairs_among(copies, groups=[3, 3]) == []
    code, signature = measure(original)
    same = find_near_duplicates(
        hashes_as_integers([code, code]),
        np.stack([signature, signature]),
        np.array([0, 1]),
        np.array([7, 7]),
        max_distance=8,
        min_similarity=0.99,
    )
    assert same == []


def test_flat_images_resemble_nothing() -> None:
    signature = detail_signature(np.full((64, 64), 128, dtype=np.uint8))
    assert not signature.any()


def test_pairs_are_found_across_blocks_and_equal_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 1300, dtype=np.uint64)
    signatures = rng.normal(size=(1300, 16)).astype(np.float32)
    signatures /= np.linalg.norm(signatures, axis=1, keepdims=True)
    for first, second in ((3, 4), (10, 900), (600, 1299), (511, 512)):
        hashes[second] = hashes[first] ^ np.uint64(0b101)
        signatures[second] = signatures[first]
    found = find_near_duplicates(
        hashes, signatures, np.arange(1300), np.arange(1300), max_distance=2, min_similarity=0.9
    )
    assert {(pair.first, pair.second) for pair in found} == {
        (3, 4),
        (10, 900),
        (511, 512),
        (600, 1299),
    }
    assert {pair.distance for pair in found} == {2}


def test_when_all_hashes_agree_detail_still_decides() -> None:
    rng = np.random.default_rng(1)
    signatures = rng.normal(size=(700, 64)).astype(np.float32)
    signatures /= np.linalg.norm(signatures, axis=1, keepdims=True)
    signatures[650] = signatures[20]
    zeros = np.zeros(700, dtype=np.uint64)
    found = find_near_duplicates(
        zeros, signatures, np.arange(700), np.arange(700), max_distance=0, min_similarity=0.99
    )
    assert [(pair.first, pair.second) for pair in found] == [(20, 650)]


def test_the_number_of_pairs_is_bounded() -> None:
    ones = np.ones((600, 4), dtype=np.float32) / 2
    found = find_near_duplicates(
        np.zeros(600, dtype=np.uint64),
        ones,
        np.arange(600),
        np.arange(600),
        max_distance=0,
        min_similarity=0.9,
        max_pairs=50,
    )
    assert len(found) == 50


def test_twenty_thousand_images_take_seconds() -> None:
    rng = np.random.default_rng(2)
    count = 20_000
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    signatures = np.zeros((count, 8), dtype=np.float32)
    start = time.perf_counter()
    find_near_duplicates(
        hashes, signatures, np.arange(count), np.arange(count), max_distance=8, min_similarity=0.9
    )
    assert time.perf_counter() - start < 30
