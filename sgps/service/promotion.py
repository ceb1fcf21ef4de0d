"""Whether a candidate generator takes the place of the one in use."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgps.audit import Ledger
from sgps.errors import ConflictError, StoreError, UnknownNameError
from sgps.service.generator_documents import read_documents
from sgps.service.sbom import SBOM_FILE, GeneratorComponent, write_sbom
from sgps.settings import Settings, require_writable
from sgps.synthesizer.generator_folder import (
    GENERATOR_FILES,
    KNOWN_CLASSES_FILES,
    find_generator,
)

if TYPE_CHECKING:
    from sgps.synthesizer import Synthesizer

CURRENT = "current"
RECORD_FILE = "promotion.json"
LEDGER_KIND = "promotion"


@dataclass(frozen=True)
class PromotionDecision:
    """What was decided, and on which figures.

    difference, low, high: accuracy of the candidate minus that of the incumbent on the same
    episodes, with its 95 % interval; None where there was nothing to compare with. generator: the
    generator in use from now on.
    """

    promoted: bool
    reason: str
    candidate_sha256: str
    incumbent_sha256: str
    difference: float | None
    low: float | None
    high: float | None
    generator: str


def current_folder(settings: Settings) -> Path:
    """Where the promoted generator lies, if there is one."""
    return settings.home_folder / "generators" / CURRENT


def find_incumbent(settings: Settings) -> str:
    """Name or path of the generator in use: the promoted one, or that of the settings.

    Empty where there is none at all. One that an interrupted promotion set aside is put back.
    Raises StoreError where it cannot be.
    """
    promoted = current_folder(settings)
    if not promoted.exists() and any(_set_aside(promoted)):
        with _one_at_a_time(settings):
            _put_back(promoted)
    if (promoted / "generator.json").is_file():
        return str(promoted)
    try:
        find_generator(settings.generator)
    except UnknownNameError:
        return ""
    return settings.generator


def decide_and_promote(
    candidate: Path,
    paired: dict[str, float] | None,
    settings: Settings,
    provenance: dict[str, Any],
    *,
    compared_sha256: str | None = None,
) -> PromotionDecision:
    """Promote a candidate that is measurably better, and enter the decision in the ledger.

    A promoted generator carries the decision and a bill of materials of the environment that it
    was promoted in. One decision is taken at a time; a promotion that was interrupted between
    generator and ledger is entered first.

    Parameters
    ----------
    candidate: its checkpoint folder.
    paired: ``difference``, ``low`` and ``high`` of candidate minus incumbent; None where there is
        no incumbent.
    provenance: which run decided, kept with the decision.
    compared_sha256: digest of the generator that the figures are against, "" where there was none;
        None where that is not known.

    Raises
    ------
    ConflictError: another generator has come into use since the comparison.
    IntegrityError: the candidate's files are damaged, or the environment cannot be described.
    StoreError: the ledger or the folder of generators cannot be written.
    """
    with (
        _one_at_a_time(settings),
        Ledger.open(settings.resolved_ledger_url.get_secret_value()) as ledger,
    ):
        ledger.check_writable()
        _put_back(current_folder(settings))
        _enter_interrupted(current_folder(settings), ledger)
        decision, record = _judge(candidate, paired, settings, compared_sha256)
        record["provenance"] = provenance
        if decision.promoted:
            generator = GeneratorComponent("generator", decision.candidate_sha256)
            record["sbom_sha256"] = _install(candidate, current_folder(settings), record, generator)
        ledger.append(LEDGER_KIND, decision.candidate_sha256, record)
    return decision


def _judge(
    candidate: Path,
    paired: dict[str, float] | None,
    settings: Settings,
    compared_sha256: str | None,
) -> tuple[PromotionDecision, dict[str, Any]]:
    """What is decided, and the record of it."""
    incumbent = find_incumbent(settings)
    loaded = _load(candidate, settings)
    candidate_sha256, known = loaded.generator_sha256, loaded.known_classes
    incumbent_sha256 = _load(incumbent, settings).generator_sha256 if incumbent else ""
    if compared_sha256 is not None and compared_sha256 != incumbent_sha256:
        raise ConflictError(
            "another generator has come into use since the comparison",
            expected=f"the generator {compared_sha256[:12] or '(none)'}, not"
            f" {incumbent_sha256[:12] or '(none)'}",
            remedy="compare with the one in use now: run the retraining again",
        )
    promoted, reason = _decide(paired)
    figures = paired or {}
    decision = PromotionDecision(
        promoted=promoted,
        reason=reason,
        candidate_sha256=candidate_sha256,
        incumbent_sha256=incumbent_sha256,
        difference=figures.get("difference"),
        low=figures.get("low"),
        high=figures.get("high"),
        generator=str(current_folder(settings)) if promoted else incumbent,
    )
    return decision, {
        **asdict(decision),
        "known_classes_sha256": known.sha256 if known else None,
    }


@contextlib.contextmanager
def _one_at_a_time(settings: Settings) -> Iterator[None]:
    """Wait for, and keep off, other decisions of this home."""
    folder = settings.home_folder / "run"
    require_writable(folder)
    try:
        descriptor = os.open(folder / "promotion.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _set_aside(target: Path) -> Iterator[Path]:
    """Generators that a promotion put aside; left where it is under way or was interrupted."""
    return target.parent.glob(f".{target.name}.*.replaced")


def _put_back(target: Path) -> None:
    """Use the generator again that an interrupted promotion set aside; no other stays."""
    kept = sorted(_set_aside(target), key=lambda path: path.stat().st_mtime_ns)
    try:
        if kept and not target.exists():
            kept.pop().rename(target)
    except OSError as error:
        raise StoreError(f"{target}: cannot be written ({error.strerror})") from error
    for folder in (*kept, *target.parent.glob(f".{target.name}.*.partial")):
        shutil.rmtree(folder, ignore_errors=True)


def _enter_interrupted(target: Path, ledger: Ledger) -> None:
    """Enter the decision by which the generator in use was put there, if the ledger lacks it."""
    try:
        record = json.loads((target / RECORD_FILE).read_text(encoding="utf-8"))
        subject = str(record["candidate_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if all(entry.record != record for entry in ledger.entries(LEDGER_KIND, subject)):
        ledger.append(LEDGER_KIND, subject, record)


def _load(generator: Path | str, settings: Settings) -> Synthesizer:
    from sgps.synthesizer import Synthesizer  # noqa: PLC0415 heavy

    return Synthesizer.load(generator, device="cpu", allow_downloads=settings.allow_downloads)


def _decide(paired: dict[str, float] | None) -> tuple[bool, str]:
    if paired is None:
        return True, "there was no generator in use"
    interval = (
        f"{100 * paired['difference']:+.2f} points "
        f"({100 * paired['low']:+.2f} to {100 * paired['high']:+.2f})"
    )
    if paired["low"] > 0:
        return True, f"better by {interval}"
    return False, f"not measurably better: {interval}"


def _install(
    candidate: Path, target: Path, record: dict[str, Any], generator: GeneratorComponent
) -> str:
    """Put the candidate in place of ``target``; the digest of its bill of materials."""
    mark = secrets.token_hex(6)
    staging = target.with_name(f".{target.name}.{mark}.partial")
    replaced = target.with_name(f".{target.name}.{mark}.replaced")
    try:
        staging.mkdir(parents=True)
        for name in GENERATOR_FILES:
            shutil.copyfile(candidate / name, staging / name)
        for name in KNOWN_CLASSES_FILES:
            if (candidate / name).is_file():
                shutil.copyfile(candidate / name, staging / name)
        for name, content in read_documents(str(candidate)).items():
            (staging / name).write_bytes(content)
        sbom_sha256 = write_sbom(staging / SBOM_FILE, generator)
        text = json.dumps({**record, "sbom_sha256": sbom_sha256}, indent=2) + "\n"
        (staging / RECORD_FILE).write_text(text, encoding="utf-8")
        if target.exists():
            target.rename(replaced)
        staging.rename(target)
    except OSError as error:
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        raise StoreError(
            f"{target}: cannot be written ({error.strerror or error})",
            expected="a folder with room and permission to write",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
    return sbom_sha256
