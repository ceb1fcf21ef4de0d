"""``sgps doctor``: is everything there that the commands need?"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

import typer

from sgps.cli.output import format_rows, write_json, write_result
from sgps.cli.registration import JsonFlag, register
from sgps.errors import OperatorError, SgpsError

if TYPE_CHECKING:
    from sgps.settings import Settings

MIN_FREE_BYTES = 2_000_000_000
PACKAGES = ("sgps", "torch", "timm", "mlflow", "prefect", "great-expectations", "dvc")


@dataclass(frozen=True)
class Examination:
    """What one look found; ``broken`` is what some command cannot work with."""

    subject: str
    state: Literal["ok", "warning", "broken"]
    detail: str


def add_commands(app: typer.Typer) -> None:
    """Add ``doctor``."""
    register(
        app,
        "doctor",
        doctor,
        example="sgps doctor\nsgps doctor --json",
    )


def doctor(json: JsonFlag = False) -> None:
    """Look whether everything needed is there.

    Exit code 1 when something is broken.
    """
    from sgps.settings import load_settings

    settings = load_settings()
    found = [_examine(subject, look, settings) for subject, look in _LOOKS.items()]
    if json:
        write_json({"healthy": not _broken(found), "checks": [asdict(one) for one in found]})
    else:
        rows = [[one.subject, one.state, one.detail] for one in found]
        write_result(format_rows(["subject", "state", "detail"], rows))
    if _broken(found):
        raise typer.Exit(1)


def _broken(found: list[Examination]) -> bool:
    return any(one.state == "broken" for one in found)


def _examine(subject: str, look: Callable[[Settings], str], settings: Settings) -> Examination:
    try:
        return Examination(subject, "ok", look(settings))
    except _MinorFaultError as fault:
        return Examination(subject, "warning", str(fault))
    except SgpsError as error:
        return Examination(subject, "broken", str(error))
    except Exception as error:
        return Examination(subject, "broken", f"{type(error).__name__}: {error}")


class _MinorFaultError(Exception):
    """Something is not as it should be, and the commands work all the same."""


def _look_at_python(_settings: Settings) -> str:
    running = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        raise OperatorError(f"Python {running}; 3.11 or 3.12 is needed")
    return running


def _look_at_settings(_settings: Settings) -> str:
    from sgps.settings import misspelt_variables

    wrong = misspelt_variables(os.environ)
    if wrong:
        raise _MinorFaultError("; ".join(wrong))
    own = sorted(name for name in os.environ if name.startswith("SGPS_"))
    return ", ".join(own) or "all as they come"


def _look_at_packages(_settings: Settings) -> str:
    try:
        return ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError as error:
        raise OperatorError(f"{error.name} is not installed; run make setup") from error


def _look_at_encoders(_settings: Settings) -> str:
    from sgps.encoders import DEFAULT_TARGET, create_target_network, load_text_encoder

    create_target_network(DEFAULT_TARGET)
    return f"{DEFAULT_TARGET}, {load_text_encoder().name}"


def _look_at_generator(settings: Settings) -> str:
    from sgps.synthesizer import Synthesizer

    synthesizer = Synthesizer.load(settings.generator, device="cpu")
    return f"{synthesizer.generator_name} {synthesizer.generator_sha256[:12]}"


def _look_at_home(settings: Settings) -> str:
    from sgps.settings import open_to_others, require_writable

    require_writable(settings.home_folder)
    warning = open_to_others(settings.home_folder)
    if warning:
        raise _MinorFaultError(warning)
    return str(settings.home_folder)


def _look_at_ledger(settings: Settings) -> str:
    from sgps.audit import Ledger

    with Ledger.open(settings.resolved_ledger_url.get_secret_value()) as ledger:
        ledger.check_writable()
        return ledger.address


def _look_at_registry(settings: Settings) -> str:
    from sgps.registry import ModelRegistry
    from sgps.service._mlflow_accounts import sign_in_to_own_server

    sign_in_to_own_server(settings)
    registry = ModelRegistry(settings.resolved_tracking_uri, settings.artifact_folder)
    registry.check_writable()
    return registry.tracking_uri


def _look_at_disk(settings: Settings) -> str:
    folder = settings.home_folder
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free"
    if free < MIN_FREE_BYTES:
        raise _MinorFaultError(
            f"{text} at {folder}; {MIN_FREE_BYTES / 1e9:.0f} GB or more is advised"
        )
    return text


def _look_at_device(settings: Settings) -> str:
    from sgps.synthesizer.synthesizer import choose_device

    return str(choose_device(settings.device))


_LOOKS: dict[str, Callable[[Settings], str]] = {
    "python": _look_at_python,
    "packages": _look_at_packages,
    "settings": _look_at_settings,
    "encoders": _look_at_encoders,
    "generator": _look_at_generator,
    "home": _look_at_home,
    "ledger": _look_at_ledger,
    "registry": _look_at_registry,
    "disk": _look_at_disk,
    "device": _look_at_device,
}
