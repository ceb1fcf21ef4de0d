"""Write a generator's model card, README.md, from what the generator says of its training.

    python docs/make_model_card.py sgps/synthesizer/generators/default
    python docs/make_model_card.py sgps/synthesizer/generators/default --run runs/default \
        --root data/shards

Settings, digests and validation figures come from the lineage in generator.json, licences from
data/licences.yaml. With --run, the folder that it was trained in, the figures before training and
the course of validation stand beside them; with --root the counts of images. training.yaml beside
the generator has to give the settings of the lineage; where it is missing, it is written.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from sgps.datasets import find_datasets
from sgps.datasets.licences import LicenceTable
from sgps.errors import InputError, SgpsError
from sgps.service.training import read_training_config
from sgps.synthesizer.checkpoint import GENERATOR_FORMAT
from sgps.synthesizer.generator_folder import GENERATOR_STEM
from sgps.synthesizer.known_classes import KnownClasses
from sgps.synthesizer.sealed import read_sealed
from sgps.training import MetaTrainingConfig
from sgps.training.state import STATE_FORMAT

REPOSITORY = Path(__file__).resolve().parents[1]
OF_THE_MACHINE = {"device", "allow_downloads"}
KNOWN_PARTS = {
    "minilm": "MiniLM-L6 sentence encoder (Apache-2.0)",
    "tf_efficientnet_lite0": "`tf_efficientnet_lite0`, public ImageNet weights (Apache-2.0)",
    "tf_efficientnet_lite1": "`tf_efficientnet_lite1`, public ImageNet weights (Apache-2.0)",
    "tf_efficientnet_lite2": "`tf_efficientnet_lite2`, public ImageNet weights (Apache-2.0)",
}
REPEATED_IMAGES = {"brain_mri_nickparvar", "lc25000_lung"}
DESCRIBED_FROM_PICTURES = {"radiolaria_sem", "rsmas_coral", "soil"}

TEMPLATE = Path(__file__).with_name("model_card.md.j2")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the card; return 2 where the generator or a file beside it makes none."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("generator", type=Path, help="folder with generator.json")
    parser.add_argument("--run", type=Path, help="folder that it was trained in")
    parser.add_argument("--root", type=Path, help="folder of the ingested datasets")
    parser.add_argument("--licences", type=Path, default=REPOSITORY / "data" / "licences.yaml")
    parser.add_argument("--descriptions", type=Path, default=REPOSITORY / "data" / "descriptions")
    parser.add_argument("--commit", default="", help="commit of the training, if not recorded")
    parser.add_argument("--output", type=Path, help="default: README.md beside generator.json")
    options = parser.parse_args(arguments)
    try:
        card = make_card(options)
    except SgpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    output = options.output or options.generator / "README.md"
    draft = output.with_name(f".{output.name}.part")
    draft.write_text(card, encoding="utf-8")
    draft.replace(output)
    print(output)
    return 0


def make_card(options: argparse.Namespace) -> str:
    """The card's Markdown.

    Raises
    ------
    UserError: no generator, one without the lineage of a training, a training.yaml or a run that is
        not its own, or no table of licences.
    """
    folder = options.generator
    generator = read_sealed(folder, GENERATOR_STEM, file_format=GENERATOR_FORMAT).description
    lineage = generator["lineage"]
    if not {"config", "trained_on", "validated_on"} <= lineage.keys():
        raise InputError(
            f"{folder}: the lineage says nothing of a training",
            expected="a generator written by sgps train",
        )
    require_settings(folder, lineage["config"])
    licences = LicenceTable.load(options.licences)
    config, sizes, validated = lineage["config"], generator["config"], lineage["validated_on"]
    body_of = lineage.get("body_of", "")
    kept = body_of or generator["tensors_sha256"]
    history = read_history(options.run, kept) if options.run else []
    before = history[0]["by_dataset"] if history and not body_of else {}
    trained = sorted(lineage["trained_on"])
    judged = sorted({setting.rsplit("/", 1)[0] for setting in validated["scores"]})
    modalities = read_modalities(options.descriptions)
    images = count_images(options.root, lineage) if options.root else {}
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        generator,
        lineage=lineage,
        config=config,
        sizes=sizes,
        validated=validated,
        parts=KNOWN_PARTS,
        size=f"{(folder / 'generator.safetensors').stat().st_size / 1e6:.1f} MB",
        known=KnownClasses.load(folder, generator["tensors_sha256"]),
        commit=describe_commit(lineage, options.commit),
        command=training_command(folder, generator["name"], lineage),
        taps=len(sizes["initial_tap_weights"]),
        results=path_to_results(folder),
        scores=table_of_scores(validated["scores"], before),
        body_of=body_of,
        refit=refit_command(folder) if body_of else "",
        course=table_of_history(history),
        trained=trained,
        open_count=sum(licences.is_open(name) for name in trained),
        verdict=judge_licences(trained, licences),
        trained_table=table_of_licences(trained, licences, modalities, images),
        validated_table=table_of_licences(judged, licences, modalities, {}),
        limits=list(special_limits(trained, judged)),
    )


def refit_command(folder: Path) -> str:
    """The command that fitted the head to the body of the training before it."""
    settings = folder / "training.yaml"
    if settings.resolve().is_relative_to(REPOSITORY):
        settings = settings.resolve().relative_to(REPOSITORY)
    name = folder.resolve().name
    return (
        f"sgps refit runs/{name} --config {settings.as_posix()} \\\n"
        f"  --descriptions data/descriptions --root data/shards --out runs/{name}-refitted"
    )


def require_settings(folder: Path, recorded: Mapping[str, Any]) -> None:
    """See that training.yaml gives the settings of the lineage; write it where it is missing.

    Raises
    ------
    InputError: it gives others; they are named.
    """
    path = folder / "training.yaml"
    if not path.is_file():
        values = without_defaults(recorded, MetaTrainingConfig().record())
        path.write_text(yaml.safe_dump({"train": values}, sort_keys=True), encoding="utf-8")
    given = read_training_config(path, {}).record()
    differing = sorted(
        f"{name} {theirs[name]!r} for {ours[name]!r}"
        for ours, theirs in ((flat(recorded), flat(given)),)
        for name in ours.keys() & theirs.keys() - OF_THE_MACHINE
        if ours[name] != theirs[name]
    )
    if differing:
        raise InputError(
            f"{path} is not what the generator was trained with: {'; '.join(differing)}",
            expected="the settings of the lineage in generator.json",
            remedy="correct it, or remove it to have it written",
        )


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by dotted name."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update({f"{name}.{inner}": item for inner, item in flat(value).items()})
        else:
            found[name] = value
    return found


def without_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not the defaults, and seed, episodes and architecture in any case."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        default = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            kept[name] = without_defaults(value, default)
        elif name not in OF_THE_MACHINE and (
            value != default or name in {"seed", "episodes", "architecture"}
        ):
            kept[name] = value
    return kept


def read_history(run: Path, tensors_sha256: str) -> list[dict[str, Any]]:
    """The validations of the run in a folder, from that before training on.

    Raises
    ------
    InputError: there is no run, or the state that it kept is another generator.
    """
    states = sorted(run.glob("state-*.json"))
    if not states:
        raise InputError(f"{run}: no state of a training", expected="the folder of sgps train")
    state = read_sealed(run, states[-1].stem, file_format=STATE_FORMAT)
    progress = state.description["progress"]
    if progress["best_sha256"] != tensors_sha256:
        raise InputError(f"{run} is the run of another generator", expected="that of this one")
    return list(progress["history"])


def read_modalities(folder: Path) -> dict[str, str]:
    """What the images of each described dataset are."""
    contents = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in folder.glob("*.yaml"))
    return {content["dataset"]: content.get("modality", "") for content in contents}


def count_images(root: Path, lineage: Mapping[str, Any]) -> dict[str, int]:
    """Images of the training roles in the datasets that are still those trained on."""
    roles = lineage["config"]["train_roles"]
    return {
        dataset.name: sum(dataset.description.roles.get(role, 0) for role in roles)
        for dataset in find_datasets(root, verify=False)
        if lineage["datasets"].get(dataset.name) == dataset.digest
    }


def describe_commit(lineage: Mapping[str, Any], given: str) -> str:
    """The commit trained at, as recorded or else as given."""
    code = lineage.get("code") or {}
    commit = code.get("git_commit") or given
    if not commit:
        return "not recorded"
    return f"`{commit[:12]}`" + (" and changes after it" if code.get("git_changed") else "")


def training_command(folder: Path, name: str, lineage: Mapping[str, Any]) -> str:
    """What to type."""
    inside = folder.resolve().is_relative_to(REPOSITORY)
    place = folder.resolve().relative_to(REPOSITORY).as_posix() if inside else folder.name
    is_open = (lineage.get("licences") or {}).get("allowed") == "open"
    return (
        f"sgps train --config {place}/training.yaml \\\n"
        "  --descriptions data/descriptions --root data/shards \\\n"
        f"  --out runs/{name} --name {name}" + (" --licences open" if is_open else "")
    )


def path_to_results(folder: Path) -> str:
    """From a generator of this repository to the final figures; empty for another."""
    if not folder.resolve().is_relative_to(REPOSITORY):
        return ""
    path = os.path.relpath(REPOSITORY / "docs" / "results.md", folder.resolve())
    return Path(path).as_posix()


def table_of_scores(scores: Mapping[str, float], start: Mapping[str, float]) -> str:
    """Accuracy of each dataset at each number of shots, and before training where known."""
    names = sorted({setting.rsplit("/", 1)[0] for setting in scores})
    shots = sorted({setting.rsplit("/", 1)[1] for setting in scores})
    header = ["dataset"]
    for shot in shots:
        header += [shot, "before training"] if start else [shot]
    rows = []
    for name in names:
        row = [name]
        for shot in shots:
            row.append(percent([scores[f"{name}/{shot}"]]))
            row += [percent([start[f"{name}/{shot}"]])] if start else []
        rows.append(row)
    mean = ["**mean**"]
    for shot in shots:
        mean.append(percent([scores[f"{name}/{shot}"] for name in names]))
        mean += [percent([start[f"{name}/{shot}"] for name in names])] if start else []
    return markdown_table(header, [*rows, mean])


def percent(shares: Sequence[float]) -> str:
    """The mean, in percent."""
    return f"{100 * sum(shares) / len(shares):.1f}"


def table_of_history(history: Iterable[Mapping[str, Any]]) -> str:
    """Accuracy and loss at each validation; empty without any."""
    rows = [
        [
            f"{entry['episode']:,}",
            "" if entry["train_loss"] is None else f"{entry['train_loss']:.3f}",
            percent([entry["accuracy"]]),
            f"{entry['loss']:.3f}",
        ]
        for entry in history
    ]
    header = ["episodes", "training loss", "validation accuracy", "validation loss"]
    return markdown_table(header, rows) if rows else ""


def judge_licences(trained: Sequence[str], licences: LicenceTable) -> str:
    """What the licences of the training data together come to."""
    closed = [name for name in trained if not licences.is_open(name)]
    if closed:
        return (
            f"{len(closed)} of {len(trained)} datasets are for research or non-commercial use, or"
            " show no licence: treat this generator as **research, non-commercial**."
        )
    found = {name: licences.get(name) for name in trained}
    alike = [name for name, licence in found.items() if licence and "-SA-" in str(licence.spdx)]
    share = f" {', '.join(alike)}: share alike." if alike else ""
    return f"All are openly licensed; most ask to be named.{share} This is no legal advice."


def table_of_licences(
    names: Sequence[str],
    licences: LicenceTable,
    modalities: Mapping[str, str],
    images: Mapping[str, int],
) -> str:
    """Datasets with what they show, their licence and who states it."""
    rows = []
    for name in names:
        licence = licences.get(name)
        row = [name, modalities.get(name, ""), *([f"{images.get(name, '')}"] if images else [])]
        row.append(licences.name_of(name))
        row += (
            [licence.source, yes(licence.stated), yes(licence.open)]
            if licence
            else ["", "no", "no"]
        )
        rows.append(row)
    counted = ["images"] if images else []
    return markdown_table(
        ["dataset", "images of", *counted, "licence", "according to", "stated", "open"], rows
    )


def yes(value: bool) -> str:
    """In words."""
    return "yes" if value else "no"


def special_limits(trained: Iterable[str], judged: Iterable[str]) -> Iterable[str]:
    """Limits that single datasets bring along."""
    if repeated := sorted(REPEATED_IMAGES.intersection(trained)):
        yield (
            f"{' and '.join(repeated)}: near-duplicates or augmented copies across groups; trained"
            " on, never validated or reported on."
        )
    if seen := sorted(DESCRIBED_FROM_PICTURES.intersection(judged)):
        yield f"{', '.join(seen)}: the class texts were written with the pictures in view."


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells as Markdown."""
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in cells)


if __name__ == "__main__":
    sys.exit(main())
