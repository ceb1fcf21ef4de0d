from __future__ import annotations

import functools
import io
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from sgps.datasets.decoding import DecodedImage, Pixels, decode_image, hash_pixels
from sgps.datasets.hygiene import (
    HygieneRules,
    compare_images,
    inspect_image,
    near_known,
    perceptual_hash,
)
from sgps.datasets.phantoms import PHANTOM_CLASSES, draw_phantom
from sgps.errors import ImageError, InputError

SIDE = 256


@functools.cache
def phantom(kind: str = "melanoma", side: int = SIDE, seed: int = 0) -> Pixels:
    return draw_phantom(kind, side, np.random.default_rng(seed))


def decoded(pixels: Pixels, removed: tuple[str, ...] = ()) -> DecodedImage:
    digest = hash_pixels(pixels)
    return DecodedImage(pixels, "given.png", "PNG", removed, digest, digest)


def codes(pixels: Pixels, **rules: float) -> list[str]:
    found = inspect_image(decoded(pixels), rules=HygieneRules(**rules))  # type: ignore[arg-type]
    return [finding.code for finding in found]


def blurred(pixels: Pixels, share: float) -> Pixels:
    radius = share * max(pixels.shape)
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def written_on(
    pixels: Pixels, text: str, *, size: int, colour: str, corner: str = "top left"
) -> Pixels:
    image = Image.fromarray(pixels)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    _, _, width, height = draw.textbbox((0, 0), text, font=font)
    x = 4 if "left" in corner else image.width - width - 4
    y = 4 if "top" in corner else image.height - height - 4
    draw.text((x, y), text, fill=colour, font=font)
    return np.asarray(image)


@pytest.mark.parametrize("kind", PHANTOM_CLASSES)
@pytest.mark.parametrize(("side", "seed"), [(128, 0), (128, 1), (256, 0), (256, 1)])
def test_of_a_sharp_phantom_nothing_is_said(kind: str, side: int, seed: int) -> None:
    assert codes(phantom(kind, side, seed)) == []


def test_of_the_smoothest_large_phantom_nothing_is_said() -> None:
    assert codes(phantom("blue_nevus", 512)) == []


@pytest.mark.parametrize("kind", PHANTOM_CLASSES)
@pytest.mark.parametrize("side", [128, 256])
def test_a_blurred_phantom_is_named(kind: str, side: int) -> None:
    assert codes(blurred(phantom(kind, side), 1 / 50)) == ["blurred"]


def test_an_enlarged_thumbnail_is_blurred() -> None:
    small = Image.fromarray(phantom()).resize((24, 24))
    assert codes(np.asarray(small.resize((600, 600), Image.Resampling.BICUBIC))) == ["blurred"]


@pytest.mark.parametrize("kind", ["melanoma", "angioma", "blue_nevus", "keratoacanthoma"])
@pytest.mark.parametrize("colour", ["white", "black", "yellow"])
@pytest.mark.parametrize(("side", "size"), [(SIDE, 10), (SIDE, 20), (512, 14), (512, 40)])
def test_text_on_a_phantom_is_found(kind: str, colour: str, side: int, size: int) -> None:
    marked = written_on(phantom(kind, side), "ID 4711 ANNA", size=size, colour=colour)
    assert codes(marked) == ["text_burnt_in"]


@pytest.mark.parametrize("corner", ["top left", "top right", "bottom left", "bottom right"])
def test_where_the_text_is_is_said(corner: str) -> None:
    marked = written_on(phantom(), "ANNA M", size=16, colour="white", corner=corner)
    (finding,) = inspect_image(decoded(marked))
    assert f"burnt in at the {corner};" in finding.message


@pytest.mark.parametrize("colour", ["white", "yellow", "lime", "cyan"])
def test_text_on_black_is_found(colour: str) -> None:
    black = np.zeros((300, 400, 3), dtype=np.uint8)
    black[150:, 100:300] = phantom(side=200)[:150]
    marked = written_on(black, "12.03.1961 SMITH", size=14, colour=colour)
    assert codes(marked) == ["text_burnt_in"]


def test_three_letters_and_a_ruler_are_no_text() -> None:
    image = Image.fromarray(written_on(phantom(), "L R", size=16, colour="white"))
    draw = ImageDraw.Draw(image)
    draw.line((20, 240, 230, 240), fill="black", width=2)
    for place in range(20, 231, 30):
        draw.line((place, 232, place, 240), fill="black", width=1)
    assert "text_burnt_in" not in codes(np.asarray(image))


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (phantom() // 8, "too_dark"),
        (255 - (255 - phantom()) // 10, "too_bright"),
        (np.full((200, 200, 3), 127, np.uint8), "low_contrast"),
    ],
)
def test_exposure(pixels: Pixels, expected: str) -> None:
    assert expected in codes(pixels)
    assert "blurred" not in codes(pixels)


def test_small_images_are_named_with_both_sizes() -> None:
    (finding,) = inspect_image(decoded(phantom(side=100)))
    assert finding.code == "too_small"
    assert "100 x 100" in finding.message
    assert "128 x 128" in finding.message
    assert codes(phantom(side=100), target_resolution=100) == []


def test_removed_metadata_is_a_note_and_comes_last() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    buffer = io.BytesIO()
    Image.fromarray(phantom(side=100)).save(buffer, "JPEG", exif=exif, quality=95)
    image = decode_image(buffer.getvalue(), name="photo.jpg")
    small, metadata = inspect_image(image)
    assert (small.code, small.severity) == ("too_small", "warning")
    assert (metadata.code, metadata.severity) == ("metadata_removed", "note")
    assert "EXIF" in metadata.message


def test_findings_are_plain_sentences_and_plain_values() -> None:
    dark = decoded(phantom(side=64) // 8, removed=("exif", "new kind"))
    for finding in inspect_image(dark):
        assert finding.message[0].isupper()
        assert finding.message.endswith(".")
        assert json.loads(json.dumps(finding.to_dict())) == {
            "code": finding.code,
            "severity": finding.severity,
            "message": finding.message,
        }


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    longer=st.sampled_from([1, 1, 50]),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([1, 2, 256]),
)
def test_any_image_has_findings(
    height: int, width: int, longer: int, seed: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (height * longer, width, 3) if seed % 2 else (height, width * longer, 3)
    values = rng.integers(0, levels, shape) * (255 // max(levels - 1, 1))
    found = inspect_image(decoded(values.astype(np.uint8)))
    assert "too_small" in [finding.code for finding in found]


@pytest.mark.parametrize("shape", [(1, 1), (1, 200_000), (200_000, 1), (9, 60_000), (3000, 8)])
def test_hostile_shapes_take_no_time(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    started = time.perf_counter()
    assert "too_small" in codes(pixels)
    near_known(pixels, {"known": "0" * 16})
    assert time.perf_counter() - started < 2


def test_noise_and_stripes_take_no_time() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (640, 640, 3), dtype=np.uint8)
    dashes = np.full((640, 640, 3), 255, dtype=np.uint8)
    for row in range(0, 640, 10):
        dashes[row : row + 6, ::5] = 0
    for pixels in (noise, dashes):
        started = time.perf_counter()
        assert "blurred" not in codes(pixels)
        assert time.perf_counter() - started < 1


def test_noise_is_no_text() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    assert "text_burnt_in" not in codes(noise)


def test_pixels_of_another_kind_are_refused() -> None:
    wrong = DecodedImage(np.zeros((4, 4), np.uint8), "grey", "PNG", (), "", "")
    with pytest.raises(ImageError):
        inspect_image(wrong)


def jpeg_copy(pixels: Pixels, side: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((side, side)).save(buffer, "JPEG", quality=85)
    return decode_image(buffer.getvalue(), name="copy").pixels


def test_copies_are_paired_and_called_exact_or_near() -> None:
    first, other = phantom(), phantom("angioma", seed=3)
    images = [first, other, first.copy(), jpeg_copy(other, 200)]
    found = compare_images(images)
    assert [(pair.first, pair.second, pair.code) for pair in found] == [
        (0, 2, "exact_duplicate"),
        (1, 3, "near_duplicate"),
    ]
    assert "Images 1 and 3 are the same picture" in found[0].message
    assert "Images 2 and 4 are nearly the same picture" in found[1].message
    assert json.dumps(found[0].to_dict())


def test_blank_copies_are_exact_duplicates() -> None:
    blank = np.zeros((64, 64, 3), dtype=np.uint8)
    assert [pair.code for pair in compare_images([blank, blank.copy()])] == ["exact_duplicate"]


@pytest.mark.parametrize("images", [[], [phantom()]])
def test_there_is_nothing_to_compare(images: list[Pixels]) -> None:
    assert compare_images(images) == []


def test_different_phantoms_are_not_paired() -> None:
    assert compare_images([phantom(kind, 128) for kind in PHANTOM_CLASSES]) == []


def test_a_copy_of_a_known_image_is_found_the_nearest_first() -> None:
    image = phantom()
    own = int(perceptual_hash(image), 16)
    known = {
        "far": f"{own ^ 0x1FF:016x}",
        "eight bits": f"{own ^ 0xFF:016x}",
        "one bit": f"{own ^ 0x100:016x}",
        "other": perceptual_hash(phantom("angioma", seed=3)),
    }
    assert near_known(image, known) == ["one bit", "eight bits"]
    assert near_known(jpeg_copy(image, 200), {"known": perceptual_hash(image)}) == ["known"]
    assert near_known(image, {}) == []


def test_a_blank_image_resembles_nothing() -> None:
    blank = np.zeros((64, 64, 3), dtype=np.uint8)
    assert near_known(blank, {"blank": perceptual_hash(blank)}) == []


@pytest.mark.parametrize("known", ["", "zz", "0" * 15, "0" * 17, "0x00000000000000", " " * 16])
def test_a_hash_that_is_none_is_refused(known: str) -> None:
    with pytest.raises(InputError, match="16 hex digits"):
        near_known(phantom(), {"broken": known})
