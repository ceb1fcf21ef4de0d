"""Known classes on disk: half precision, sealed, of one generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sgps.errors import IntegrityError, StoreError, UnknownNameError
from sgps.synthesizer.generator_folder import KNOWN_CLASSES_STEM
from sgps.synthesizer.known_classes import (
    KNOWN_CLASSES_FORMAT,
    KnownClasses,
)
from sgps.synthesizer.sealed import write_sealed

GENERATOR = "ab" * 32


def normal(count: int, seed: int) -> Tensor:
    return torch.randn(count, 10, generator=torch.Generator().manual_seed(seed))


def test_saved_and_loaded_is_the_same_in_half_precision(tmp_path: Path) -> None:
    known = KnownClasses(("a: naevus", "b: Müller"), normal(2, 0), GENERATOR)
    digest = known.save(tmp_path / "new")
    files = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert files == ["known_classes.json", "known_classes.safetensors"]
    loaded = KnownClasses.load(tmp_path / "new", GENERATOR)
    assert loaded is not None
    assert (loaded.names, loaded.generator_sha256) == (known.names, GENERATOR)
    assert loaded.means_CD.dtype == torch.float32
    assert torch.equal(loaded.means_CD, known.means_CD.half().float())
    assert loaded.save(tmp_path / "again") == digest
    again = KnownClasses.load(tmp_path / "again", GENERATOR)
    assert again is not None
    assert again.sha256 == loaded.sha256


def test_the_digest_is_of_names_and_means() -> None:
    known = KnownClasses(("a", "b"), normal(2, 0), GENERATOR)
    same = KnownClasses(("a", "b"), normal(2, 0), GENERATOR)
    assert known.sha256 == same.sha256
    others = replace(known, names=("b", "a")), replace(known, means_CD=normal(2, 1))
    assert len({known.sha256, *(other.sha256 for other in others)}) == 3


def test_where_none_are_known_nothing_is_read(tmp_path: Path) -> None:
    assert KnownClasses.load(tmp_path, GENERATOR) is None
    assert KnownClasses.load(tmp_path / "nosuch", GENERATOR) is None


def test_those_of_another_generator_are_refused(tmp_path: Path) -> None:
    KnownClasses(("a",), normal(1, 0), GENERATOR).save(tmp_path)
    with pytest.raises(IntegrityError, match=f"belong to generator {GENERATOR[:12]}"):
        KnownClasses.load(tmp_path, "cd" * 32)


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("known_classes.safetensors", "does not match the digest"),
        ("known_classes.json", "does not match its seal"),
    ],
)
def test_an_altered_file_is_refused(tmp_path: Path, file: str, problem: str) -> None:
    KnownClasses(("naevus",), normal(1, 0), GENERATOR).save(tmp_path)
    path = tmp_path / file
    content = path.read_bytes()
    altered = (
        content.replace(b"naevus", b"naevi?") if file.endswith("json") else content[:-1] + b"?"
    )
    path.write_bytes(altered)
    assert altered != content
    with pytest.raises(IntegrityError, match=rf"{file} {problem}"):
        KnownClasses.load(tmp_path, GENERATOR)


@pytest.mark.parametrize("missing", ["known_classes.safetensors", "known_classes.json"])
def test_half_a_pair_is_refused(tmp_path: Path, missing: str) -> None:
    KnownClasses(("naevus",), normal(1, 0), GENERATOR).save(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(UnknownNameError, match=f"there is no file .*{missing}"):
        KnownClasses.load(tmp_path, GENERATOR)


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        KnownClasses(("a",), normal(1, 0), GENERATOR).save(tmp_path / "file" / "folder")


@pytest.mark.parametrize(
    ("description", "tensors"),
    [
        ({}, {"means": normal(2, 0)}),
        ({"names": "ab"}, {"means": normal(2, 0)}),
        ({"names": ["a", "b"]}, {}),
        ({"names": ["a"]}, {"means": normal(2, 0)}),
        ({"names": []}, {"means": normal(0, 0)}),
        ({"names": ["a", 3]}, {"means": normal(2, 0)}),
        ({"names": ["a", "\x1b[2J"]}, {"means": normal(2, 0)}),
        ({"names": ["a", "b"]}, {"means": normal(2, 0)[0]}),
        ({"names": ["a", "b"]}, {"means": normal(2, 0) / 0}),
    ],
)
def test_what_is_sealed_and_no_classes_is_refused(
    tmp_path: Path, description: dict[str, Any], tensors: dict[str, Tensor]
) -> None:
    known = {**description, "generator_sha256": GENERATOR}
    write_sealed(tmp_path, KNOWN_CLASSES_STEM, tensors, known, file_format=KNOWN_CLASSES_FORMAT)
    with pytest.raises(IntegrityError, match=r"the known classes in .* are none"):
        KnownClasses.load(tmp_path, GENERATOR)


def test_one_that_names_no_generator_is_refused(tmp_path: Path) -> None:
    content = {"names": ["a"]}, {"means": normal(1, 0)}
    write_sealed(
        tmp_path, KNOWN_CLASSES_STEM, content[1], content[0], file_format=KNOWN_CLASSES_FORMAT
    )
    with pytest.raises(IntegrityError, match="belong to generator None"):
        KnownClasses.load(tmp_path, GENERATOR)


def test_files_of_like_names_are_no_known_classes(tmp_path: Path) -> None:
    (tmp_path / "known_classes.md").write_text("Notes.")
    assert KnownClasses.load(tmp_path, GENERATOR) is None
