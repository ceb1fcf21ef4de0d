"""Freed memory back to the system: what lies in reference cycles, and what glibc keeps of tensors.

Python looks for cycles among old objects only once they have grown by a quarter; of the 600,000
objects that the libraries make, that is never. With these set aside, looking takes milliseconds.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from functools import cache
from typing import Any


def set_aside_what_stays() -> None:
    """Never look again for garbage among the objects of now: call it once all is loaded."""
    gc.collect()
    gc.freeze()


def return_freed_memory() -> bool:
    """Collect garbage and give back what is free; whether the C library gave back any."""
    gc.collect()
    trim = _malloc_trim()
    return trim is not None and bool(trim(0))


@cache
def _malloc_trim() -> Any:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
