"""The figures of a benchmark suite as a Markdown table between two marks of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sgps.errors import InputError, StoreError
from sgps.evaluation import bars
from sgps.evaluation.bars import Setting
from sgps.evaluation.methods import SGPS
from sgps.files import write_whole

START = "<!-- benchmark:start -->"
END = "<!-- benchmark:end -->"
_DIGEST_CHARACTERS = 12
_ABSENT = "–"
_HEAD = (
    "setting",
    "SGPS",
    "best on the public base",
    "best on the meta-trained base",
    "SGPS minus the best",
    "episodes",
    "SGPS is",
)


def write_readme_table(suite: Mapping[str, Any], path: Path) -> None:
    """Replace what stands between the marks of a Markdown file by the table of a suite.

    The rest of the file stays as it is, byte for byte; the file is written whole or not at all.

    Raises
    ------
    InputError: the file does not hold each mark once, the start first, or is not UTF-8.
    StoreError: the file cannot be read or written.
    """
    write_whole(path, between_marks(path, render_readme_table(suite), START, END))


def between_marks(path: Path, table: str, start: str, end: str) -> str:
    """Return the text of a Markdown file with a table between two marks; the rest as it is.

    Raises
    ------
    InputError: the file does not hold each mark once, the start first, or is not UTF-8.
    StoreError: the file cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8", expected="a Markdown file") from error
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror or error})", expected="a Markdown file"
        ) from error
    head, found_start, rest = text.partition(start)
    _, found_end, tail = rest.partition(end)
    if not (found_start and found_end) or start in rest or end in head + tail:
        raise InputError(
            f"{path}: no place for the benchmark table",
            expected=f"once {start}, and once {end} after it",
            remedy="put each on a line of its own where the table is to stand",
        )
    return f"{head}{start}\n{table}\n{end}{tail}"


def render_readme_table(suite: Mapping[str, Any]) -> str:
    """Return the table of a suite as Markdown, with its verdict and its provenance."""
    settings = suite["settings"]
    rows = [_row(setting) for setting in settings]
    lines = [_line(_HEAD), "|" + "---|" * len(_HEAD), *map(_line, rows)]
    return "\n".join([*lines, "", _verdict(suite), "", _provenance(suite)])


def _row(setting: Setting) -> tuple[str, ...]:
    standing = bars.judge_setting(setting)
    own = setting["methods"].get(SGPS, {}).get("accuracy")
    best = (bars.best_baseline(setting, base=base) for base in bars.BASES)
    compared = (
        (bars.difference_text(standing.difference), f"{standing.difference.episodes:,}")
        if standing.difference is not None
        else (_ABSENT, _ABSENT)
    )
    return (
        standing.setting,
        _ABSENT if own is None else bars.share_text(own),
        *(_named_share(setting, name) for name in best),
        *compared,
        standing.verdict,
    )


def _named_share(setting: Setting, name: str | None) -> str:
    if name is None:
        return _ABSENT
    share = bars.share_text(setting["methods"][name]["accuracy"])
    return f"{bars.method_label(name)} {share}"


def _verdict(suite: Mapping[str, Any]) -> str:
    counts = bars.count_verdicts(bars.judge_suite(suite))
    return (
        "Accuracy in per cent and differences in points, each with its 95 % interval; differences "
        "are paired over the episodes that both ran, and the best baseline is picked after the "
        "fact. Intervals are over episodes of the same images: they say how figures vary with "
        f"other draws, not with other patients. Of {counts['settings']} settings SGPS is clearly "
        f"above every baseline in {counts['clearly_above']}, not below any baseline in "
        f"{counts['lenient']}, and below one in {counts['below']}."
    )


def _provenance(suite: Mapping[str, Any]) -> str:
    about, settings = suite["suite"], suite["settings"]
    digests = {
        setting["settings"]["dataset"]: setting["settings"]["data_digest"] for setting in settings
    }
    data = ", ".join(
        f"{_escape(name)} {_code(digest[:_DIGEST_CHARACTERS])}" for name, digest in digests.items()
    )
    commit = _code(about["commit"]) if about.get("commit") else "that is not known"
    kept = about.get("predictions_from_cache", 0)
    cached = f" {kept:,} predictions were read from a file of earlier runs." if kept else ""
    changed = " (with local changes)" if about.get("checkout_changed") else ""
    return (
        f"Measured by {_code(about['command'])} at commit {commit}{changed}, seed "
        f"{about['seed']}.{cached} Digests of the data: {data}."
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escape, cells)) + " |"


def _escape(text: str) -> str:
    """Return a text that neither ends a cell nor opens a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _code(text: object) -> str:
    """Return a text as Markdown code on one line."""
    return "`" + " ".join(str(text).replace("`", "'").replace("<!--", "< !--").split()) + "`"
