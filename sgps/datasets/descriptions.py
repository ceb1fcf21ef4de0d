"""What classes look like, in words: one YAML file a dataset.

dataset: ham10000
modality: dermoscopy
classes:
  mel: {text: "Asymmetric, with several colours ...", source: "..."}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sgps.errors import InputError

_MAX_BYTES = 1_000_000
_MAX_TEXT = 8_000


@dataclass(frozen=True)
class ClassDescription:
    """text: how a class appears under its dataset's modality. source: where that is written."""

    text: str
    source: str


class DescriptionLibrary:
    """The class descriptions of several datasets."""

    def __init__(self, classes: Mapping[str, Mapping[str, ClassDescription]]) -> None:
        self._classes = {dataset: dict(labels) for dataset, labels in classes.items()}

    @classmethod
    def load(cls, folder: Path) -> DescriptionLibrary:
        """Read every ``.yaml`` file directly in ``folder``.

        Raises
        ------
        InputError: no such folder, or a file that is unreadable, of another form, of more than a
            megabyte, with a text of more than 8,000 characters, or about a dataset that another
            file describes too.
        """
        if not folder.is_dir():
            raise InputError(f"{folder}: not a folder", expected="a folder of class descriptions")
        found: dict[str, dict[str, ClassDescription]] = {}
        for path in sorted(folder.glob("*.yaml")):
            dataset, classes = _read_file(path)
            if dataset in found:
                raise InputError(
                    f"{path}: dataset {dataset} is described twice",
                    expected="one file for each dataset",
                )
            found[dataset] = classes
        return cls(found)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of the datasets described, sorted."""
        return tuple(sorted(self._classes))

    def labels(self, dataset: str) -> tuple[str, ...]:
        """The labels described for ``dataset``, sorted; none where it is unknown."""
        return tuple(sorted(self._classes.get(dataset, {})))

    def get(self, dataset: str, label: str) -> ClassDescription | None:
        """The description of one class, None where there is none."""
        return self._classes.get(dataset, {}).get(label)

    def texts(self, dataset: str, labels: Sequence[str]) -> list[str]:
        """The texts of ``labels`` in their order, "" where there is none."""
        described = self._classes.get(dataset, {})
        return [described[label].text if label in described else "" for label in labels]


def _read_file(path: Path) -> tuple[str, dict[str, ClassDescription]]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(
                f"{path}: {path.stat().st_size:,} bytes", expected=f"at most {_MAX_BYTES:,}"
            )
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error})", expected="YAML in UTF-8") from error
    fields = _mapping(content, str(path))
    dataset = _text(fields.get("dataset"), f"{path}: dataset")
    labels = _mapping(fields.get("classes"), f"{path}: classes")
    return dataset, {
        _text(label, f"{path}: class {label!r}"): _description(entry, f"{path}: class {label}")
        for label, entry in labels.items()
    }


def _description(entry: object, where: str) -> ClassDescription:
    fields = _mapping(entry, where)
    text = _text(fields.get("text"), f"{where}: text")
    return ClassDescription(text=text, source=_text(fields.get("source"), f"{where}: source"))


def _mapping(value: object, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {type(value).__name__}", expected="names with values")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(
            f"{where}: {value!r}"[:300],
            expected="text",
            remedy="put it in quotes where YAML takes it for something else",
        )
    if len(value) > _MAX_TEXT:
        raise InputError(
            f"{where}: {len(value):,} characters", expected=f"at most {_MAX_TEXT:,} characters"
        )
    return " ".join(value.split())
