"""Image features kept on disk, by what the image shows and by what encoded it."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sgps.encoders.images import ImageEncoder
from sgps.files import whole_file

_DIGEST_BYTES = 32


class CachedImageEncoder:
    """An image encoder that computes each image's features once.

    An entry is one ``.npy`` array followed by its sha256, under the pixels' sha256 and the
    encoder's name and version. An entry that does not match its digest is computed again.
    """

    def __init__(self, encoder: ImageEncoder, folder: Path) -> None:
        self.name = encoder.name
        self.version = encoder.version
        self.width = encoder.width
        self._encoder = encoder
        self._folder = folder / _encoder_key(encoder)

    def encode(self, images: Tensor) -> Tensor:
        """Return float32 (n, width) on the CPU for uint8 images (n, 3, H, W).

        Raises
        ------
        StoreError: the cache's folder cannot be written.
        """
        keys = [pixel_sha256(image) for image in images]
        known = {key: features for key in set(keys) if (features := self._read(key)) is not None}
        first_rows = {key: row for row, key in reversed(list(enumerate(keys))) if key not in known}
        if first_rows:
            computed = self._encoder.encode(images[sorted(first_rows.values())])
            for row, features in zip(sorted(first_rows.values()), computed, strict=True):
                known[keys[row]] = features
                self._write(keys[row], features)
        return torch.stack([known[key] for key in keys]) if keys else torch.zeros(0, self.width)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.npy"

    def _read(self, key: str) -> Tensor | None:
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            return None
        features = np.load(io.BytesIO(body), allow_pickle=False)
        return torch.from_numpy(features) if features.shape == (self.width,) else None

    def _write(self, key: str, features: Tensor) -> None:
        buffer = io.BytesIO()
        np.save(buffer, features.numpy(), allow_pickle=False)
        body = buffer.getvalue()
        with whole_file(self._path(key), durable=False) as file:
            file.write(body + hashlib.sha256(body).digest())


def pixel_sha256(image: Tensor) -> str:
    """Return the sha256 of a uint8 image (3, H, W) over ``{H}x{W}x3:`` and its RGB bytes."""
    _, height, width = image.shape
    digest = hashlib.sha256(f"{height}x{width}x3:".encode())
    digest.update(image.permute(1, 2, 0).contiguous().cpu().numpy().data)
    return digest.hexdigest()


def _encoder_key(encoder: ImageEncoder) -> str:
    readable = "".join(character if character.isalnum() else "-" for character in encoder.name)
    digest = hashlib.sha256(f"{encoder.name}:{encoder.version}".encode()).hexdigest()
    return f"{readable}-{digest[:16]}"
