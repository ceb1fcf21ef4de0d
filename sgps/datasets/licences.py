"""Under which licence a dataset is to be had, in a table that the project keeps.

datasets:
  ham10000: {licence: CC BY-NC 4.0, spdx: CC-BY-NC-4.0, source: "...", stated: true, open: false}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sgps.errors import InputError

UNKNOWN = "unknown"


class Licence(BaseModel):
    """The licence of one dataset.

    Attributes
    ----------
    licence: as its source names it.
    spdx: SPDX identifier or expression; None where there is none.
    source: who states it, or where it comes from.
    stated: whether the source itself shows it.
    open: whether it allows commercial use and derivatives; none is open that is not stated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    licence: str = Field(min_length=1)
    spdx: str | None
    source: str = Field(min_length=1)
    stated: bool
    open: bool

    @model_validator(mode="after")
    def _is_shown_where_open(self) -> Licence:
        if self.open and not (self.stated and self.spdx):
            raise ValueError("an open licence needs a source that states it and an SPDX identifier")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    datasets: dict[str, Licence]


class LicenceTable:
    """The licences of several datasets, by name."""

    def __init__(self, licences: Mapping[str, Licence]) -> None:
        self._licences = dict(licences)

    @classmethod
    def load(cls, path: Path) -> LicenceTable:
        """Read a YAML file.

        Raises
        ------
        InputError: it cannot be read, or an entry is of another form; the entry is named.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise InputError(
                f"{path}: cannot be read ({reason})", expected="a YAML table of licences"
            ) from error
        try:
            return cls(_File.model_validate(content).datasets)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise InputError(
                f"{path}: {place}: {first['msg']}",
                expected="datasets, each with licence, spdx, source, stated and open",
                remedy="correct the entry",
            ) from error

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of the datasets in the table, sorted."""
        return tuple(sorted(self._licences))

    def get(self, dataset: str) -> Licence | None:
        """The licence of a dataset, None where the table does not have it."""
        return self._licences.get(dataset)

    def name_of(self, dataset: str) -> str:
        """What the licence is called; "unknown" where the table does not have the dataset."""
        licence = self.get(dataset)
        return licence.licence if licence else UNKNOWN

    def is_open(self, dataset: str) -> bool:
        """Whether commercial use and derivatives are allowed; not where the licence is unknown."""
        licence = self.get(dataset)
        return licence is not None and licence.open
