"""The classes that a generator was trained on, as it sees them once it is trained.

Shapes: C classes, I images, D features over all taps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgps.datasets.storage import StoredDataset
from sgps.errors import InputError, IntegrityError, UnknownNameError
from sgps.synthesizer.checkpoint import load_generator
from sgps.synthesizer.hypernetwork import Hypernetwork
from sgps.synthesizer.known_classes import KnownClasses
from sgps.training.config import MetaTrainingConfig
from sgps.training.pools import build_pools
from sgps.training.priors import choose_rows

_DECISIVE = ("train_roles", "max_shots", "prior_images", "seed")
"""Settings of a training that decide which images of its classes are looked at."""


@torch.inference_mode()
def write_known_classes(
    folder: Path,
    datasets: Sequence[StoredDataset],
    *,
    device: torch.device,
    allow_downloads: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> KnownClasses | None:
    """Write ``known_classes.*`` beside the generator in ``folder``, unless its own are there.

    Only images that the generator's lineage names as training data are looked at, at most as many
    a class as its head's priors were fitted to. None where the generator writes a body for each
    task: then there are no features that classes of different tasks share.

    Parameters
    ----------
    datasets: among others those that the generator was trained on.
    device: where images are encoded.
    allow_downloads: whether a target network that no package brings may come from the hub.
    progress: called with (datasets done, datasets in all).

    Raises
    ------
    InputError: a dataset of the training is missing or is not what it was, or the generator does
        not say what it was trained on.
    UnknownNameError: there is no generator in ``folder``.
    IntegrityError: a file is foreign, corrupted or altered.
    StoreError: the folder cannot be written.
    """
    hypernetwork, description = load_generator(folder, allow_downloads=allow_downloads)
    sha256 = str(description["tensors_sha256"])
    if hypernetwork.config.task_codes:
        return None
    found = _written(folder, sha256)
    if found is not None:
        return found
    lineage = description["lineage"]
    trained_on = _datasets_of(folder, lineage, datasets)
    config = MetaTrainingConfig(
        **{name: lineage["config"][name] for name in _DECISIVE if name in lineage["config"]}
    )
    hypernetwork = hypernetwork.to(device)
    names: list[str] = []
    means: list[Tensor] = []
    for number, dataset in enumerate(trained_on):
        labels, means_CD = _class_means(hypernetwork, dataset, config)
        names += [f"{dataset.name}: {label}" for label in labels]
        means.append(means_CD.cpu())
        if progress:
            progress(number + 1, len(trained_on))
    known = KnownClasses(tuple(names), torch.cat(means), sha256)
    known.save(folder)
    return KnownClasses.load(folder, sha256)


def _written(folder: Path, generator_sha256: str) -> KnownClasses | None:
    """What is there already; None where it is of an earlier state, half written or altered."""
    try:
        return KnownClasses.load(folder, generator_sha256)
    except (IntegrityError, UnknownNameError):
        return None


def _datasets_of(
    folder: Path, lineage: Mapping[str, Any], datasets: Sequence[StoredDataset]
) -> list[StoredDataset]:
    if not all(lineage.get(name) for name in ("config", "trained_on", "datasets")):
        raise InputError(
            f"{folder}: the lineage says nothing of a training",
            expected="a generator written by sgps train",
        )
    by_name = {dataset.name: dataset for dataset in datasets}
    missing = sorted(set(lineage["trained_on"]) - set(by_name))
    if missing:
        raise InputError(
            f"datasets of the training are not here: {', '.join(missing)}",
            expected="every dataset that the generator was trained on",
            remedy="ingest them, or name the folder where they are with --root",
        )
    chosen = [by_name[name] for name in lineage["trained_on"]]
    changed = [d.name for d in chosen if d.digest != lineage["datasets"].get(d.name)]
    if changed:
        raise InputError(
            f"datasets are not those of the training: {', '.join(changed)}",
            expected="the digests in generator.json",
            remedy="ingest them from the source they were trained from",
        )
    return chosen


def _class_means(
    hypernetwork: Hypernetwork, dataset: StoredDataset, config: MetaTrainingConfig
) -> tuple[tuple[str, ...], Tensor]:
    """Labels of a dataset's classes and the mean features (C, D) of each."""
    (pool,) = build_pools([dataset], config.train_roles, config.max_shots + 1)
    rows_of = choose_rows(pool, config.prior_images, config.prior_seed)
    means = []
    tensors = hypernetwork.shared_body()
    device = hypernetwork.normalise.mean.device
    for rows in rows_of:
        images = torch.from_numpy(dataset.images(hypernetwork.config.resolution, rows)).to(device)
        taps = hypernetwork.taps_under(tensors, images)
        means.append(torch.cat(taps, dim=1).mean(dim=0))
    return tuple(pool.labels), torch.stack(means)
