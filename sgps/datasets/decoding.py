"""Image bytes in, pixels and nothing else out."""

from __future__ import annotations

import hashlib
import io
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from sgps.datasets._metadata import metadata_kinds
from sgps.errors import ImageError

Pixels = npt.NDArray[np.uint8]

_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_GREY_DEPTHS = (8, 10, 12, 14, 16)
_PNG_COMPRESSION = 2
_warning_filters = threading.Lock()


@dataclass(frozen=True)
class ImageLimits:
    """What an image file may be.

    max_bytes: largest file, in bytes. max_pixels: largest width times height, checked from the
    header before anything is decoded. min_side: smallest width and height, in pixels.
    formats: Pillow's names of the formats accepted.
    """

    max_bytes: int = 50_000_000
    max_pixels: int = 50_000_000
    min_side: int = 16
    formats: tuple[str, ...] = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")


@dataclass(frozen=True)
class DecodedImage:
    """The pixels of one image file, upright, and what was left behind.

    pixels: uint8 of shape (H, W, 3), RGB. removed: kinds of metadata the file carried ("exif",
    "icc", "xmp", "text", "iptc", "pictures"). file_sha256: of the bytes given. pixel_sha256: see
    :func:`hash_pixels`.
    """

    pixels: Pixels
    name: str
    format: str
    removed: tuple[str, ...]
    file_sha256: str
    pixel_sha256: str


DEFAULT_LIMITS = ImageLimits()


def decode_image(data: bytes, *, name: str, limits: ImageLimits = DEFAULT_LIMITS) -> DecodedImage:
    """Decode one image file held in memory; the bytes may be hostile.

    EXIF orientation is applied and every kind of metadata is dropped. Transparency is composited
    over black. Grey values of more than 8 bits are scaled by the smallest of 8, 10, 12, 14 or 16
    bits that holds the brightest of them, so that black stays black.

    Raises
    ------
    ImageError: empty, too many bytes or pixels, too small, a format not allowed, truncated,
        damaged, or of several frames. The message begins with ``name``.
    """
    _check_byte_count(len(data), name, limits)
    with _pillow_errors_for(name, limits):
        image = Image.open(io.BytesIO(data), formats=limits.formats)
        _check_header(image, name, limits)
        image.load()
        removed = metadata_kinds(image)
        pixels = np.array(_to_rgb(ImageOps.exif_transpose(image), name), dtype=np.uint8)
    return DecodedImage(
        pixels=pixels,
        name=name,
        format="JPEG" if image.format == "MPO" else str(image.format),
        removed=removed,
        file_sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=hash_pixels(pixels),
    )


def read_image(path: Path | str, *, limits: ImageLimits = DEFAULT_LIMITS) -> DecodedImage:
    """Decode the image file at ``path``, which also gives the name. Raises ImageError."""
    return decode_image(read_image_bytes(path, limits=limits), name=str(path), limits=limits)


def read_image_bytes(path: Path | str, *, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """Read a regular file of at most ``limits.max_bytes`` bytes.

    Raises
    ------
    ImageError: missing, not a regular file, unreadable, empty or too large.
    """
    name = str(path)
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(
                f"{name}: not a file", expected="an image file", remedy="correct the path"
            )
        _check_byte_count(status.st_size, name, limits)
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ImageError(
            f"{name}: cannot be read ({reason})",
            expected="a readable image file",
            remedy="correct the path or the permissions",
        ) from error


def encode_png(pixels: Pixels) -> bytes:
    """PNG bytes of ``pixels`` (H, W, 3), uint8, without metadata; the same pixels, the same bytes.

    Raises
    ------
    ImageError: ``pixels`` is not uint8 of shape (H, W, 3).
    """
    check_pixels(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=_PNG_COMPRESSION)
    return buffer.getvalue()


def hash_pixels(pixels: Pixels) -> str:
    """SHA-256 in hex over ``b"{H}x{W}x3:"`` and the raw RGB bytes, row by row."""
    check_pixels(pixels)
    height, width, channels = pixels.shape
    digest = hashlib.sha256(f"{height}x{width}x{channels}:".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def perceptual_hash(pixels: Pixels) -> str:
    """64-bit pHash of ``pixels`` (H, W, 3) as 16 hex digits; near-duplicates differ in few bits."""
    check_pixels(pixels)
    import imagehash  # noqa: PLC0415  (brings scipy; only ingesting needs it)

    return str(imagehash.phash(Image.fromarray(pixels)))


def check_pixels(pixels: Pixels) -> None:
    """Raise ImageError unless ``pixels`` is uint8 of shape (H, W, 3) with H and W of at least 1."""
    shape = getattr(pixels, "shape", None)
    dtype = getattr(pixels, "dtype", type(pixels).__name__)
    if dtype != np.uint8 or shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise ImageError(
            f"pixels of type {dtype} and shape {shape}", expected="uint8 of shape (H, W, 3)"
        )


def _check_byte_count(count: int, name: str, limits: ImageLimits) -> None:
    if count == 0:
        raise ImageError(
            f"{name}: the file is empty",
            expected="an image file",
            remedy="replace or remove it",
        )
    if count > limits.max_bytes:
        raise ImageError(
            f"{name}: {count:,} bytes",
            expected=f"at most {limits.max_bytes:,} bytes",
            remedy="shrink the image or raise the limit",
        )


def _check_header(image: Image.Image, name: str, limits: ImageLimits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} pixels",
            expected=f"at most {limits.max_pixels:,} pixels",
            remedy="shrink the image or raise the limit",
        )
    if min(width, height) < limits.min_side:
        raise ImageError(
            f"{name}: {width} x {height} pixels",
            expected=f"at least {limits.min_side} pixels a side",
            remedy="give the image in a higher resolution",
        )
    # An MPO is a JPEG photograph with further pictures (depth, preview) behind it: the first is
    # the photograph. In the other formats frames are pages or an animation, and none is the image.
    frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    if frames > 1:
        raise ImageError(
            f"{name}: {frames} frames or pages",
            expected="an image of one frame",
            remedy="save the frame that matters as an image of its own",
        )


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        return _scale_deep_grey(image, name)
    if image.mode == "F":
        raise ImageError(
            f"{name}: floating-point pixels",
            expected="8- or 16-bit grey or colour",
            remedy="convert the image to 16-bit grey",
        )
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        black = Image.new("RGBA", coloured.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, coloured).convert("RGB")
    return image.convert("RGB")


def _scale_deep_grey(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"{name}: grey values from {low} to {high}",
            expected="values from 0 to 65535",
            remedy="convert the image to 16-bit grey",
        )
    depth = next(bits for bits in _GREY_DEPTHS if high < 2**bits)
    grey = np.rint(values * (255.0 / (2**depth - 1))).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


@contextmanager
def _pillow_errors_for(name: str, limits: ImageLimits) -> Iterator[None]:
    """Turn whatever Pillow raises or warns of into an ImageError.

    The lock keeps two threads from restoring each other's warning filters.
    """
    try:
        with _warning_filters, warnings.catch_warnings():
            warnings.filterwarnings("error", module=r"PIL\b")
            yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: not an image of a known format",
            expected=" or ".join(limits.formats),
            remedy="convert the file or remove it",
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name}: too many pixels",
            expected=f"at most {limits.max_pixels:,} pixels",
            remedy="shrink the image",
        ) from error
    except Exception as error:  # decoders of hostile bytes raise nearly anything
        raise ImageError(
            f"{name}: cannot be decoded ({type(error).__name__}: {str(error)[:200]})",
            expected="a complete, undamaged image",
            remedy="export the image again or remove it",
        ) from error
