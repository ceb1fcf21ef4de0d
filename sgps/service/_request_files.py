"""Task files and class folders, read with limits."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from sgps.errors import RequestError

MAX_FILE_BYTES = 1_000_000
DESCRIPTION_FILE = "description.txt"
DESCRIPTIONS_FILE = "descriptions.yaml"
_NO_IMAGES = (".txt", ".yaml", ".yml")


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a key may stand only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


def read_request_file(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file of at most 1 MB.

    Raises
    ------
    RequestError: unreadable, too large, no YAML, or no mapping.
    """
    text = read_text(path)
    try:
        content = yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RequestError(
            f"{path}: {_yaml_problem(error)}", expected="a YAML file", remedy="correct the file"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise RequestError(
            f"{path}: holds {'nothing' if content is None else 'no mapping of names'}",
            expected="a YAML file of the form name: value",
            remedy="correct the file",
        )
    return content


def read_text(path: Path) -> str:
    """UTF-8 text of a file of at most 1 MB.

    Raises
    ------
    RequestError: unreadable, not a regular file, too large, or not UTF-8.
    """
    try:
        if not path.is_file():
            raise RequestError(f"{path}: no such file", remedy="correct the path")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise RequestError(
                f"{path}: {size:,} bytes",
                expected=f"at most {MAX_FILE_BYTES:,} bytes",
                remedy="shorten the texts",
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{path}: not UTF-8 text", expected="UTF-8", remedy="save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RequestError(
            f"{path}: cannot be read ({reason})", remedy="correct the path or the permissions"
        ) from error


def images_of(folder: Path) -> dict[str, list[str]]:
    """Per class folder, in the order of their names, its image files relative to ``folder``.

    Raises
    ------
    RequestError: there is no such folder, an image lies outside the class folders, or a class
        folder holds a folder.
    """
    if not folder.is_dir():
        raise RequestError(
            f"{folder}: no such folder",
            expected="a folder with a sub-folder a class, or a .yaml task file",
            remedy="correct the path",
        )
    found: dict[str, list[str]] = {}
    for entry in _visible(folder):
        if entry.is_dir():
            found[entry.name] = [str(file.relative_to(folder)) for file in _class_images(entry)]
        elif entry.suffix.lower() not in (*_NO_IMAGES, ".md"):
            raise RequestError(
                f"{entry}: lies outside the class folders",
                expected="every image in the folder of its class",
                remedy="move it into a class folder",
            )
    return found


def descriptions_of(folder: Path, labels: tuple[str, ...]) -> dict[str, str]:
    """Description of each class that has one.

    Raises
    ------
    RequestError: a description is unreadable, of an unknown class, given twice, or a link that
        leads out of the folder.
    """
    texts: dict[str, str] = {}
    library = folder / DESCRIPTIONS_FILE
    if library.exists():
        _require_inside(library, folder)
        for label, text in read_request_file(library).items():
            if label not in labels:
                raise RequestError(
                    f"{library}: there is no class folder {label!r}",
                    expected=f"one of {', '.join(labels)}",
                    remedy="correct the name",
                )
            texts[label] = text
    for label in labels:
        single = folder / label / DESCRIPTION_FILE
        if single.exists():
            _require_inside(single, folder)
            if label in texts:
                raise RequestError(
                    f"{single}: the class is also described in {library.name}",
                    expected="one description a class",
                    remedy="remove one of them",
                )
            texts[label] = read_text(single)
    return texts


def _require_inside(file: Path, folder: Path) -> None:
    if not file.resolve().is_relative_to(folder.resolve()):
        raise RequestError(
            f"{file}: leads out of {folder}",
            expected="a file in the folder",
            remedy="put the text itself there instead of a link",
        )


def _class_images(folder: Path) -> list[Path]:
    files = [file for file in _visible(folder) if file.suffix.lower() not in _NO_IMAGES]
    for file in files:
        if file.is_dir():
            raise RequestError(
                f"{file}: a folder within a class folder",
                expected="images",
                remedy="move its images up or remove it",
            )
    if not files:
        raise RequestError(
            f"{folder}: a class without images",
            expected="at least one image",
            remedy="add images or remove the folder",
        )
    return files


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise RequestError(
            f"{folder}: cannot be read ({error.strerror})", remedy="correct the permissions"
        ) from error


def _yaml_problem(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)
