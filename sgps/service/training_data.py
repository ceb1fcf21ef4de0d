"""Which stored datasets a training may use, by their licences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sgps.datasets import StoredDataset
from sgps.datasets.licences import LicenceTable
from sgps.errors import InputError

DEFAULT_LICENCES_FILE = Path("data/licences.yaml")

AllowedLicences = Literal["all", "open"]


@dataclass(frozen=True)
class OpenDatasets:
    """The datasets that a training on open licences may use, and those that it may not.

    Attributes
    ----------
    kept: names of the datasets with an open licence, and of those that are not trained on.
    closed: name and licence of those left out because it is not open.
    unknown: names of those left out because the table does not have them.
    """

    kept: tuple[str, ...]
    closed: Mapping[str, str]
    unknown: tuple[str, ...]

    def notices(self) -> tuple[str, ...]:
        """A line on the datasets left out for either reason."""
        lines = []
        if self.closed:
            named = ", ".join(f"{name} ({licence})" for name, licence in self.closed.items())
            lines.append(f"not trained on, no open licence: {named}")
        if self.unknown:
            lines.append(
                f"not trained on, licence unknown: {', '.join(self.unknown)}"
                " (name them in the table of licences)"
            )
        return tuple(lines)


def read_licences(path: Path | None = None) -> LicenceTable | None:
    """The table in ``path``, or else in ``data/licences.yaml``; None where neither is there.

    Raises
    ------
    InputError: the file cannot be read or is of another form.
    """
    if path is None and not DEFAULT_LICENCES_FILE.is_file():
        return None
    return LicenceTable.load(path or DEFAULT_LICENCES_FILE)


def select_open(
    datasets: Sequence[StoredDataset], table: LicenceTable | None, train_roles: Sequence[str]
) -> OpenDatasets:
    """Leave out the datasets with images of ``train_roles`` whose licence is not open.

    A dataset that is only validated on stays, whatever its licence.

    Raises
    ------
    InputError: there is no table, or no dataset is left to train on.
    """
    if table is None:
        raise InputError(
            "open licences are asked for, but there is no table of licences",
            expected=f"{DEFAULT_LICENCES_FILE} or a file given by --licence-table",
        )
    trained = [dataset.name for dataset in datasets if has_role(dataset, train_roles)]
    refused = [name for name in trained if not table.is_open(name)]
    if len(refused) == len(trained):
        raise InputError(
            f"no dataset with images of role {' or '.join(train_roles)} has an open licence",
            expected="at least one to train on",
            remedy="ingest one, or name its licence in the table of licences",
        )
    return OpenDatasets(
        kept=tuple(dataset.name for dataset in datasets if dataset.name not in refused),
        closed={name: table.name_of(name) for name in refused if table.get(name)},
        unknown=tuple(name for name in refused if table.get(name) is None),
    )


def record_licences(
    datasets: Sequence[StoredDataset],
    table: LicenceTable | None,
    allowed: AllowedLicences,
    roles: Sequence[str],
) -> dict[str, Any]:
    """What a generator's lineage says of licences: JSON-able, empty where there is no table.

    Holds which were allowed, and the licence of each dataset with images of one of ``roles``.
    """
    if table is None:
        return {}
    by_dataset = {d.name: table.name_of(d.name) for d in datasets if has_role(d, roles)}
    return {"licences": {"allowed": allowed, "by_dataset": by_dataset}}


def has_role(dataset: StoredDataset, roles: Sequence[str]) -> bool:
    """Whether any image of the dataset has one of the roles."""
    return any(dataset.description.roles.get(role, 0) for role in roles)
