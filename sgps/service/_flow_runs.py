"""Flow runs of Prefect, which keep the parameters of a request: title, texts, paths, pseudonyms.

Prefect is reached by its HTTP API, at the address that commands use: ``PREFECT_API_URL``, or the
server of ``sgps up``.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from sgps.service._mlflow_accounts import read_accounts
from sgps.service.addresses import LOOPBACK, prefect_api
from sgps.settings import PrefectAccess, Settings

FLOW = "synthesize"
_PAGE = 200
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_TRIES = 6
_BETWEEN_SECONDS = 1.0
_LOG_SECONDS = 5.0
_POLL_SECONDS = 0.1
_BUSY_SECONDS = 10.0


class NoAnswerError(Exception):
    """Prefect does not answer, or refuses; the text says where and why."""


class FlowRuns:
    """The flow runs of one Prefect server; a context manager.

    Raises (all methods)
    ------
    NoAnswerError: the server cannot be asked.
    """

    def __init__(self, settings: Settings) -> None:
        access = PrefectAccess()
        port = settings.prefect_port
        self.address = (access.url or prefect_api(settings.page_host, port)).rstrip("/")
        parts = urlsplit(self.address)
        self._is_own = parts.hostname in (*LOOPBACK, settings.page_host) and parts.port == port
        self._settings = settings
        pair = access.auth_string.get_secret_value() if access.auth_string else ""
        if not pair and self._is_own:
            accounts = read_accounts(settings.basic_auth)
            pair = accounts[0].pair if accounts else ""
        user, _, password = pair.partition(":")
        self._client = httpx.Client(
            base_url=self.address,
            auth=(user, password) if pair else None,
            timeout=_TIMEOUT,
            trust_env=not self._is_own,
        )

    @property
    def is_used(self) -> bool:
        """Whether this installation has ever had to do with Prefect."""
        return PrefectAccess().url is not None or self._database.is_file()

    def existing(self, run_ids: Iterable[str]) -> list[str]:
        """Those of ``run_ids`` that the server has."""
        found = []
        for run_id in dict.fromkeys(run_ids):
            if self._ask("GET", f"/flow_runs/{run_id}", missing_is_fine=True) is not None:
                found.append(run_id)
        return found

    def search(self, matches: Callable[[Mapping[str, Any]], bool]) -> list[str]:
        """Runs of the flow ``synthesize`` whose parameters match, the newest first."""
        return [str(run["id"]) for run in self._runs() if matches(run.get("parameters") or {})]

    def delete(self, run_id: str) -> None:
        """Delete a run with its receipt, result and log; one that is gone already is no fault."""
        of_run = {"flow_run_id": {"any_": [run_id]}}
        for artifact in self._ask("POST", "/artifacts/filter", {"artifacts": of_run}):
            self._remove_result(artifact.get("data"))
            self._ask("DELETE", f"/artifacts/{artifact['id']}", missing_is_fine=True)
        self._ask("DELETE", f"/flow_runs/{run_id}", missing_is_fine=True)
        until = time.monotonic() + _LOG_SECONDS  # the server deletes the log a moment later
        while self._ask("POST", "/logs/filter", {"logs": of_run, "limit": 1}):
            if time.monotonic() >= until:
                raise NoAnswerError(f"{self.address} keeps the log of flow run {run_id}")
            time.sleep(_POLL_SECONDS)

    def compact(self) -> bool:
        """Rewrite the SQLite file of the home's own server; False where that cannot be done here.

        Deleted rows are left in the free space of the file until then.
        """
        own_file = self._is_own and self._settings.prefect_database_url is None
        if not own_file or not self._database.is_file():
            return False
        try:
            with closing(sqlite3.connect(self._database, timeout=_BUSY_SECONDS)) as store:
                store.execute("VACUUM")
                busy, *_ = store.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        return not busy

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> FlowRuns:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _database(self) -> Path:
        return self._settings.home_folder / "prefect" / "prefect.db"

    def _remove_result(self, data: Any) -> None:
        """Delete the file of a result, such as an error that names a file, from the home."""
        place = data.get("storage_key") if isinstance(data, Mapping) else None
        folder = (self._database.parent / "storage").resolve()
        if isinstance(place, str) and (folder / place).resolve().parent == folder:
            with suppress(OSError):
                (folder / place).unlink()

    def _runs(self) -> Iterator[Mapping[str, Any]]:
        query = {"flows": {"name": {"any_": [FLOW]}}, "sort": "ID_DESC", "limit": _PAGE}
        offset = 0
        while page := self._ask("POST", "/flow_runs/filter", {**query, "offset": offset}):
            yield from page
            offset += len(page)

    def _ask(
        self, method: str, path: str, body: Any = None, *, missing_is_fine: bool = False
    ) -> Any:
        """The JSON of the answer; None for an empty one, and for 404 where that is fine."""
        with self._no_answer():
            for left in reversed(range(_TRIES)):
                answer = self._client.request(method, path, json=body)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or not left:
                    break
                time.sleep(_BETWEEN_SECONDS)  # its SQLite is locked for a moment
            if answer.status_code == httpx.codes.NOT_FOUND and missing_is_fine:
                return None
            answer.raise_for_status()
            return answer.json() if answer.content else None

    @contextmanager
    def _no_answer(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPStatusError as error:
            code = error.response.status_code
            who = ": set PREFECT_API_AUTH_STRING=USER:PASSWORD" if code in (401, 403) else ""
            raise NoAnswerError(f"{self.address} answers {code}{who}") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise NoAnswerError(f"nothing answers at {self.address}") from error
