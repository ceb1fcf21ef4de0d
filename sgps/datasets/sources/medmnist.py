"""MedMNIST v2: small, public medical images in one NumPy archive a dataset."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sgps.datasets.decoding import encode_png
from sgps.datasets.records import ROLES, ImageRecord
from sgps.datasets.sources._download import Downloader, Expected
from sgps.errors import InputError, IntegrityError, UnknownNameError, UserError

HOSTS = ("zenodo.org", "*.zenodo.org")
DEFAULT_ROLES: Mapping[str, str] = {
    "train": "meta_train",
    "val": "meta_val",
    "test": "novel_test",
}

_SIZES = (28, 64, 128, 224)
_MAX_BYTES = 20_000_000_000
_MAX_IMAGES = 1_000_000


class MedMnistSource:
    """One two-dimensional, single-label MedMNIST dataset.

    The archive names no patients, so each image is a group of its own: pictures of one patient
    cannot be kept apart, and what is measured on them flatters. The package's own splits (train,
    val, test) share their classes; give all three the role ``novel_test`` or ``novel_val`` to
    hold a whole dataset out.

    Parameters
    ----------
    flag: name of the dataset, such as ``bloodmnist``. root: folder with, or for, its npz file.
    size: side of the images in pixels, 28, 64, 128 or 224. roles: role of each split used.
    allow_download: whether a missing file is fetched from Zenodo. verify: compare the file's MD5
    with the published one.

    Raises
    ------
    UnknownNameError: no such dataset. InputError: a dataset, size, split or role that does not
    fit, or a missing file. IntegrityError: the file is damaged or not the published one.
    StoreError: the file cannot be fetched or written.
    """

    def __init__(
        self,
        flag: str,
        *,
        root: str | Path,
        size: int = 28,
        roles: Mapping[str, str] = DEFAULT_ROLES,
        name: str | None = None,
        allow_download: bool = False,
        verify: bool = True,
        downloader: Downloader | None = None,
    ) -> None:
        information = _information(flag)
        _check_arguments(flag, information, size, roles)
        suffix = "" if size == 28 else f"_{size}"
        self.name = name or f"{flag}{suffix}"
        self.licence = str(information["license"])
        self.path = Path(root) / f"{flag}{suffix}.npz"
        self._labels = {int(key): str(label) for key, label in information["label"].items()}
        self._roles = dict(roles)
        self._size = size
        address = (str(information[f"url{suffix}"]), str(information[f"MD5{suffix}"]))
        self._ensure_file(address, allow_download, verify, downloader)
        self._counts = {split: len(self._read_labels(split)) for split in self._roles}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def records(self) -> Iterator[ImageRecord]:
        """Yield the images split by split; pixels are read from the file as they are yielded."""
        for split, role in self._roles.items():
            labels = self._read_labels(split)
            for number, pixels in enumerate(self._read_images(split, len(labels))):
                name = f"{split}/{number:06d}.png"
                yield ImageRecord(
                    name=name,
                    label=self._label(int(labels[number])),
                    group=f"{split}-{number:06d}",
                    role=role,
                    read=partial(_encode, pixels),
                    extra=f"license={self.licence}",
                )

    def _ensure_file(
        self,
        address: tuple[str, str],
        allow_download: bool,
        verify: bool,
        downloader: Downloader | None,
    ) -> None:
        url, md5 = address
        if not self.path.is_file():
            if not allow_download:
                raise InputError(
                    f"{self.path}: missing, and downloads are off",
                    expected=f"the file from {url}",
                    remedy=f"download it and put it there as {self.path.name}, or allow downloads",
                )
            fetch = downloader or Downloader(HOSTS)
            fetch.download(url, self.path, Expected(md5=md5), max_bytes=_MAX_BYTES)
        elif verify and _md5(self.path) != md5:
            raise IntegrityError(
                f"{self.path}: its MD5 is not {md5}",
                expected=f"the file from {url}",
                remedy="remove it and download it again",
            )

    def _label(self, number: int) -> str:
        if number not in self._labels:
            raise IntegrityError(
                f"{self.path}: label {number}", expected=f"0 to {len(self._labels) - 1}"
            )
        return self._labels[number]

    def _read_labels(self, split: str) -> npt.NDArray[np.int64]:
        with _open_array(self.path, f"{split}_labels") as (member, shape, dtype):
            one_each = len(shape) == 2 and shape[1] == 1 and shape[0] <= _MAX_IMAGES
            if not one_each or not np.issubdtype(dtype, np.integer):
                raise ValueError(f"{split}_labels of shape {shape} and type {dtype}")
            data = member.read(shape[0] * dtype.itemsize)
            return np.frombuffer(data, dtype=dtype, count=shape[0]).astype(np.int64)

    def _read_images(self, split: str, count: int) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield (size, size) or (size, size, 3), one by one: the largest archives are 13 GB."""
        with _open_array(self.path, f"{split}_images") as (member, shape, dtype):
            square = (self._size, self._size)
            fits = shape[:1] == (count,) and shape[1:] in (square, (*square, 3))
            if not fits or dtype != np.uint8:
                raise ValueError(f"{split}_images of shape {shape} and type {dtype}")
            step = int(np.prod(shape[1:]))
            for _ in range(count):
                yield np.frombuffer(member.read(step), dtype=np.uint8).reshape(shape[1:])


@contextmanager
def _open_array(
    path: Path, name: str
) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[Any]]]:
    """Yield one array of an npz file as a stream of its bytes, with its shape and type."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            shape, dtype = _read_header(member)
            yield member, shape, dtype
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise IntegrityError(
            f"{path}: cannot be read ({error})",
            expected="an archive of MedMNIST: images of 8 bits and one label each",
            remedy="remove it and download it again",
        ) from error


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array that ``member`` holds; only C order, never objects."""
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"array format {version}")
    shape, fortran_order, dtype = read[version](member)
    if fortran_order or dtype.hasobject:
        raise ValueError(f"an array of type {dtype}")
    return shape, dtype


def _encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    coloured = np.stack([pixels] * 3, axis=-1) if pixels.ndim == 2 else pixels
    return encode_png(np.ascontiguousarray(coloured))


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _check_arguments(
    flag: str, information: Mapping[str, Any], size: int, roles: Mapping[str, str]
) -> None:
    if flag.endswith("3d"):
        raise InputError(f"MedMNIST {flag}: volumes", expected="a two-dimensional dataset")
    if "multi-label" in information["task"]:
        raise InputError(
            f"MedMNIST {flag}: several labels an image", expected="a dataset of one label an image"
        )
    if size not in _SIZES:
        raise InputError(f"MedMNIST size {size}", expected=" or ".join(map(str, _SIZES)))
    splits = ("train", "val", "test")
    for split, role in roles.items():
        if split not in splits or role not in ROLES:
            raise InputError(
                f"MedMNIST roles {split}: {role}",
                expected=f"{' or '.join(splits)}, and {' or '.join(ROLES)}",
            )
    if not roles:
        raise InputError("MedMNIST roles: empty", expected="a role for at least one split")


def _information(flag: str) -> Mapping[str, Any]:
    catalogue = _catalogue()
    if flag not in catalogue:
        raise UnknownNameError(
            f"MedMNIST dataset {flag!r}", expected=f"one of {', '.join(sorted(catalogue))}"
        )
    return catalogue[flag]


@lru_cache(maxsize=1)
def _catalogue() -> dict[str, dict[str, Any]]:
    """What the medmnist package knows of its datasets: addresses, MD5, labels, licences.

    The literal is read, the package is not imported: importing brings in torch and torchvision
    and makes a folder in the home directory.
    """
    package = importlib.util.find_spec("medmnist")
    if package is None or not package.submodule_search_locations:
        raise UserError("MedMNIST: the package is missing", remedy="pip install medmnist")
    source = Path(package.submodule_search_locations[0], "info.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "INFO":
            catalogue: dict[str, dict[str, Any]] = ast.literal_eval(node.value)
            return catalogue
    raise UserError("MedMNIST: the package has another form", expected="medmnist 3.0")
