"""The outcome of a benchmark suite on file: JSON for machines, a page for people, a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sgps.errors import InputError
from sgps.evaluation.html_report import render_page
from sgps.files import write_all_whole

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
    write_all_whole(texts)
    return folder / PAGE_NAME
