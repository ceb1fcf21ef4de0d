"""Packed tensors come back bit for bit, and hostile ones are refused before they take memory."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sgps.errors import IntegrityError
from sgps.synthesizer.packing import MOST_BYTES, pack, pack_json, unpack, unpack_json

TYPES = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.uint8, torch.bool,
)  # fmt: skip


@given(
    dtype=st.sampled_from(TYPES),
    shape=st.lists(st.integers(0, 5), max_size=3),
    seed=st.integers(0, 2**16),
)
def test_what_is_packed_comes_back_bit_for_bit(
    dtype: torch.dtype, shape: list[int], seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, 256, (*shape, dtype.itemsize), generator=random).to(torch.uint8)
    tensor = (drawn.bool() if dtype == torch.bool else drawn.view(dtype)).reshape(shape)
    packed, kinds = pack({"a": tensor})
    found = unpack(packed, kinds)["a"]
    assert found.dtype == dtype
    assert found.shape == tensor.shape
    as_bytes = [t.reshape(-1, 1).view(torch.uint8).numpy().tobytes() for t in (found, tensor)]
    assert as_bytes[0] == as_bytes[1]


def test_weights_take_fewer_bytes() -> None:
    weights = torch.randn(20, 4096, generator=torch.Generator().manual_seed(0)) * 0.02
    packed, _ = pack({"head": weights})
    assert packed["head"].numel() < 0.9 * weights.numel() * weights.itemsize


def test_a_tensor_that_is_not_contiguous_and_one_that_takes_gradients() -> None:
    columns = torch.arange(12.0).reshape(3, 4).T.requires_grad_()
    found = unpack(*pack({"a": columns}))["a"]
    assert torch.equal(found, columns)
    assert not found.requires_grad


EMPTY = np.frombuffer(zlib.compress(b""), np.uint8)


def bomb() -> Tensor:
    return torch.from_numpy(np.frombuffer(zlib.compress(bytes(10**6)), np.uint8).copy())


@pytest.mark.parametrize(
    ("packed", "kinds"),
    [
        ({"a": torch.zeros(3, dtype=torch.uint8)}, {"a": ("uint8", [3])}),
        ({"a": bomb()}, {"a": ("uint8", [10])}),
        ({"a": bomb()}, {"a": ("uint8", [10**6 + 1])}),
        ({"a": bomb()}, {"a": ("uint8", [-1, -(10**6)])}),
        ({"a": bomb()}, {"a": ("uint8", [10**6, True])}),
        ({"a": bomb()}, {"a": ("object", [10**6])}),
        ({"a": bomb()}, {"a": ("uint8", [MOST_BYTES + 1])}),
        ({"a": bomb()}, {"a": ("uint8",)}),
        ({"a": bomb()}, {"b": ("uint8", [10**6])}),
        ({"a": bomb()}, {"a": "uint8"}),
        ({"a": bomb()}, {"a": ("uint8", [0, 2**62, 2**62])}),
        ({"a": bomb()}, {"a": ("uint8", [0, 2**63])}),
        ({"a": torch.from_numpy(EMPTY.copy())}, {"a": ("uint8", [0, 2**62, 2**62])}),
        ({"a": torch.from_numpy(EMPTY.copy())}, {"a": ("uint8", [0, 2**63])}),
        ({"a": bomb()}, ["a"]),
    ],
)
def test_what_does_not_fit_its_description_is_refused(
    packed: dict[str, Tensor], kinds: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError, match="do not fit their description"):
        unpack(packed, kinds)


def test_tensors_that_are_too_large_together_are_refused() -> None:
    half = ("uint8", [MOST_BYTES // 2 + 1])
    with pytest.raises(IntegrityError, match="do not fit their description"):
        unpack({"a": bomb(), "b": bomb()}, {"a": half, "b": half})


def test_json_comes_back() -> None:
    value = [[{"influence": 0.000318, "judged": True}], [], "\u00e9"]
    assert unpack_json(pack_json(value)) == value
    with pytest.raises(IntegrityError, match="no JSON"):
        unpack_json(torch.tensor([255, 1], dtype=torch.uint8))
    with pytest.raises(IntegrityError, match="no JSON"):
        unpack_json(torch.zeros(3, dtype=torch.bfloat16))
