"""Peak memory of a synthesis, in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from sgps.encoders._torchvision_operators import import_timm
from sgps.errors import OperatorError
from sgps.synthesizer import Synthesizer, Task

_STATUS = Path("/proc/self/status")


def peak_memory(synthesizer: Synthesizer, task: Task) -> int:
    """Peak resident bytes of a fresh process that takes the generator and synthesizes once.

    Python, torch and timm are among them. Where Linux gives it, the peak is that of the process's
    own memory: `ru_maxrss` of a child begins at that of the parent which started it.

    Raises
    ------
    OperatorError: the process fails.
    """
    fresh = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=fresh, initializer=import_timm) as process:
            return process.submit(_synthesize_once, synthesizer, task).result()
    except (BrokenProcessPool, OSError) as error:
        raise OperatorError(
            f"the process that measures the peak memory failed: {error or type(error).__name__}"
        ) from error


def _synthesize_once(synthesizer: Synthesizer, task: Task) -> int:
    synthesizer.synthesize(task)
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
