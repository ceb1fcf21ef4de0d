"""Digests of tensors, whole or gone on with, and the two files that they seal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sgps.errors import IntegrityError
from sgps.synthesizer.sealed import DigestStart, digest_tensors, read_sealed, write_sealed

NAMES = st.sets(st.text("abc.", min_size=1, max_size=3), max_size=6)


def tensors_of(names: set[str], seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(2, len(name), generator=random) for name in sorted(names)}


@given(first=NAMES, further=NAMES)
def test_gone_on_with_a_digest_is_the_whole_one_or_none(first: set[str], further: set[str]) -> None:
    every = tensors_of(first | further)
    start = DigestStart({name: every[name] for name in first})
    between = further - first
    found = start.go_on(every)
    if between and first and min(between) < max(first):
        assert found is None
    else:
        assert found == digest_tensors(every)


def test_a_digest_that_was_begun_can_be_gone_on_with_again() -> None:
    body = tensors_of({"a", "b"})
    start = DigestStart(body)
    for seed in (1, 2, 1):
        whole = body | tensors_of({"head"}, seed)
        assert start.go_on(whole) == digest_tensors(whole)


def test_where_a_tensor_is_missing_nothing_is_gone_on_with() -> None:
    start = DigestStart(tensors_of({"a", "b"}))
    assert start.go_on(tensors_of({"a", "c"})) is None


def test_for_people_the_description_has_lines_and_for_few_bytes_none(tmp_path: Path) -> None:
    tensors, description = tensors_of({"a"}), {"words": ["naevus", "Müller"], "count": 3}
    for stem, indent in (("wide", 2), ("dense", None)):
        write_sealed(tmp_path, stem, tensors, description, file_format="f", indent=indent)
        assert read_sealed(tmp_path, stem, file_format="f").description["words"] == [
            "naevus",
            "Müller",
        ]
    wide, dense = (tmp_path / name for name in ("wide.json", "dense.json"))
    assert json.loads(wide.read_text("utf-8")) == json.loads(dense.read_text("utf-8"))
    assert dense.stat().st_size < wide.stat().st_size
    assert dense.read_text("utf-8").count("\n") == 1


def test_an_earlier_format_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    write_sealed(tmp_path, "x", tensors_of({"a"}), {}, file_format="f-1")
    with pytest.raises(IntegrityError, match="is not of the format 'f-2'"):
        read_sealed(tmp_path, "x", file_format="f-2")
    assert read_sealed(tmp_path, "x", file_format="f-2", or_else=("f-1",)).tensors.keys() == {"a"}
