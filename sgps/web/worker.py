"""The work behind the page: a warm generator, threads that make classifiers, a clock that mends.

Nothing lives here alone: a request is in the outbox before it is worked on, so that whatever is
lost with this process is taken up by the next reconciliation.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from sgps.errors import SgpsError
from sgps.service.exactly_once import Submission, process, status, submit
from sgps.service.identity import RequesterIdentity
from sgps.service.reconcile import reconcile
from sgps.service.requests import SynthesisRequest
from sgps.service.support import ImageOrigin
from sgps.service.synthesis import load_synthesizer
from sgps.service.workspace import Workspace, open_workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer
from sgps.synthesizer.task import ClassSupport, Task
from sgps.web.memory import return_freed_memory, set_aside_what_stays

THREADS = 2
SECONDS_BETWEEN_RECONCILIATIONS = 60.0
_TURNS_BETWEEN_SWEEPS = 60
_SECONDS_TO_STOP = 10.0
_STEPS_KEPT = 256

_log = logging.getLogger("sgps.web.worker")


class Worker:
    """Makes the classifiers that were asked for; safe to share between threads.

    Parameters
    ----------
    synthesizer: a loaded generator; by default that of the settings is loaded at the start.
    chores: called with every reconciliation, such as the sweep of old uploads.
    """

    def __init__(
        self,
        settings: Settings,
        synthesizer: Synthesizer | None = None,
        *,
        chores: Callable[[], object] = lambda: None,
        seconds_between: float = SECONDS_BETWEEN_RECONCILIATIONS,
    ) -> None:
        self._settings = settings
        self._synthesizer = synthesizer
        self._chores = chores
        self._seconds_between = seconds_between
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sgps-synthesis")
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._stopping = threading.Event()
        self._clock = threading.Thread(target=self._keep_mending, name="sgps-mending", daemon=True)
        self._workspace: Workspace | None = None
        self._running: dict[str, Future[Submission]] = {}
        self._steps: OrderedDict[str, list[str]] = OrderedDict()

    def start(self) -> None:
        """Load the generator and begin to reconcile, both in the background."""
        self._clock.start()

    def stop(self) -> None:
        """Finish what is being made, leave the rest to the next start, close the stores."""
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._clock.is_alive():
            self._clock.join(timeout=_SECONDS_TO_STOP)
        with self._opening:
            if self._workspace is not None:
                self._workspace.close()
                self._workspace = None

    @property
    def is_warm(self) -> bool:
        """Whether the generator is loaded."""
        return self._synthesizer is not None

    @property
    def workspace(self) -> Workspace:
        """The stores, opened when they are first needed. Raises StoreError."""
        with self._opening:
            if self._workspace is None:
                self._workspace = open_workspace(self._settings)
            return self._workspace

    def submit(
        self,
        request: SynthesisRequest,
        *,
        key: str | None,
        identity: RequesterIdentity,
        origins: Mapping[str, ImageOrigin],
    ) -> Submission:
        """Accept a request, once. Raises what :func:`sgps.service.exactly_once.submit` raises."""
        return submit(
            request,
            self.workspace,
            self._synthesizer,
            key=key,
            identity=identity,
            origins=origins,
        )

    def enqueue(self, request_id: str) -> Future[Submission]:
        """Work on an accepted request as soon as a thread is free; asking twice changes nothing."""
        with self._lock:
            running = self._running.get(request_id)
            if running is not None:
                return running
            running = self._pool.submit(self._process, request_id)
            self._running[request_id] = running
        running.add_done_callback(lambda _: self._forget(request_id))
        return running

    def status(self, request_id: str) -> Submission:
        """How far a request is. Raises UnknownNameError, StoreError."""
        return status(request_id, self.workspace)

    def steps(self, request_id: str) -> list[str]:
        """Names of the steps that a request of this process went through, in their order."""
        with self._lock:
            return list(self._steps.get(request_id, ()))

    def _process(self, request_id: str) -> Submission:
        return process(
            request_id,
            self.workspace,
            self._warm_synthesizer(),
            progress=lambda step: self._note(request_id, step),
        )

    def _note(self, request_id: str, step: str) -> None:
        with self._lock:
            self._steps.setdefault(request_id, []).append(step)
            while len(self._steps) > _STEPS_KEPT:
                self._steps.popitem(last=False)

    def _forget(self, request_id: str) -> None:
        with self._lock:
            self._running.pop(request_id, None)
        return_freed_memory()

    def _warm_synthesizer(self) -> Synthesizer:
        with self._opening:
            if self._synthesizer is None:
                loaded = load_synthesizer(self._settings)
                loaded.synthesize(_warming_task())
                set_aside_what_stays()
                self._synthesizer = loaded
            return self._synthesizer

    def _keep_mending(self) -> None:
        turn = 0
        while not self._stopping.is_set():
            self._mend(whole=turn % _TURNS_BETWEEN_SWEEPS == 0)
            turn += 1
            self._stopping.wait(self._seconds_between)

    def _mend(self, *, whole: bool) -> None:
        """Reconcile where a request waits; with ``whole``, in any case, which reads every run."""
        try:
            synthesizer = self._warm_synthesizer()
            with contextlib.suppress(OSError):
                self._chores()
            if whole or self.workspace.ledger.outbox.waiting(1):
                reconcile(self.workspace, synthesizer)
            return_freed_memory()
        except SgpsError as error:
            _log.warning("%s", error)
        except Exception:
            _log.exception("the reconciliation failed; the next one tries again")


def _warming_task() -> Task:
    """A task whose synthesis touches everything that is slow the first time."""
    grey = (np.full((64, 64, 3), 90, np.uint8), np.full((64, 64, 3), 160, np.uint8))
    return Task(
        "warm", tuple(ClassSupport(str(n), (pixels,), "grey") for n, pixels in enumerate(grey))
    )
