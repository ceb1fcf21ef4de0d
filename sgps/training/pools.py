"""Which classes of which datasets are trained and validated on."""

from __future__ import annotations

from collections.abc import Sequence

from sgps.datasets.storage import StoredDataset
from sgps.episodes import ClassPool
from sgps.errors import InputError
from sgps.training.config import MetaTrainingConfig

_MIN_CLASSES = 2


def build_pools(
    datasets: Sequence[StoredDataset], roles: Sequence[str], min_groups: int
) -> list[ClassPool]:
    """One pool of classes a dataset, from its images of the given roles.

    Datasets with fewer than two classes of at least ``min_groups`` groups are left out.

    Raises
    ------
    InputError: no dataset is left.
    """
    pools = [
        ClassPool.from_frame(
            dataset.frame, domain=dataset.name, roles=tuple(roles), min_groups=min_groups
        )
        for dataset in datasets
        if _count_classes(dataset, roles, min_groups) >= _MIN_CLASSES
    ]
    if not pools:
        raise InputError(
            f"no dataset has two classes with {min_groups} groups of role {' or '.join(roles)}",
            expected="at least one",
            remedy="ingest a dataset with that role or ask for fewer shots and queries",
        )
    return pools


def _count_classes(dataset: StoredDataset, roles: Sequence[str], min_groups: int) -> int:
    rows = dataset.frame[dataset.frame["role"].isin(roles)]
    return int((rows.groupby("label")["group"].nunique() >= min_groups).sum())


def build_validation_pools(
    datasets: Sequence[StoredDataset], config: MetaTrainingConfig
) -> tuple[str, list[ClassPool]]:
    """The first of the validation roles that any dataset has, and its pools.

    Raises
    ------
    InputError: no dataset has images of any of them.
    """
    for role in config.validation_roles:
        try:
            return role, build_pools(datasets, (role,), config.max_shots + 1)
        except InputError:
            continue
    roles = " or ".join(config.validation_roles)
    raise InputError(
        f"no dataset has images of role {roles}",
        expected="at least one dataset to stop and select on",
        remedy="ingest one, or give other validation roles",
    )
