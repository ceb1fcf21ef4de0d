"""The stores of the page, whose registry is asked for nothing while it does not answer."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTimeError

from sgps.errors import StoreError
from sgps.registry import ModelRegistry, check_reachable, without_password
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings

SECONDS_TO_ANSWER = 3.0
_SECONDS_BELIEVED = 1.0


class RegistryGate:
    """Whether a registry answers: asked at most once a second, for all who want to know.

    A registry that hangs holds up each caller once for ``seconds`` at most, and nobody as long as
    the same question still waits for its answer. Safe to share between threads.

    Parameters
    ----------
    tracking_uri: of the registry; one in a file is not asked, since no server can hang there.
    """

    def __init__(self, tracking_uri: str, seconds: float) -> None:
        self._uri = tracking_uri
        self._seconds = seconds
        self._lock = threading.Lock()
        self._answer: Future[None] | None = None
        self._asked = 0.0

    def require_answer(self) -> None:
        """Return when the registry answered a moment ago.

        Raises
        ------
        StoreError: it did not.
        """
        if self._uri.startswith("sqlite"):
            return
        with self._lock:
            now = time.monotonic()
            answer = self._answer
            if answer is None or (answer.done() and now - self._asked > _SECONDS_BELIEVED):
                self._asked, answer = now, Future()
                self._answer = answer
                threading.Thread(
                    target=self._ask, args=(answer,), name="sgps-asking", daemon=True
                ).start()
            left = max(0.0, self._asked + self._seconds - now)
        try:
            answer.result(timeout=left)
        except NotInTimeError:
            raise StoreError(
                f"the registry {without_password(self._uri)} does not answer",
                expected=f"an answer within {self._seconds:g} seconds",
                remedy="try again in a moment; if it stays so, tell the operator",
            ) from None

    def _ask(self, answer: Future[None]) -> None:
        try:
            check_reachable(self._uri)
        except BaseException as error:
            answer.set_exception(error)
        else:
            answer.set_result(None)


class PageWorkspace(Workspace):
    """A workspace whose registry is there only while it answers."""

    def __init__(self, opened: Workspace) -> None:
        super().__init__(opened.settings, None, opened.ledger)
        self._gate = RegistryGate(opened.settings.resolved_tracking_uri, SECONDS_TO_ANSWER)

    @property
    def registry(self) -> ModelRegistry:
        """The model registry. Raises StoreError within seconds where it does not answer."""
        self._gate.require_answer()
        return super().registry


def open_page_workspace(settings: Settings) -> PageWorkspace:
    """Open the stores for a page. Raises what :func:`open_workspace` raises."""
    return PageWorkspace(open_workspace(settings))
