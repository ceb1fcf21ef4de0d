"""Images that are the same picture in other bytes: a hash proposes, a second look decides.

A perceptual hash alone collides on low-texture images (two plankton on white, two slices of two
brains), so every pair it proposes is confirmed by the correlation of fine detail: a grey thumbnail
minus its own coarse version. Brightness, contrast, compression, size and colour drop out of that
measure; another specimen, slice or pose does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

THUMBNAIL_SIDE = 64

_FINE, _COARSE = 32, 8
_BLOCK_ROWS = 512
_GATHERED_PAIRS = 8192
_DENSE_SHARE = 0.02
_SMALLEST_NORM = 1e-3

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImagePair:
    """Two row numbers, ``first < second``, whose images are near-duplicates.

    distance: differing bits of the two hashes, 0 to 64. similarity: correlation of the two
    signatures, -1 to 1.
    """

    first: int
    second: int
    distance: int
    similarity: float


def detail_signature(thumbnail: npt.NDArray[np.uint8]) -> Floats:
    """Unit vector of shape (1024,) of the fine detail of one grey thumbnail (64, 64), uint8.

    An image without any detail has the zero vector, which is similar to nothing.
    """
    fine = _shrink(thumbnail.astype(np.float32), _FINE)
    repeats = _FINE // _COARSE
    coarse = _shrink(fine, _COARSE).repeat(repeats, axis=0).repeat(repeats, axis=1)
    detail = (fine - coarse).ravel()
    length = float(np.linalg.norm(detail))
    if length < _SMALLEST_NORM:
        return np.zeros_like(detail)
    unit: Floats = detail / np.float32(length)
    return unit


def hashes_as_integers(hashes: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Hexadecimal 64-bit hashes as an array of shape (n,)."""
    return np.array([int(value, 16) for value in hashes], dtype=np.uint64)


def find_near_duplicates(
    hashes: npt.NDArray[np.uint64],
    signatures: Floats,
    groups: Integers,
    contents: Integers,
    *,
    max_distance: int,
    min_similarity: float,
    max_pairs: int = 100_000,
) -> list[ImagePair]:
    """Pairs of near-duplicates in different groups, by row numbers, at most ``max_pairs``.

    hashes: (n,). signatures: (n, D), unit rows of :func:`detail_signature`. groups, contents:
    (n,), codes; pairs within one group, and pairs of the same content (exact duplicates), are not
    looked at. 20,000 images take a few seconds.
    """
    pairs: list[ImagePair] = []
    for start in range(0, len(hashes), _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, len(hashes))
        distances = np.bitwise_count(hashes[start:stop, None] ^ hashes[None, start:])
        candidates = distances <= max_distance
        candidates[:, : stop - start] &= _above_diagonal(stop - start)
        rows, columns = np.nonzero(candidates)
        apart = (groups[rows + start] != groups[columns + start]) & (
            contents[rows + start] != contents[columns + start]
        )
        rows, columns = rows[apart], columns[apart]
        similarities = _similarities(rows, columns, signatures[start:], stop - start)
        for hit in np.flatnonzero(similarities >= min_similarity):
            row, column = int(rows[hit]), int(columns[hit])
            distance = int(distances[row, column])
            similarity = float(similarities[hit])
            pairs.append(ImagePair(row + start, column + start, distance, similarity))
            if len(pairs) == max_pairs:
                return pairs
    return pairs


def _similarities(rows: Integers, columns: Integers, signatures: Floats, height: int) -> Floats:
    """Correlations (m,) of the rows' and the columns' signatures; the rows lie below ``height``.

    Few pairs are gathered one by one; where the hash tells nothing apart (all images alike), one
    matrix product is faster.
    """
    if len(rows) > _DENSE_SHARE * height * len(signatures):
        dense: Floats = (signatures[:height] @ signatures.T)[rows, columns]
        return dense
    gathered = [
        np.einsum("nd,nd->n", signatures[rows[part]], signatures[columns[part]])
        for part in _slices(len(rows))
    ]
    return np.concatenate(gathered) if gathered else np.zeros(0, dtype=np.float32)


def _slices(count: int) -> list[slice]:
    return [slice(begin, begin + _GATHERED_PAIRS) for begin in range(0, count, _GATHERED_PAIRS)]


def _above_diagonal(side: int) -> npt.NDArray[np.bool_]:
    return np.triu(np.ones((side, side), dtype=np.bool_), k=1)


def _shrink(image: Floats, side: int) -> Floats:
    step = image.shape[0] // side
    means: Floats = image.reshape(side, step, side, step).mean(axis=(1, 3))
    return means
