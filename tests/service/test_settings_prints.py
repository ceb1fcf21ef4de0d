"""Prints of settings tell of a change, and not of a value."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import SecretStr

from sgps.service._settings_prints import changed_settings, print_settings
from sgps.settings import Settings


def test_what_changed_is_named(tmp_path: Path) -> None:
    first = Settings(home=tmp_path, basic_auth=SecretStr("ada:long-password-1:steward"))
    printed = print_settings(first)
    assert changed_settings(printed, first) == []
    other = first.model_copy(update={"basic_auth": None, "page_port": 8601})
    assert changed_settings(printed, other) == ["SGPS_BASIC_AUTH", "SGPS_PAGE_PORT"]
    assert changed_settings({}, other) == []
    assert "long-password-1" not in json.dumps(printed)
    assert print_settings(first) != printed
