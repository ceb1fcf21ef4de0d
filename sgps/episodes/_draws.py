"""Random draws that are the same on every machine and with every version of numpy.

numpy promises this for its bit generators and ``SeedSequence``, but not for the methods of
``Generator``; so everything is made of raw 64-bit numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


class Draws:
    """A stream of draws that depends on ``numbers`` (each at least 0) alone."""

    def __init__(self, *numbers: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(numbers))

    def integer(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return low + int(self._bits.random_raw()) % (high - low + 1)

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return (int(self._bits.random_raw()) >> 11) / 2**53

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """The items in a drawn order."""
        keys = self._bits.random_raw(len(items))
        return [items[int(place)] for place in np.argsort(keys, kind="stable")]

    def one_of(self, items: Sequence[Item]) -> Item:
        """One item."""
        return items[self.integer(0, len(items) - 1)]

    def weighted(self, weights: Sequence[float]) -> int:
        """A place in ``weights``, drawn in proportion to them."""
        target = self.fraction() * sum(weights)
        for place, weight in enumerate(weights):
            target -= weight
            if target < 0:
                return place
        return len(weights) - 1
