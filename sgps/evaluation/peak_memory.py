"""Peak memory of a synthesis, in a process of its own."""

from __future__ import annotations

import pickle
import subprocess
import sys

from sgps.errors import OperatorError
from sgps.synthesizer import Synthesizer, Task

_SYNTHESIZE_ONCE = """
import pickle, resource, sys
from sgps.encoders._torchvision_operators import import_timm
import_timm()
synthesizer, task = pickle.load(sys.stdin.buffer)
synthesizer.synthesize(task)
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
except (OSError, StopIteration):
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
print(peak)
"""


def peak_memory(synthesizer: Synthesizer, task: Task) -> int:
    """Peak resident bytes of a fresh process that takes the generator and synthesizes once.

    Python, torch and timm are among them. Where Linux gives it, the peak is that of the process's
    own memory: `ru_maxrss` of a child begins at that of the parent which started it.

    Raises
    ------
    OperatorError: the process fails.
    """
    finished = subprocess.run(
        [sys.executable, "-c", _SYNTHESIZE_ONCE],
        input=pickle.dumps((synthesizer, task)),
        capture_output=True,
        check=False,
    )
    if finished.returncode != 0:
        last = (finished.stderr.decode(errors="replace").splitlines() or ["killed"])[-1]
        raise OperatorError(f"the process that measures the peak memory failed: {last}")
    return int(finished.stdout.split()[-1])
