"""Freed memory back to the system: glibc keeps what large, short-lived tensors leave behind."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any


def return_freed_memory() -> bool:
    """Give back what is free; whether there was any. Does nothing where the C library cannot."""
    trim = _malloc_trim()
    return trim is not None and bool(trim(0))


@cache
def _malloc_trim() -> Any:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
