"""The revisions of MLflow's tables that the installed MLflow knows, told without importing it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_SCRIPTS = Path("store", "db_migrations", "versions")
_REVISION = re.compile(r"""^(down_)?revision\s*=\s*["'](\w+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Revisions:
    """All revisions, and those that no other one follows: the newest."""

    known: frozenset[str]
    newest: frozenset[str]


@cache
def mlflow_revisions() -> Revisions:
    """What the headers of MLflow's migration scripts say; importing MLflow would take seconds."""
    spec = find_spec("mlflow")
    places = (spec.submodule_search_locations or []) if spec else []
    known: set[str] = set()
    followed: set[str] = set()
    for place in places:
        for script in (Path(place) / _SCRIPTS).glob("*.py"):
            for down, revision in _REVISION.findall(script.read_text(encoding="utf-8")):
                (followed if down else known).add(revision)
    return Revisions(frozenset(known), frozenset(known - followed))
