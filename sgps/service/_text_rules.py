"""Which characters a text of a request may hold."""

from __future__ import annotations

import unicodedata

# Characters that reorder or hide what is shown: a record must read as it is stored.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LINE_CHARACTERS = frozenset("\n\t")


def one_line(text: str) -> str:
    """``text``, if it is one line of printable characters; ValueError otherwise."""
    return _checked(text, allowed=frozenset())


def several_lines(text: str) -> str:
    """``text`` with line ends as ``\\n``, if it holds no other control character."""
    return _checked(text.replace("\r\n", "\n").replace("\r", "\n"), allowed=_LINE_CHARACTERS)


def _checked(text: str, *, allowed: frozenset[str]) -> str:
    for position, character in enumerate(text):
        hidden = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        if (hidden or character in _REORDERING) and character not in allowed:
            raise ValueError(f"control character U+{ord(character):04X} at position {position + 1}")
    return text
