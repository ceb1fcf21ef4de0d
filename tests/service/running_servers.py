"""Small web servers to start, watch and end."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sgps.service._servers import Health, Port
from sgps.service.processes import (
    Server,
)

SECONDS = 15.0

WEB = """\
import http.server, os, sys
print("started as", os.getpid(), flush=True)
class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{}')
        if self.path == "/end":
            print("out of ink: s3cret", flush=True)
            os._exit(7)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Quiet).serve_forever()
"""

STUBBORN = """\
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
child = subprocess.Popen([sys.executable, "-I", "-S", "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"],
    start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def free_port() -> int:
    with closing(socket.socket()) as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def web_server(folder: Path, port: int, **changes: object) -> Server:
    values: dict[str, object] = {
        "name": "web",
        "title": "Web",
        "command": (sys.executable, "-I", "-S", "-c", WEB, str(port)),
        "environment": {},
        "folder": folder / "web",
        "address": f"http://127.0.0.1:{port}",
        "health": Health(f"http://127.0.0.1:{port}/"),
        "port": Port("127.0.0.1", port, "WEB_PORT"),
    }
    return Server(**{**values, **changes})  # type: ignore[arg-type]


def wait_for(true: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def pid_in(log: Path) -> int:
    return int(log.read_text().split()[-1])


def end_by_itself(port: int) -> None:
    """Let a server of ``WEB`` end with exit code 7."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /end HTTP/1.0\r\n\r\n")
        connection.recv(100)


@contextmanager
def work_beside(work: Callable[[], None], page_port: int) -> Iterator[Callable[[object], None]]:
    """Begin ``work`` in a thread when called; the page ends by itself after it, failed or not."""

    def run() -> None:
        try:
            work()
        finally:
            end_by_itself(page_port)

    begun: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        yield lambda _state: begun.append(pool.submit(run))
    begun[0].result()


def starts_in(log: Path) -> list[int]:
    """Process numbers that a server of ``WEB`` had, oldest first."""
    return [int(line.split()[-1]) for line in log.read_text().splitlines() if "started" in line]
