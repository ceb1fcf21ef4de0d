"""The work behind the page: a warm generator, threads that make classifiers, a clock that mends.

Nothing lives here alone: a request is in the outbox before it is worked on, so that whatever is
lost with this process is taken up by the next reconciliation.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from sgps.errors import SgpsError
from sgps.service._processing import LEASE_SECONDS
from sgps.service.exactly_once import Submission, process, status, submit
from sgps.service.identity import RequesterIdentity
from sgps.service.reconcile import reconcile
from sgps.service.requests import SynthesisRequest
from sgps.service.support import ImageOrigin
from sgps.service.synthesis import load_synthesizer
from sgps.service.workspace import Workspace
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer
from sgps.synthesizer.task import ClassSupport, Task
from sgps.web.memory import return_freed_memory, set_aside_what_stays
from sgps.web.registry_gate import open_page_workspace

THREADS = 2
SECONDS_BETWEEN_RECONCILIATIONS = 60.0
_TURNS_BETWEEN_SWEEPS = 60
_SECONDS_TO_STOP = 10.0
_STEPS_KEPT = 256
_CLAIM = "claim_request"
_GETTING_READY = "get_ready"

_log = logging.getLogger("sgps.web.worker")


class Worker:
    """Makes the classifiers that were asked for; safe to share between threads.

    Parameters
    ----------
    synthesizer: a loaded generator; by default that of the settings is loaded at the start.
    chores: called before every reconciliation, such as the sweep of old uploads.
    seconds_between: from one reconciliation to the next. What ended processes were working on is
        free a lease after the start at the latest, so that one comes then in any case.
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
        self._warming = threading.Lock()
        self._stopping = threading.Event()
        self._clock = threading.Thread(target=self._keep_mending, name="sgps-mending", daemon=True)
        self._free_again = 0.0
        self._workspace: Workspace | None = None
        self._running: dict[str, Future[Submission]] = {}
        self._steps: OrderedDict[str, list[str]] = OrderedDict()

    def start(self) -> None:
        """Load the generator and begin to reconcile, both in the background."""
        self._free_again = time.monotonic() + LEASE_SECONDS + 1.0
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
                self._workspace = open_page_workspace(self._settings)
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
        running.add_done_callback(lambda ended: self._forget(request_id, ended))
        return running

    def status(self, request_id: str) -> Submission:
        """How far a request is. Raises UnknownNameError, StoreError."""
        return status(request_id, self.workspace)

    def steps(self, request_id: str) -> list[str]:
        """Names of the steps that a request of this process went through, in their order."""
        with self._lock:
            return list(self._steps.get(request_id, ()))

    def _process(self, request_id: str) -> Submission:
        if not self.is_warm:
            self._note(request_id, _GETTING_READY)
        return process(
            request_id,
            self.workspace,
            self._warm_synthesizer(),
            progress=lambda step: self._note(request_id, step),
        )

    def _note(self, request_id: str, step: str) -> None:
        """Keep a step; one that comes again, other than a claim, begins another try from there."""
        with self._lock:
            steps = self._steps.setdefault(request_id, [])
            if step not in steps:
                steps.append(step)
            elif step != _CLAIM:
                del steps[steps.index(step) + 1 :]
            while len(self._steps) > _STEPS_KEPT:
                self._steps.popitem(last=False)

    def _forget(self, request_id: str, ended: Future[Submission]) -> None:
        with self._lock:
            self._running.pop(request_id, None)
        if not ended.cancelled() and (error := ended.exception()) is not None:
            _log.error("request %s could not be worked on", request_id, exc_info=error)
        return_freed_memory()

    def _warm_synthesizer(self) -> Synthesizer:
        with self._warming:
            if self._synthesizer is None:
                loaded = load_synthesizer(self._settings)
                loaded.synthesize(_warming_task())
                set_aside_what_stays()
                self._synthesizer = loaded
            return self._synthesizer

    def _keep_mending(self) -> None:
        turn = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._do_chores()
            self._mend(whole=turn % _TURNS_BETWEEN_SWEEPS == 0)
            turn += 1
            self._stopping.wait(self._pause(began))

    def _pause(self, began: float) -> float:
        """Seconds to wait after a reconciliation that began at ``began``."""
        if began >= self._free_again:
            return self._seconds_between
        return min(self._seconds_between, max(0.0, self._free_again - time.monotonic()))

    def _do_chores(self) -> None:
        """Before anything that needs a generator or a store, so that old uploads go without."""
        try:
            self._chores()
        except OSError as error:
            _log.warning("%s", error)
        except Exception:
            _log.exception("the chores failed; they are tried again")

    def _mend(self, *, whole: bool) -> None:
        """Reconcile where a request waits; with ``whole``, in any case, which reads every run."""
        try:
            synthesizer = self._warm_synthesizer()
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
