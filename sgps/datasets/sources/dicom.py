"""DICOM files: pixels as a viewer shows them, a hashed patient, and nothing else."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sgps.datasets._grouping import roles_by_group
from sgps.datasets.decoding import (
    DEFAULT_LIMITS,
    ImageLimits,
    encode_png,
    read_image_bytes,
)
from sgps.datasets.manifest import read_manifest, resolve_image_path
from sgps.datasets.records import ImageRecord
from sgps.datasets.sources._dicom_pixels import check_displayable, display_pixels
from sgps.errors import ImageError, InputError, UserError

_HEADER_TAGS = ["PatientID", "PatientName", "PatientSex", "PatientAge", "StudyInstanceUID"]
_AGE = re.compile(r"(\d{3})([DWMY])")
_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
_SHORTEST_NAME = 3


@dataclass(frozen=True)
class _Row:
    """One file before it is read: strings are "" and age None where the manifest is silent."""

    file: str
    label: str
    role: str = ""
    group: str = ""
    sex: str = ""
    age: float | None = None
    site: str = ""
    text: str = ""
    extra: str = ""


class DicomSource:
    """DICOM images, either in class folders or listed in a manifest.

    Pixels go through the modality and the window of the file and become 8-bit; MONOCHROME1 is
    inverted. Of the header only sex and age are kept, and the patient as a salted hash. A file
    whose path holds the patient's number or name gets a name made from a hash.

    Parameters
    ----------
    location: a folder with a sub-folder of ``*.dcm`` for each class, or a manifest
    (``.csv``, ``.parquet``) whose files are DICOM; its group and role are taken as they are.
    name: of the dataset. roles, role, seed: as for class folders. salt: mixed into the hash of a
    patient; keep it secret where numbers can be guessed, and the same for data that belong
    together. allow_burned_in: accept files that say they have annotations burnt into the pixels.
    limits: of bytes and pixels, checked before decoding.

    Raises
    ------
    UserError: pydicom is missing. InputError: the location or an argument is wrong.
    ManifestError: the manifest is. ImageError (also while reading): a file is no DICOM image, too
    large, of several frames, or with burnt-in annotations.
    """

    def __init__(
        self,
        location: Path,
        name: str | None = None,
        *,
        roles: Mapping[str, float] | None = None,
        role: str = "unassigned",
        seed: int = 0,
        salt: str = "",
        allow_burned_in: bool = False,
        limits: ImageLimits = DEFAULT_LIMITS,
    ) -> None:
        _import_pydicom()
        is_manifest = location.suffix.lower() in (".csv", ".parquet")
        self._folder = location.parent if is_manifest else location
        self.name = name or self._folder.resolve().name
        self._allow_burned_in = allow_burned_in
        self._limits = limits
        self._salt = salt
        rows = _manifest_rows(location) if is_manifest else _folder_rows(location)
        self._records = [self._record(row) for row in rows]
        if not is_manifest:
            self._records = _assign(self._records, roles or {role: 1.0}, seed)

    def __len__(self) -> int:
        return len(self._records)

    def records(self) -> Iterator[ImageRecord]:
        """Yield the images sorted by path, or in the manifest's order."""
        yield from self._records

    def _record(self, row: _Row) -> ImageRecord:
        path = resolve_image_path(self._folder, row.file)
        header = _read_header(path, self._limits)
        patient = str(header.get("PatientID", "")).strip()
        study = str(header.get("StudyInstanceUID", "")).strip()
        whose = f"patient {patient}" if patient else f"study {study}" if study else row.file
        stated_age = _years(str(header.get("PatientAge", "")))
        return ImageRecord(
            name=self._safe_name(row, header),
            label=row.label,
            group=row.group or self._hash(whose),
            role=row.role,
            read=partial(self._read, path),
            sex=row.sex or str(header.get("PatientSex", "")).strip(),
            age=stated_age if row.age is None else row.age,
            site=row.site,
            text=row.text,
            extra=row.extra,
        )

    def _read(self, path: Path) -> bytes:
        data = read_image_bytes(path, limits=self._limits)
        dataset = _parse(data, str(path))
        check_displayable(dataset, str(path), self._limits)
        if (
            str(dataset.get("BurnedInAnnotation", "")).upper() == "YES"
            and not self._allow_burned_in
        ):
            raise ImageError(
                f"{path}: annotations are burnt into the pixels, and may name the patient",
                expected="an image without burnt-in annotation",
                remedy="remove or mask it, or allow burnt-in annotations",
            )
        return encode_png(display_pixels(dataset, str(path)))

    def _safe_name(self, row: _Row, header: Any) -> str:
        words = re.split(r"[\^= ]+", str(header.get("PatientName", "")))
        telling = [*words, str(header.get("PatientID", "")).strip()]
        path = row.file.lower()
        if any(len(word) >= _SHORTEST_NAME and word.lower() in path for word in telling):
            return f"{row.label}/{self._hash(row.file)}.dcm"
        return row.file

    def _hash(self, words: str) -> str:
        return hashlib.sha256(f"{self._salt}\x00{words}".encode()).hexdigest()[:16]


def _assign(
    records: list[ImageRecord], shares: Mapping[str, float], seed: int
) -> list[ImageRecord]:
    groups, labels = [r.group for r in records], [r.label for r in records]
    roles = roles_by_group(groups, shares, seed, strata=labels)
    return [replace(record, role=role) for record, role in zip(records, roles, strict=True)]


def _folder_rows(folder: Path) -> list[_Row]:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: neither a folder nor a manifest",
            expected="a folder with a sub-folder of *.dcm for each class, a .csv or a .parquet",
            remedy="correct the path",
        )
    found = sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix.lower() in (".dcm", ".dicom")
    )
    rows = [
        _Row(path.as_posix(), path.parts[0])
        for path in found
        if len(path.parts) > 1 and not any(part.startswith(".") for part in path.parts)
    ]
    if not rows:
        raise InputError(f"{folder}: no *.dcm files", expected="some in a sub-folder a class")
    return rows


def _manifest_rows(manifest: Path) -> list[_Row]:
    return [
        _Row(
            file=str(row["file"]),
            label=str(row["label"]),
            role=str(row["role"]),
            group=str(row["group"]),
            sex=str(row["sex"]),
            age=None if row["age"] != row["age"] else float(row["age"]),
            site=str(row["site"]),
            text=str(row["text"]),
            extra=str(row["extra"]),
        )
        for row in read_manifest(manifest).to_dict("records")
    ]


def _read_header(path: Path, limits: ImageLimits) -> Any:
    """The few tags needed; the rest of the file, pixels above all, stays unread."""
    pydicom = _import_pydicom()
    try:
        if path.stat().st_size > limits.max_bytes:
            raise ImageError(
                f"{path}: {path.stat().st_size:,} bytes",
                expected=f"at most {limits.max_bytes:,} bytes",
            )
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_HEADER_TAGS)
    except ImageError:
        raise
    except Exception as error:  # parsing hostile bytes raises nearly anything
        raise _unreadable(str(path), error) from error


def _parse(data: bytes, name: str) -> Any:
    try:
        return _import_pydicom().dcmread(io.BytesIO(data))
    except Exception as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> ImageError:
    return ImageError(
        f"{name}: not a readable DICOM file ({type(error).__name__}: {str(error)[:150]})",
        expected="a complete DICOM file",
        remedy="export it again or remove it",
    )


def _years(age: str) -> float | None:
    match = _AGE.fullmatch(age.strip())
    return round(int(match[1]) * _DAYS[match[2]] / _DAYS["Y"], 2) if match else None


def _import_pydicom() -> Any:
    try:
        import pydicom  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise UserError(
            "DICOM files need pydicom", remedy="run pip install 'sgps[dicom]'"
        ) from error
    return pydicom
