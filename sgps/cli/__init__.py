"""The ``sgps`` command."""

from __future__ import annotations

import sys
import warnings

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process and return its exit code.

    0: done; 1: something only the operator can mend; 2: something the caller can mend;
    130: interrupted.
    """
    from sgps.cli.application import run

    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    return run(sys.argv[1:])
