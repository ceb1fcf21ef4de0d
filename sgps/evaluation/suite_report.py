"""The outcome of a benchmark suite on file: JSON for machines, a page for people, a table."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sgps.errors import InputError, StoreError
from sgps.evaluation.html_report import render_page

JSON_NAME = "benchmark.json"
PAGE_NAME = "benchmark.html"
EPISODES_NAME = "episodes.csv"
_DIGITS = 6


def write_suite_report(
    suite: Mapping[str, Any], folder: Path, *, episodes: pd.DataFrame | None = None
) -> Path:
    """Write ``benchmark.json`` and ``benchmark.html`` into a folder, which is made as needed.

    All are written or none is; what was there before stays until all are ready. Returns the
    path of the page.

    suite: ``suite`` (command, commit, seed, ...) and ``settings``, each in the form of
        `BenchmarkReport.to_dict`.
    episodes: also written, as ``episodes.csv``; see :func:`sgps.evaluation.episode_table`.

    Raises
    ------
    InputError: no setting was measured, or a figure is not finite. StoreError: the folder or a
    file cannot be written.
    """
    if not suite["settings"]:
        raise InputError(
            "the suite holds no measured setting",
            expected="at least one",
            remedy="see what was skipped, and why",
        )
    try:
        content = json.dumps(suite, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise InputError(f"the suite cannot be written as JSON: {error}") from error
    texts = {folder / JSON_NAME: content, folder / PAGE_NAME: render_page(suite)}
    if episodes is not None:
        texts[folder / EPISODES_NAME] = episodes.to_csv(
            index=False, lineterminator="\n", float_format=f"%.{_DIGITS}g"
        )
    _write_all(texts)
    return folder / PAGE_NAME


def _write_all(texts: Mapping[Path, str]) -> None:
    mark = secrets.token_hex(4)
    partials = {path: path.with_name(f".{path.name}.{mark}.partial") for path in texts}
    try:
        for path in texts:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(None, "a folder has its name", str(path))
        try:
            for path, text in texts.items():
                partials[path].write_text(text, encoding="utf-8")
            for path, partial in partials.items():
                os.replace(partial, path)  # noqa: PTH105  (Path.replace is the same call)
        finally:
            for partial in partials.values():
                partial.unlink(missing_ok=True)
    except OSError as error:
        place = error.filename or next(iter(texts))
        raise StoreError(
            f"{place}: cannot be written ({error.strerror or error})",
            expected="a writable folder",
            remedy="choose another",
        ) from error
