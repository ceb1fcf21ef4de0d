"""Real servers for the length of a session: PostgreSQL, and an S3 store."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

S3_SECONDS = 60


def _postgresql_binaries() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    candidates = [*folders, *([Path(found).resolve().parent] if found else [])]
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


def _as_server_user() -> dict[str, str | int]:
    """PostgreSQL refuses to run as root; use its own account where we are root."""
    if os.geteuid() != 0:
        return {}
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("running as root, and there is no postgres account to start the server as")
    return {"user": account.pw_uid, "group": account.pw_gid}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL (without a database name) of a server in a temporary folder on 127.0.0.1."""
    binaries = _postgresql_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL is installed")
    identity = _as_server_user()
    folder = Path(tempfile.mkdtemp(prefix="sgps-postgresql-", dir="/tmp"))
    if identity:
        os.chown(folder, int(identity["user"]), int(identity["group"]))
    data, port = folder / "data", free_port()
    password_file = folder / "password"
    password_file.write_text("not-to-be-shown")
    password_file.chmod(0o644)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)}
    common = {"cwd": folder, "env": environment, "extra_groups": [] if identity else None}
    common |= identity
    subprocess.run(
        [
            *(binaries / "initdb", "-D", data, "-U", "sgps", "-A", "scram-sha-256", "-N"),
            *("-E", "UTF8", "--pwfile", password_file),
        ],
        check=True,
        capture_output=True,
        **common,
    )
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    server = subprocess.Popen(
        [binaries / "postgres", "-D", data, "-p", str(port), "-F", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **common,
    )
    try:
        address = f"postgresql://sgps:not-to-be-shown@127.0.0.1:{port}"
        _wait_until_ready(address, server)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(address: str, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    for _ in range(100):
        try:
            psycopg.connect(f"{address}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            if server.poll() is not None:
                pytest.fail("the PostgreSQL server stopped while starting")
            time.sleep(0.1)
        else:
            return
    pytest.fail("the PostgreSQL server did not answer within 10 seconds")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """URL of a fresh database."""
    import psycopg

    name = f"ledger_{time.monotonic_ns()}"
    with psycopg.connect(f"{postgresql_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{postgresql_server}/{name}"
    with psycopg.connect(f"{postgresql_server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment that leads an S3 client to an empty store (moto) on 127.0.0.1."""
    pytest.importorskip("moto", reason="no S3 server is installed")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("s3") / "log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as server:
        try:
            _wait_until_open(port, server, log)
            yield {
                "MLFLOW_S3_ENDPOINT_URL": address,
                "AWS_ENDPOINT_URL": address,
                "AWS_ACCESS_KEY_ID": "sgps",
                "AWS_SECRET_ACCESS_KEY": "not-to-be-shown-either",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
        finally:
            server.terminate()


def _wait_until_open(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + S3_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the S3 server does not answer:\n{log.read_text()[-2000:]}")
