"""Where images come from: class folders, manifests, DICOM, MedMNIST, the ISIC archive, phantoms."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from sgps.datasets.records import Source
from sgps.errors import InputError, UnknownNameError

SOURCE_KINDS = {
    "dicom": "DicomSource",
    "folder": "ClassFolderSource",
    "isic": "IsicSource",
    "manifest": "ManifestSource",
    "medmnist": "MedMnistSource",
    "phantom": "PhantomSource",
}
_LOCATED_BY_PATH = ("dicom", "folder", "manifest")

__all__ = ["SOURCE_KINDS", "open_source"]


def open_source(kind: str, location: str, **options: Any) -> Source:
    """Open a source by the name of its kind.

    location: a path for ``folder``, ``manifest`` and ``dicom``; for the others what their class
    takes first (``phantom``: the dataset's name). options: passed on to the class.

    Raises
    ------
    UnknownNameError: no such kind. InputError: an option that the kind does not have, or a
        location or value that it refuses.
    """
    class_name = SOURCE_KINDS.get(kind)
    if class_name is None:
        raise UnknownNameError(
            f"source kind {kind!r}", expected=f"one of {', '.join(sorted(SOURCE_KINDS))}"
        )
    if not location:
        raise InputError(f"source {kind}: no location", expected="a path or name")
    source_class = getattr(importlib.import_module(f"{__name__}.{kind}"), class_name)
    first = Path(location).expanduser() if kind in _LOCATED_BY_PATH else location
    try:
        inspect.signature(source_class).bind(first, **options)
    except TypeError as error:
        known = list(inspect.signature(source_class).parameters)[1:]
        raise InputError(
            f"source {kind}: {error}", expected=f"options among {', '.join(known)}"
        ) from error
    source: Source = source_class(first, **options)
    return source
