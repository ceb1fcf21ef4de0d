"""``sgps train``: meta-train a generator."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from sgps.cli.output import format_pairs, progress, write_json, write_result
from sgps.cli.registration import DEFAULT_ROOT, DeviceOption, JsonFlag, RootOption, register


def add_commands(app: typer.Typer) -> None:
    """Add ``train``."""
    register(
        app,
        "train",
        train,
        example="sgps train --root data/shards --out runs/first --episodes 2400 --seed 1",
    )


def train(
    out: Annotated[Path, typer.Option("--out", help="Folder of the run and its generator.")],
    root: RootOption = DEFAULT_ROOT,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", help="Dataset, repeatable; default: all.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML with training settings under the key 'train'.")
    ] = None,
    descriptions: Annotated[
        Path | None, typer.Option(help="Folder of class descriptions; none: train without text.")
    ] = None,
    episodes: Annotated[int | None, typer.Option(min=1, help="Episodes in all.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all randomness.")] = None,
    resolution: Annotated[int | None, typer.Option(min=32, help="Image side in pixels.")] = None,
    name: Annotated[str, typer.Option(help="Name of the generator.")] = "candidate",
    device: DeviceOption = None,
    tracking: Annotated[bool, typer.Option(help="Log metrics to MLflow.")] = True,
    json: JsonFlag = False,
) -> None:
    """Meta-train a generator.

    Where the folder holds an unfinished run of the same settings, it is gone on with.
    """
    from sgps.service.training import TrainingRequest, read_training_config, train_generator
    from sgps.settings import load_settings

    settings = load_settings()
    overrides: dict[str, Any] = {
        "episodes": episodes,
        "seed": seed,
        "device": device or settings.device,
        "generator.resolution": resolution,
    }
    request = TrainingRequest(
        name=name,
        root=root,
        datasets=tuple(dataset or ()),
        descriptions=descriptions,
        folder=out,
        config=read_training_config(config, overrides),
        tracking=tracking,
    )
    with progress("meta-training") as advance:
        result = train_generator(request, settings, progress=advance)
    facts = asdict(result)
    write_json(facts) if json else write_result(format_pairs(facts))
