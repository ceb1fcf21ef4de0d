"""The tables of an SQLite store: whole or not there, whatever happened to the file before."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest

from sgps.errors import StoreError
from sgps.registry import ModelRegistry
from sgps.registry._mlflow import MlflowClient
from sgps.registry._schema import mlflow_revisions
from sgps.registry._tables import Condition, find_condition, sqlite_file
from sgps.registry.embedded_store import prepare_tables


def run(path: Path, *statements: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as store:
        rows = [row for statement in statements for row in store.execute(statement).fetchall()]
        store.commit()
        return rows


def address(path: Path) -> str:
    return f"sqlite:///{path}"


def kill_when(work: Callable[[], object], ready: Callable[[], bool]) -> None:
    """End a process that does ``work``, as soon as ``ready``."""
    child = get_context("fork").Process(target=work)
    child.start()
    while child.is_alive() and not ready():
        time.sleep(0.001)
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.fixture
def older_store(tmp_path: Path) -> Path:
    """Tables as an older MLflow left them, which is where its migrations go on from."""
    import sqlalchemy
    from alembic import command
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base

    path = tmp_path / "older.db"
    engine = sqlalchemy.create_engine(address(path))
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        configuration = utils._get_alembic_config(address(path))
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "451aebb31d03")
    engine.dispose()
    return path


def test_the_newest_revision_is_that_of_mlflow(empty_store: Path) -> None:
    ((found,),) = run(empty_store, "SELECT version_num FROM alembic_version")
    assert mlflow_revisions().newest == {found}
    assert find_condition(empty_store) is Condition.CURRENT


def test_an_empty_file_or_none_is_to_be_made(tmp_path: Path) -> None:
    assert find_condition(tmp_path / "none.db") is Condition.TO_MAKE
    (tmp_path / "empty.db").touch()
    assert find_condition(tmp_path / "empty.db") is Condition.TO_MAKE


def test_what_mlflow_left_half_made_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "broken.db"
    kill_when(
        lambda: MlflowClient(tracking_uri=address(path), registry_uri=address(path)),
        lambda: size_of(path) > 200_000,
    )
    assert run(path, "SELECT name FROM sqlite_master WHERE name = 'runs'")
    assert find_condition(path) is Condition.TO_MAKE
    assert ModelRegistry(address(path)).search() == []
    assert find_condition(path) is Condition.CURRENT


def test_older_tables_are_upgraded_with_their_content(older_store: Path) -> None:
    run(older_store, "INSERT INTO experiments (name, lifecycle_stage) VALUES ('mine', 'active')")
    assert find_condition(older_store) is Condition.TO_UPGRADE
    registry = ModelRegistry(address(older_store))
    assert "mine" in {found.name for found in registry.client.search_experiments()}
    assert find_condition(older_store) is Condition.CURRENT
    assert [path.name for path in older_store.parent.iterdir() if "making" in path.name] == []


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(older_store: Path) -> None:
    run(
        older_store,
        "INSERT INTO experiments (name, lifecycle_stage) VALUES ('mine', 'active')",
        "CREATE TABLE registered_models (name)",
    )
    before = older_store.read_bytes()
    with pytest.raises(StoreError, match="registered_models"):
        ModelRegistry(address(older_store))
    assert older_store.read_bytes() == before


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE alembic_version (version_num)", "INSERT INTO alembic_version VALUES ('x')"),
        ("CREATE TABLE patients (name)",),
        ("CREATE TABLE experiments (name)", "INSERT INTO experiments VALUES ('of somebody else')"),
    ],
)
def test_the_file_of_another_program_is_left_alone(
    statements: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "other.db"
    run(path, *statements)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="cannot read"):
        ModelRegistry(address(path))
    assert path.read_bytes() == before


def test_tables_are_made_for_a_server(tmp_path: Path) -> None:
    prepare_tables("sqlite:///mlflow.db", tmp_path / "mlflow")
    path = tmp_path / "mlflow" / "mlflow.db"
    assert find_condition(path) is Condition.CURRENT
    assert run(path, "SELECT count(*) FROM experiments") == [(0,)]
    before = path.stat().st_mtime_ns
    prepare_tables(address(path), tmp_path / "elsewhere")
    assert path.stat().st_mtime_ns == before
    assert not (tmp_path / "elsewhere").exists()


def test_tables_that_cannot_be_made_are_told_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    run(path, "CREATE TABLE patients (name)")
    with pytest.raises(StoreError, match=r"other\.db"):
        prepare_tables(address(path), tmp_path)
    (tmp_path / "text.db").write_text("no database, but a text of some length " * 9)
    with pytest.raises(StoreError, match="file is not a database"):
        prepare_tables(address(tmp_path / "text.db"), tmp_path)


def test_only_files_are_prepared(tmp_path: Path) -> None:
    for uri in ("postgresql://db/mlflow", "http://127.0.0.1:1", "sqlite://", "sqlite:///:memory:"):
        assert sqlite_file(uri) is None
        prepare_tables(uri, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    assert sqlite_file("sqlite:////a/b.db?timeout=3") == Path("/a/b.db")
