from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from sgps.datasets.decoding import (
    ImageLimits,
    decode_image,
    encode_png,
    hash_pixels,
    perceptual_hash,
    read_image,
)
from sgps.errors import ImageError


def picture(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {})],
)
def test_each_allowed_format_is_decoded(kind: str, options: dict[str, object]) -> None:
    pixels = picture()
    data = encoded(Image.fromarray(pixels), kind, **options)
    decoded = decode_image(data, name="a")
    assert decoded.format == kind
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape == (24, 32, 3)
    assert decoded.file_sha256 == hashlib.sha256(data).hexdigest()
    difference = np.abs(decoded.pixels.astype(int) - pixels)
    assert difference.mean() < 8 if kind == "JPEG" else difference.max() == 0
    assert decoded.removed == ()


def test_pixel_hash_is_that_of_shape_and_raw_bytes() -> None:
    pixels = picture()
    expected = hashlib.sha256(b"24x32x3:" + pixels.tobytes()).hexdigest()
    assert hash_pixels(pixels) == expected
    assert hash_pixels(np.asfortranarray(pixels)) == expected
    assert decode_image(encode_png(pixels), name="a").pixel_sha256 == expected


@given(
    st.integers(16, 40), st.integers(16, 40), st.integers(0, 2**32 - 1), st.sampled_from([0, 255])
)
def test_png_gives_the_same_pixels_back(height: int, width: int, seed: int, mask: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8) | mask
    assert np.array_equal(decode_image(encode_png(noise), name="a").pixels, noise)


def test_png_bytes_depend_on_the_pixels_alone() -> None:
    assert encode_png(picture()) == encode_png(picture())
    assert encode_png(picture()) != encode_png(picture(seed=1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_dropped(orientation: int) -> None:
    upright = picture()
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    image = Image.fromarray(upright)
    stored = image.transpose(undo[orientation]) if orientation > 1 else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "patient name"
    decoded = decode_image(encoded(stored, "PNG", exif=exif), name="a")
    assert np.array_equal(decoded.pixels, upright)
    assert "exif" in decoded.removed
    assert b"patient name" not in encode_png(decoded.pixels)


def test_kinds_of_metadata_are_named() -> None:
    exif = Image.Exif()
    exif[0x010F] = "camera"
    image = Image.fromarray(picture())
    jpeg = encoded(image, "JPEG", exif=exif, icc_profile=b"profile", comment=b"note", xmp=b"<x/>")
    assert decode_image(jpeg, name="a").removed == ("exif", "icc", "text", "xmp")
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "somebody")
    assert decode_image(encoded(image, "PNG", pnginfo=text), name="a").removed == ("text",)
    tiff = encoded(image, "TIFF", tiffinfo={270: "a description"})
    assert decode_image(tiff, name="a").removed == ("text",)


def test_transparency_lies_over_black() -> None:
    rgba = np.full((20, 20, 4), 200, dtype=np.uint8)
    rgba[..., 3] = 128
    decoded = decode_image(encoded(Image.fromarray(rgba), "PNG"), name="a")
    assert np.abs(decoded.pixels.astype(int) - 100).max() <= 1


def test_palette_with_transparency_lies_over_black() -> None:
    indices = np.zeros((20, 20), dtype=np.uint8)
    indices[:, 10:] = 1
    image = Image.fromarray(indices).convert("P")
    image.putpalette([250, 0, 0, 0, 250, 0])
    decoded = decode_image(encoded(image, "PNG", transparency=bytes([0, 255])), name="a")
    assert decoded.pixels[0, 0].tolist() == [0, 0, 0]
    assert decoded.pixels[0, 15].tolist() == [0, 250, 0]


@pytest.mark.parametrize(("brightest", "depth"), [(255, 8), (1000, 10), (4095, 12), (65535, 16)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_grey_is_scaled_by_the_bits_in_use(kind: str, brightest: int, depth: int) -> None:
    grey = np.linspace(0, brightest, 400).round().astype(np.uint16).reshape(20, 20)
    decoded = decode_image(encoded(Image.fromarray(grey), kind), name="a")
    expected = np.rint(grey * (255 / (2**depth - 1)))
    assert np.array_equal(decoded.pixels, np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(mode: str) -> None:
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    data = encoded(Image.fromarray(picture()).convert(mode), kind)
    assert decode_image(data, name="a").pixels.shape == (24, 32, 3)


def test_floating_point_pixels_are_refused() -> None:
    data = encoded(Image.fromarray(np.zeros((20, 20), dtype=np.float32)), "TIFF")
    with pytest.raises(ImageError, match=r"^scan\.tif: floating-point pixels; expected 8- or 16"):
        decode_image(data, name="scan.tif")


def test_empty_and_large_files_are_refused() -> None:
    with pytest.raises(ImageError, match="a: the file is empty"):
        decode_image(b"", name="a")
    data = encode_png(picture())
    with pytest.raises(ImageError, match=f"a: {len(data):,} bytes; expected at most 100 bytes"):
        decode_image(data, name="a", limits=ImageLimits(max_bytes=100))


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_from_its_header(side: int) -> None:
    with pytest.raises(ImageError, match=r"^bomb\.png: .*pixels; expected at most 50,000,000"):
        decode_image(png_header(side, side), name="bomb.png")


def test_tiny_images_are_refused() -> None:
    data = encoded(Image.fromarray(picture(15, 40)), "PNG")
    with pytest.raises(ImageError, match="a: 40 x 15 pixels; expected at least 16 pixels a side"):
        decode_image(data, name="a")


@pytest.mark.parametrize("kind", ["GIF", "PPM", "ICO", "TGA"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(ImageError, match="a: not an image of a known format; expected JPEG or PNG"):
        decode_image(encoded(Image.fromarray(picture()), kind), name="a")


def test_the_list_of_formats_can_be_narrowed() -> None:
    data = encoded(Image.fromarray(picture()), "BMP")
    with pytest.raises(ImageError, match="expected PNG"):
        decode_image(data, name="a", limits=ImageLimits(formats=("PNG",)))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_several_frames_are_refused(kind: str) -> None:
    frames = [Image.fromarray(picture(seed=seed)) for seed in range(3)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="a: 3 frames or pages; expected an image of one frame"):
        decode_image(data, name="a")


def test_the_photograph_of_a_multi_picture_jpeg_is_taken() -> None:
    frames = [Image.fromarray(picture(seed=seed)) for seed in range(2)]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    decoded = decode_image(data, name="a")
    assert decoded.format == "JPEG"
    assert "pictures" in decoded.removed
    assert np.abs(decoded.pixels.astype(int) - picture(seed=0)).mean() < 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_images_are_refused(kind: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match=r"^half\.img: "):
        decode_image(data[: int(len(data) * kept)], name="half.img")


@given(st.sampled_from(["JPEG", "PNG", "BMP", "TIFF", "WEBP"]), st.data())
def test_damaged_bytes_give_pixels_or_an_image_error(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(encoded(Image.fromarray(picture()), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_image(bytes(damaged), name="a", limits=ImageLimits(max_pixels=10_000))
    except ImageError as error:
        message = str(error)
    else:
        assert decoded.pixels.dtype == np.uint8
        return
    assert message.startswith("a: ")


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(data, name="a")


def test_many_threads_decode_at_once() -> None:
    data, bad = encode_png(picture()), encode_png(picture())[:-30]
    outcomes: list[bool] = []

    def work() -> None:
        for _ in range(20):
            decode_image(data, name="a")
            with pytest.raises(ImageError):
                decode_image(bad, name="a")
        outcomes.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 4


def test_read_image_takes_its_name_from_the_path(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(picture()))
    assert read_image(path).name == str(path)


def test_read_image_names_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.png: cannot be read \(No such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="not a file"):
        read_image(tmp_path)
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(ImageError, match="not a file"):
        read_image(pipe)
    with pytest.raises(ImageError, match="null byte"):
        read_image(tmp_path / "a\0b.png")


def test_read_image_looks_at_the_size_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(60_000_000)
    with pytest.raises(ImageError, match="60,000,000 bytes; expected at most 50,000,000 bytes"):
        read_image(path)


def test_perceptual_hash_survives_resizing_but_not_another_image() -> None:
    def bits(pixels: np.ndarray) -> int:
        code = perceptual_hash(pixels)
        assert len(code) == 16
        return int(code, 16)

    large = np.array(Image.fromarray(picture(48, 48)).resize((96, 96), Image.Resampling.BICUBIC))
    assert (bits(picture(48, 48)) ^ bits(large)).bit_count() <= 4
    assert (bits(picture(48, 48)) ^ bits(picture(48, 48, seed=1))).bit_count() > 10


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_of_another_kind_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"expected uint8 of shape \(H, W, 3\)"):
        encode_png(pixels)
