"""A generator's head fitted anew to the body that it has: no training, minutes instead of hours.

For what joins the head after the body is trained: centre taps, other descriptions, other constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sgps.datasets.descriptions import DescriptionLibrary
from sgps.datasets.storage import StoredDataset
from sgps.errors import InputError
from sgps.synthesizer.checkpoint import load_generator, save_generator
from sgps.training.config import MetaTrainingConfig
from sgps.training.image_bank import data_digest
from sgps.training.meta_train import MetaTrainingRun
from sgps.training.priors import fit_head_priors
from sgps.training.validation import ValidationScores, validate

_OF_THE_MACHINE = {"device", "allow_downloads", "compile"}
"""Settings that decide where a training runs, not what comes of it."""


def _tell_nobody(_done: int, _stages: int) -> None:
    pass


@torch.no_grad()
def refit_head(
    trained: Path,
    config: MetaTrainingConfig,
    datasets: Sequence[StoredDataset],
    descriptions: DescriptionLibrary | None,
    folder: Path,
    *,
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] = _tell_nobody,
) -> tuple[str, ValidationScores]:
    """Write the generator in ``trained`` with a head fitted by ``config`` to ``folder``.

    It is what training with ``config`` would keep, had it come upon the same body: the same images
    are fitted to and validated on. Returns the digest of its tensors and its validation scores.

    Parameters
    ----------
    trained: folder of the generator whose body is kept.
    config: all settings; but for those under ``generator`` they are the ones of its training.
    datasets: among others those of its training and validation.
    descriptions: class descriptions that the text map is fitted to; None fits none.
    folder: where the new generator is written.
    provenance: JSON-able facts of this fit for the lineage, such as the commit.
    progress: called with (stages done, stages in all): images read, head fitted, validated.

    Raises
    ------
    InputError: a dataset is missing or is not that of the training, the training had other
        settings, or the generator has no head to fit.
    UnknownNameError, IntegrityError: there is no generator in ``trained``, or it was altered.
    StoreError: the folder cannot be written.
    """
    earlier, description = load_generator(
        trained, pretrained=config.pretrained, allow_downloads=config.allow_downloads
    )
    lineage = description["lineage"]
    _require_same_body(earlier.config.task_codes, lineage, config)
    datasets = _datasets_of(trained, lineage, datasets)
    run = MetaTrainingRun(config, datasets, descriptions, folder)
    progress(1, 3)
    hypernetwork = run.hypernetwork
    generator, before = hypernetwork.generator, earlier.to(run.device).generator
    generator.deltas.load_state_dict(before.deltas.state_dict())
    generator.head_priors.log_temperature.copy_(before.head_priors.log_temperature)
    fit_head_priors(
        hypernetwork,
        run.bank,
        run.pools,
        images_a_class=config.prior_images,
        seed=config.prior_seed,
    )
    progress(2, 3)
    scores = validate(hypernetwork, run.bank, run.validation_set)
    progress(3, 3)
    sha256 = save_generator(
        hypernetwork,
        folder,
        name=description["name"],
        text_encoder=config.text_encoder,
        lineage={
            **lineage,
            "config": config.record(),
            "body_of": lineage.get("body_of", description["tensors_sha256"]),
            "refit": dict(provenance or {}),
            "validated_on": {"role": run.validation_role, "scores": dict(scores.by_dataset)},
            "validation_accuracy": scores.accuracy,
        },
    )
    return sha256, scores


def _datasets_of(
    trained: Path, lineage: Mapping[str, Any], datasets: Sequence[StoredDataset]
) -> list[StoredDataset]:
    chosen = [dataset for dataset in datasets if dataset.name in lineage["datasets"]]
    if data_digest(chosen) != lineage["data_sha256"]:
        there = {dataset.name: dataset.digest for dataset in chosen}
        differing = [name for name, sha in lineage["datasets"].items() if there.get(name) != sha]
        raise InputError(
            f"datasets that {trained} was trained on are missing or others:"
            f" {', '.join(sorted(differing))}",
            expected="the digests in generator.json",
            remedy="ingest them from the source they were trained from",
        )
    return chosen


def _require_same_body(
    task_codes: bool, lineage: Mapping[str, Any], config: MetaTrainingConfig
) -> None:
    recorded = lineage.get("config")
    if task_codes or not isinstance(recorded, dict):
        raise InputError(
            "no generator whose head could be fitted anew",
            expected="one written by sgps train, without task codes",
        )
    ours, theirs = config.record(), dict(recorded)
    for record in (ours, theirs):
        sizes = record["generator"]
        record["generator"] = [sizes.get("architecture"), sizes.get("resolution")]
    differing = sorted(
        name for name in theirs.keys() - _OF_THE_MACHINE if ours.get(name) != theirs[name]
    )
    if differing:
        raise InputError(
            f"the body was trained with other settings: {', '.join(differing)}",
            expected="those in generator.json; what may differ stands under 'generator'",
        )
