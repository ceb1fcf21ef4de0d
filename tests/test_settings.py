"""The reader of the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sgps.errors import InputError, StoreError
from sgps.settings import (
    OFFLINE_DEFAULTS,
    Settings,
    apply_flow_defaults,
    apply_offline_defaults,
    load_settings,
    make_private_folder,
    misspelt_variables,
    override_settings,
    require_writable,
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, sgps_home: Path) -> None:
    """Nothing set but the home; what is set during the test is taken back."""
    for name in (*OFFLINE_DEFAULTS, "HF_HUB_OFFLINE", "PREFECT_HOME", "PREFECT_LOGGING_LEVEL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_everything_lies_under_the_home(sgps_home: Path) -> None:
    settings = load_settings()
    assert settings.resolved_tracking_uri == f"sqlite:///{sgps_home}/mlflow/mlflow.db"
    assert settings.resolved_ledger_url.get_secret_value() == f"sqlite:///{sgps_home}/ledger.db"
    assert settings.artifact_folder.is_relative_to(sgps_home)


def test_libraries_are_kept_from_calling_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    apply_offline_defaults()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["DO_NOT_TRACK"] == "0"


def test_the_hub_is_open_where_downloads_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGPS_ALLOW_DOWNLOADS", "true")
    apply_offline_defaults()
    assert "HF_HUB_OFFLINE" not in os.environ


def test_prefect_lies_under_the_home(sgps_home: Path) -> None:
    apply_flow_defaults(log_level="WARNING")
    assert os.environ["PREFECT_HOME"] == str(sgps_home / "prefect")
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "WARNING"
    assert sgps_home.is_dir()


def test_overrides_are_checked_like_the_environment() -> None:
    settings = load_settings()
    changed = override_settings(settings, device="cpu", generator=None)
    assert changed == settings.model_copy(update={"device": "cpu"})
    with pytest.raises(InputError, match="abacus"):
        override_settings(settings, device="abacus")


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGPS_MAX_IMAGE_PIXELS", "-1")
    with pytest.raises(InputError, match="SGPS_MAX_IMAGE_PIXELS"):
        load_settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().device = "cpu"  # type: ignore[misc]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "folder")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/x"):
        require_writable(tmp_path / "file" / "x")


def test_a_misspelt_variable_is_named() -> None:
    assert misspelt_variables({"SGPS_PAGE_PORT": "1", "PATH": "x"}) == []
    [line] = misspelt_variables({"SGPS_PAGEPORT": "1"})
    assert line.startswith("SGPS_PAGEPORT is no setting")
    assert line.endswith("did you mean SGPS_PAGE_PORT?")


def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    before = os.umask(0o022)
    try:
        make_private_folder(there / "home" / "run")
    finally:
        os.umask(before)
    modes = [
        path.stat().st_mode & 0o777 for path in (there, there / "home", there / "home" / "run")
    ]
    assert modes == [0o755, 0o700, 0o700]
    (there / "file").write_text("")
    with pytest.raises(OSError, match="exists"):
        make_private_folder(there / "file")
