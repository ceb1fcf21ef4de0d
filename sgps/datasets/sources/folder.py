"""A folder with one sub-folder of images for each class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from sgps.datasets._grouping import roles_by_group
from sgps.datasets.decoding import read_image_bytes
from sgps.datasets.manifest import resolve_image_path
from sgps.datasets.records import ImageRecord
from sgps.errors import InputError

_BESIDE_IMAGES = frozenset({".csv", ".db", ".ini", ".json", ".md", ".txt", ".yaml", ".yml"})


class ClassFolderSource:
    """The images under ``folder``; the name of each sub-folder is a class.

    Sub-folders are searched to any depth. Hidden files and texts beside the images are passed
    over; anything else is taken for an image, so that a file that is none is reported.

    name: of the dataset, by default the folder's. roles: shares of the roles, met within each
    class; without it every image has ``role``. group_pattern: a regular expression searched in a
    file's name, whose first group (or whole match) is the image's group, such as a patient's
    number; without it each file is a group of its own. seed: of the roles.

    Raises
    ------
    InputError: no folder, no classes, a class without images, a file that leaves the folder or
        does not match the pattern, a wrong pattern or wrong shares.
    """

    def __init__(
        self,
        folder: Path,
        name: str | None = None,
        *,
        roles: Mapping[str, float] | None = None,
        role: str = "unassigned",
        group_pattern: str | None = None,
        seed: int = 0,
    ) -> None:
        if not folder.is_dir():
            raise InputError(
                f"{folder}: not a folder",
                expected="a folder with a sub-folder of images for each class",
                remedy="correct the path",
            )
        self._folder = folder
        self.name = name or folder.resolve().name
        self._files = _list_files(folder)
        labels = [Path(file).parts[0] for file in self._files]
        pattern = _compile(group_pattern)
        groups = [_group_of(file, pattern) for file in self._files]
        if roles is None:
            assigned = [role] * len(groups)
        else:
            assigned = roles_by_group(groups, roles, seed, strata=labels)
        self._rows = list(zip(self._files, labels, groups, assigned, strict=True))

    def __len__(self) -> int:
        return len(self._rows)

    def records(self) -> Iterator[ImageRecord]:
        """Yield the images sorted by path."""
        for file, label, group, role in self._rows:
            path = resolve_image_path(self._folder, file)
            read = partial(read_image_bytes, path)
            yield ImageRecord(name=file, label=label, group=group, role=role, read=read)


def _list_files(folder: Path) -> list[str]:
    files: list[str] = []
    classes = sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    for class_folder in classes:
        found = sorted(
            path.relative_to(folder)
            for path in class_folder.rglob("*")
            if path.is_file() and path.suffix.lower() not in _BESIDE_IMAGES
        )
        visible = [str(path) for path in found if not any(p.startswith(".") for p in path.parts)]
        if not visible:
            raise InputError(
                f"class {class_folder.name} in {folder} has no images",
                expected="at least one image in each class folder",
                remedy="add images or remove the folder",
            )
        files.extend(visible)
    if not files:
        raise InputError(f"{folder}: no class folders", expected="a sub-folder for each class")
    return files


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"group_pattern {pattern!r}: {error}", expected="a regular expression"
        ) from error


def _group_of(file: str, pattern: re.Pattern[str] | None) -> str:
    if pattern is None:
        return str(Path(file).with_suffix(""))
    match = pattern.search(Path(file).name)
    group = "" if match is None else match.group(1 if pattern.groups else 0)
    if not group:
        raise InputError(
            f"{file}: its name does not match the group_pattern {pattern.pattern!r}",
            expected="a name that tells the group",
        )
    return group
