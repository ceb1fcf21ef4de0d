"""Prefect flows: the only package that imports prefect; one flow a file.

Importing it sets environment defaults (no telemetry, Prefect's own files under the SGPS home),
because prefect reads its settings while it is imported.
"""

from __future__ import annotations

import contextlib
import warnings

from sgps.errors import InputError
from sgps.settings import apply_flow_defaults

with contextlib.suppress(InputError):
    apply_flow_defaults()

# flows.running says so in one line before anything runs.
warnings.filterwarnings("ignore", message="Failed to create the Prefect home directory")
