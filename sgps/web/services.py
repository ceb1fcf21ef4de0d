"""What the addresses of one application share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

from starlette.requests import Request

from sgps.errors import StoreError
from sgps.settings import Settings
from sgps.web.records import ChainCheck
from sgps.web.trials import TrialRoom
from sgps.web.uploads import UploadStore
from sgps.web.worker import Worker

DECODING_THREADS = 2
TRYING_THREADS = 2
SECONDS_TO_TRY = 30.0

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """Settings, uploads, worker, tried classifiers, state of the chain, and threads.

    decoding: threads for images and requests, which never wait for the registry. trying: threads
    for whatever loads a registered classifier.
    wait: seconds that an answer waits for a classifier before it says "pending".
    """

    settings: Settings
    uploads: UploadStore
    worker: Worker
    trials: TrialRoom
    chain: ChainCheck
    decoding: ThreadPoolExecutor
    trying: ThreadPoolExecutor
    wait: float

    def close(self) -> None:
        """Finish what is being done, and close the stores."""
        self.decoding.shutdown(wait=True, cancel_futures=True)
        self.trying.shutdown(wait=True, cancel_futures=True)
        self.worker.stop()

    async def try_out(self, work: Callable[[], T]) -> T:
        """What ``work`` on a registered classifier returns, done in a thread for it.

        Raises
        ------
        StoreError: it takes too long, or too much waits before it.
        """
        running = asyncio.get_running_loop().run_in_executor(self.trying, work)
        try:
            return await asyncio.wait_for(running, SECONDS_TO_TRY)
        except TimeoutError:
            raise StoreError(
                "the classifier cannot be tried now: too much waits for the registry",
                expected=f"an answer within {SECONDS_TO_TRY:.0f} seconds",
                remedy="try again in a moment",
            ) from None


def services_of(request: Request) -> Services:
    """The services of the application that ``request`` came to."""
    return cast(Services, request.app.state.services)
