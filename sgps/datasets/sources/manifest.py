"""Images listed in a manifest, their paths relative to its folder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sgps.datasets.decoding import read_image_bytes
from sgps.datasets.manifest import read_manifest, resolve_image_path
from sgps.datasets.records import ImageRecord


class ManifestSource:
    """The images of one manifest, CSV or Parquet.

    name: of the dataset; by default the manifest's own name, or its folder's where that is
    ``manifest``.

    Raises
    ------
    ManifestError: the manifest or one of its rows is wrong. InputError (from :meth:`records`): a
        relative path leaves the manifest's folder.
    """

    def __init__(self, manifest_path: Path, name: str | None = None) -> None:
        self._folder = manifest_path.absolute().parent
        self._frame = read_manifest(manifest_path)
        stem = manifest_path.stem
        self.name = name or (self._folder.name if stem == "manifest" else stem)

    def __len__(self) -> int:
        return len(self._frame)

    def records(self) -> Iterator[ImageRecord]:
        """Yield the rows in the manifest's order."""
        for row in self._frame.to_dict("records"):
            path = resolve_image_path(self._folder, row["file"])
            yield ImageRecord(
                name=row["file"],
                label=row["label"],
                group=row["group"],
                role=row["role"],
                read=partial(read_image_bytes, path),
                sex=row["sex"],
                age=None if row["age"] != row["age"] else float(row["age"]),
                site=row["site"],
                text=row["text"],
                extra=row["extra"],
            )
