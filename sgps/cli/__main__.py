"""``python -m sgps.cli`` is ``sgps``."""

from __future__ import annotations

import sys

from sgps.cli import main

sys.exit(main())
