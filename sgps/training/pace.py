"""How fast episodes are trained, and for what share of a step the GPU computes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch
from torch.profiler import ProfilerActivity, profile

_MICROSECONDS = 1e6
_ACTIVITIES = {"cpu": ProfilerActivity.CPU, "cuda": ProfilerActivity.CUDA}


class Pace:
    """Times the steps of a run between two validations.

    On a GPU one step of each such stretch, the second, is profiled; it does not count in the pace.

    Parameters
    ----------
    device: on which the steps are taken.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._episodes = 0
        self._seconds = 0.0
        self._busy: float | None = None

    def timed(self, episodes: int, step: Callable[[], float]) -> float:
        """Take a step on so many episodes; return what it returns."""
        if self._device.type == "cuda" and self._episodes and self._busy is None:
            value, self._busy = measure_busy(step, self._device)
            return value
        begin = time.perf_counter()
        value = step()
        self._seconds += time.perf_counter() - begin
        self._episodes += episodes
        return value

    @property
    def episodes_per_second(self) -> float:
        """Of the steps since :meth:`take`; 0 before the first."""
        return self._episodes / self._seconds if self._seconds else 0.0

    def take(self) -> dict[str, float]:
        """Return what is known as metrics, and begin anew; nothing where no step was taken.

        ``train/episodes_per_second``; ``train/gpu_busy``, in [0, 1], on a GPU.
        """
        known = {"train/episodes_per_second": self.episodes_per_second} if self._seconds else {}
        if self._busy is not None:
            known["train/gpu_busy"] = self._busy
        self._episodes, self._seconds, self._busy = 0, 0.0, None
        return known


def measure_busy(step: Callable[[], float], device: torch.device) -> tuple[float, float]:
    """Take a step under the profiler; return what it returns and the share the device computed.

    The share, in [0, 1], is of the step's time, during which at least one kernel ran.
    """
    with profile(activities=[_ACTIVITIES[device.type]]) as recorded:
        begin = time.perf_counter()
        value = step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - begin
    spans = (
        (event.time_range.start, event.time_range.end)
        for event in recorded.events() or ()
        if event.device_type.name == device.type.upper()
    )
    return value, min(1.0, length_of_union(spans) / _MICROSECONDS / seconds)


def length_of_union(spans: Iterable[tuple[float, float]]) -> float:
    """Return how long at least one of the spans (start, end) lasts."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        if end > reached:
            total += end - max(start, reached)
            reached = end
    return total
