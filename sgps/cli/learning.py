"""``sgps train``, ``refit`` and ``known-classes``: generators and what they know."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sgps.cli.output import format_pairs, progress, say, write_json, write_result
from sgps.cli.registration import (
    DEFAULT_ROOT,
    DescriptionsOption,
    DeviceOption,
    JsonFlag,
    RootOption,
    RulesOption,
    TextsFlag,
    find_descriptions,
    register,
)

Licences = Literal["all", "open"]


def add_commands(app: typer.Typer) -> None:
    """Add ``train``, ``refit`` and ``known-classes``."""
    register(
        app,
        "train",
        train,
        example="sgps train --root data/shards --out runs/first --episodes 2400 --seed 1",
    )
    register(
        app,
        "refit",
        refit,
        example="sgps refit runs/first --config train.yaml --root data/shards --out runs/second",
    )
    register(
        app,
        "known-classes",
        known_classes,
        example="sgps known-classes runs/first --root data/shards",
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
    descriptions: DescriptionsOption = None,
    texts: TextsFlag = True,
    rules: RulesOption = None,
    licences: Annotated[
        Licences,
        typer.Option(help="open: train on openly licensed datasets only."),
    ] = "all",
    licence_table: Annotated[
        Path | None,
        typer.Option(help="YAML with the datasets' licences; default: data/licences.yaml."),
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

    The datasets are checked first: nothing is trained on refused ones. Where the folder holds an
    unfinished run of the same settings, it is gone on with. With open licences, datasets that are
    only validated on stay whatever theirs.
    """
    from sgps.service.datasets import read_rules, report_validation, validate_stored
    from sgps.service.training import (
        TrainingRequest,
        read_training_config,
        restrict_to_licences,
        train_generator,
    )
    from sgps.settings import load_settings

    settings = load_settings()
    overrides: dict[str, Any] = {
        "episodes": episodes,
        "seed": seed,
        "device": device or (settings.device if settings.device != "auto" else None),
        "allow_downloads": settings.allow_downloads or None,
        "generator.resolution": resolution,
    }
    request = TrainingRequest(
        name=name,
        root=root,
        datasets=tuple(dataset or ()),
        descriptions=find_descriptions(descriptions, texts),
        folder=out,
        config=read_training_config(config, overrides),
        tracking=tracking,
        licences=licences,
        licence_table=licence_table,
    )
    request, notices = restrict_to_licences(request)
    for notice in notices:
        say(notice)
    validation = validate_stored(root, request.datasets, read_rules(rules))
    report_validation(validation, root, out / "validation.html")
    with progress("meta-training") as advance:
        result = train_generator(request, settings, progress=advance)
    facts = asdict(result)
    write_json(facts) if json else write_result(format_pairs(facts))


def refit(
    generator: Annotated[str, typer.Argument(help="Name of a shipped generator, or its folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new generator.")],
    root: RootOption = DEFAULT_ROOT,
    config: Annotated[
        Path | None, typer.Option(help="YAML with the settings under the key 'train'.")
    ] = None,
    descriptions: DescriptionsOption = None,
    texts: TextsFlag = True,
    device: DeviceOption = None,
    json: JsonFlag = False,
) -> None:
    """Fit a generator's head anew to the body that it has.

    For new class descriptions or other settings of the head, which stand under 'generator'; all
    others are those of its training, and so are the datasets. Takes minutes, trains nothing, and
    leaves the generator it begins with as it is.
    """
    from sgps.service.training import TrainingRequest, read_training_config, refit_generator
    from sgps.settings import load_settings

    settings = load_settings()
    overrides = {
        "device": device or (settings.device if settings.device != "auto" else None),
        "allow_downloads": settings.allow_downloads or None,
    }
    request = TrainingRequest(
        folder=out,
        root=root,
        descriptions=find_descriptions(descriptions, texts),
        config=read_training_config(config, overrides),
    )
    with progress("head: images, fit, validation") as advance:
        receipt = refit_generator(generator, request, settings, progress=advance)
    facts = asdict(receipt)
    write_json(facts) if json else write_result(format_pairs(facts))


def known_classes(
    generator: Annotated[str, typer.Argument(help="Name of a shipped generator, or its folder.")],
    root: RootOption = DEFAULT_ROOT,
    json: JsonFlag = False,
) -> None:
    """Write the classes that a generator knows from its training beside it.

    Its classifiers then tell when an image resembles one of them more than any class of the task.
    Training does this at its end; the command is for generators trained before, and needs the
    datasets that they were trained on. Those of this very generator that are there already stay;
    those of another one, and half written ones, are written anew.
    """
    from sgps.service.training import add_known_classes
    from sgps.settings import load_settings

    with progress("known classes") as advance:
        known = add_known_classes(generator, root, load_settings(), progress=advance)
    facts = {"generator": generator, "known_classes": len(known.names) if known else 0}
    write_json(facts) if json else write_result(format_pairs(facts))
