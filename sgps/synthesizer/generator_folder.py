"""Folders of generators, those that ship with the package and others: finding them, their files."""

from __future__ import annotations

from pathlib import Path

from sgps.errors import UnknownNameError

GENERATOR_STEM = "generator"
GENERATOR_FILES = (f"{GENERATOR_STEM}.safetensors", f"{GENERATOR_STEM}.json")
KNOWN_CLASSES_STEM = "known_classes"
KNOWN_CLASSES_FILES = (f"{KNOWN_CLASSES_STEM}.safetensors", f"{KNOWN_CLASSES_STEM}.json")
_SHIPPED = Path(__file__).parent / "generators"


def find_generator(checkpoint_or_name: str | Path) -> Path:
    """Folder of a shipped generator, by name, or of a checkpoint, by path.

    Raises
    ------
    UnknownNameError: neither exists.
    """
    shipped = _SHIPPED / str(checkpoint_or_name)
    candidates = [Path(checkpoint_or_name).expanduser()]
    if str(checkpoint_or_name) in shipped_generators():
        candidates.insert(0, shipped)
    for candidate in candidates:
        folder = candidate if candidate.is_dir() else candidate.parent
        if (folder / f"{GENERATOR_STEM}.json").is_file() and candidate.exists():
            return folder
    raise UnknownNameError(
        f"there is no generator {str(checkpoint_or_name)!r}",
        expected=f"one of {', '.join(shipped_generators()) or 'none shipped'}"
        " or a folder with generator.json",
    )


def shipped_generators() -> tuple[str, ...]:
    """Names of the generators inside the package."""
    return tuple(sorted(path.parent.name for path in _SHIPPED.glob("*/generator.json")))
