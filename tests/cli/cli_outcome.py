"""What a call of the command line left."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

PROGRESS = re.compile(r": \d+ of \d+$")
KINDS = ("melanoma", "angioma", "blue_nevus")


class Outcome(NamedTuple):
    code: int
    stdout: str
    stderr: str

    def assert_one_line_error(self, *words: str) -> None:
        lines = [line for line in self.stderr.splitlines() if not PROGRESS.search(line)]
        assert self.code == 2, self
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("error: ")
        for word in words:
            assert word in lines[0], lines[0]


Sgps = Callable[..., Outcome]
