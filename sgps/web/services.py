"""What the addresses of one application share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from sgps.settings import Settings
from sgps.web.records import ChainCheck
from sgps.web.trials import TrialRoom
from sgps.web.uploads import UploadStore
from sgps.web.worker import Worker

DECODING_THREADS = 2


@dataclass(frozen=True)
class Services:
    """Settings, uploads, worker, tried classifiers, state of the chain, threads that decode.

    wait: seconds that an answer waits for a classifier before it says "pending".
    """

    settings: Settings
    uploads: UploadStore
    worker: Worker
    trials: TrialRoom
    chain: ChainCheck
    decoding: ThreadPoolExecutor
    wait: float

    def close(self) -> None:
        """Finish what is being done, and close the stores."""
        self.decoding.shutdown(wait=True, cancel_futures=True)
        self.worker.stop()


def services_of(request: Request) -> Services:
    """The services of the application that ``request`` came to."""
    return cast(Services, request.app.state.services)
