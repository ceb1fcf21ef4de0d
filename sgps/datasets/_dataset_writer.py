"""Rows of images to the shards and the description of a stored dataset."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sgps.datasets._shards import (
    DatasetDescription,
    Shard,
    dataset_digest,
    row_digest,
    write_description,
    write_shard,
)
from sgps.datasets.records import Source
from sgps.errors import InputError
from sgps.files import cannot_write


@dataclass
class DatasetWriter:
    """Collects rows and writes a shard whenever there are enough.

    The methods raise StoreError where ``folder`` cannot be written.
    """

    folder: Path
    rows_per_shard: int
    pending: list[dict[str, Any]] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)

    def add(self, row: dict[str, Any]) -> None:
        """Take one row, with its PNG."""
        self.pending.append(row)
        self.digests.append(row_digest(row))
        self.classes[row["label"]] += 1
        self.roles[row["role"]] += 1
        if len(self.pending) == self.rows_per_shard:
            self._flush()

    def finish(self, source: Source, max_side: int) -> None:
        """Write what is left, and the description. Raises InputError if there was no row."""
        if not self.digests:
            raise InputError(
                f"dataset {source.name}: no images",
                expected="at least one image",
                remedy="check where the source points",
            )
        if self.pending:
            self._flush()
        description = DatasetDescription(
            name=source.name,
            digest=dataset_digest(self.digests),
            images=len(self.digests),
            classes=dict(sorted(self.classes.items())),
            roles=dict(sorted(self.roles.items())),
            source=type(source).__name__,
            max_side=max_side,
            created_by=f"sgps {_version()}",
            shards=tuple(self.shards),
        )
        try:
            write_description(self.folder, description)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def _flush(self) -> None:
        try:
            self.shards.append(write_shard(self.folder, len(self.shards), self.pending))
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        self.pending = []


def _version() -> str:
    try:
        return importlib.metadata.version("sgps")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
