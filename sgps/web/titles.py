"""What classifiers are called by the people who asked for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sgps.audit import Ledger
from sgps.service.synthesis import LEDGER_KIND

_LOST_LETTERS = re.compile(r".*-[0-9a-f]{6}")
_MODEL = re.compile(r"models:/(?P<name>[^/]+)/\d+")


class Titles:
    """Titles of the tasks behind addresses such as ``models:/task-77710a/1``, each read once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[str, str] = {}

    def of(self, model_uri: str) -> str:
        """The title where the name lost letters of it; "" elsewhere. Raises StoreError."""
        model = _MODEL.fullmatch(model_uri)
        if model is None or not _LOST_LETTERS.fullmatch(model["name"]):
            return ""
        if model_uri not in self._known:
            entries = self._ledger.entries(LEDGER_KIND, model_uri, limit=1)
            self._known[model_uri] = title_of(entries[-1].record) if entries else ""
        return self._known[model_uri]


def title_of(record: Mapping[str, Any]) -> str:
    """The title in the record of a synthesis; "" where it has none."""
    title = record.get("audit", {}).get("task")
    return title if isinstance(title, str) else ""
