"""How fast episodes are trained, and for what share of a step the device computes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgps.training.pace import Pace, length_of_union, measure_busy

CPU = torch.device("cpu")
TICKS = st.integers(0, 40)


def sleep(seconds: float) -> Callable[[], float]:
    def step() -> float:
        time.sleep(seconds)
        return 1.5

    return step


def compute() -> float:
    matrix = torch.ones(600, 600)
    for _ in range(8):
        matrix = matrix @ torch.eye(600)
    return float(matrix[0, 0])


def test_the_pace_is_of_the_steps_since_it_was_taken() -> None:
    pace = Pace(CPU)
    assert pace.take() == {}
    for _ in range(3):
        assert pace.timed(2, sleep(0.02)) == 1.5
    rate = pace.episodes_per_second
    assert 0 < rate <= 2 / 0.02
    assert pace.take() == {"train/episodes_per_second": rate}
    assert pace.episodes_per_second == 0
    assert pace.take() == {}


def test_a_step_that_waits_is_told_from_one_that_computes() -> None:
    value, waiting = measure_busy(sleep(0.05), CPU)
    assert value == 1.5
    value, computing = measure_busy(compute, CPU)
    assert value == 1.0
    assert 0 <= waiting < 0.1 < 0.5 < computing <= 1


@given(st.lists(st.tuples(TICKS, TICKS).map(sorted).map(tuple), max_size=12))
def test_the_union_counts_each_moment_once(spans: list[tuple[int, int]]) -> None:
    covered = {tick for start, end in spans for tick in range(start, end)}
    assert length_of_union(spans) == len(covered)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_one_step_a_stretch_is_profiled_on_a_gpu() -> None:
    cuda = torch.device("cuda")
    square = torch.ones(2000, 2000, device=cuda)
    pace = Pace(cuda)
    for _ in range(3):
        pace.timed(1, lambda: float((square @ square)[0, 0]))
    known = pace.take()
    assert set(known) == {"train/episodes_per_second", "train/gpu_busy"}
    assert 0 < known["train/gpu_busy"] <= 1
