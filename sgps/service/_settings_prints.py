"""Prints of settings: they tell whether a setting is another one now, and nothing of its value."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping

from pydantic import SecretStr

from sgps.settings import Settings

_SALT = "salt"
_COST, _BLOCK, _LANES = 2**12, 8, 1


def print_settings(settings: Settings, salt: str = "") -> dict[str, str]:
    """A salted digest of each setting, by the name of its variable, and the salt.

    Slow to try values against, for some are passwords.
    """
    salt = salt or secrets.token_hex(16)
    values = {name: _plain(value) for name, value in settings}
    return {_SALT: salt} | {
        f"SGPS_{name.upper()}": hashlib.scrypt(
            json.dumps(value).encode(), salt=salt.encode(), n=_COST, r=_BLOCK, p=_LANES, dklen=16
        ).hex()
        for name, value in values.items()
    }


def changed_settings(printed: Mapping[str, str], settings: Settings) -> list[str]:
    """Names of the variables whose values are not those that were printed; none without prints."""
    if _SALT not in printed:
        return []
    now = print_settings(settings, printed[_SALT])
    return sorted(name for name in now if printed.get(name) != now[name])


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
