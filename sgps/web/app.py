"""The application: the page, its HTTP API, and the worker behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from sgps.service.workspace import image_limits
from sgps.settings import Settings
from sgps.synthesizer import Synthesizer
from sgps.web import descriptions_api, images_api, models_api, pages, requests_api, review_api
from sgps.web.authentication import Accounts, Authentication
from sgps.web.boundary import Boundary
from sgps.web.handlers import add_handlers
from sgps.web.records import ChainCheck
from sgps.web.services import DECODING_THREADS, TRYING_THREADS, Services, services_of
from sgps.web.trials import TrialRoom
from sgps.web.uploads import UploadStore
from sgps.web.worker import Worker

SECONDS_TO_WAIT = 2.0
_STATIC = Path(__file__).with_name("static")


def create_app(
    settings: Settings, synthesizer: Synthesizer | None = None, *, wait: float = SECONDS_TO_WAIT
) -> FastAPI:
    """The application of ``settings``; its worker runs from start-up to shut-down.

    Parameters
    ----------
    synthesizer: a loaded generator; by default that of the settings is loaded in the background.
    wait: seconds that an answer waits for a classifier before it says "pending".

    Raises
    ------
    InputError: the accounts of the settings have a wrong form.
    """
    accounts = Accounts.from_settings(settings)
    uploads = UploadStore(
        settings.home_folder / "uploads",
        image_limits(settings),
        most_bytes=settings.max_upload_store_bytes,
    )
    services = Services(
        settings=settings,
        uploads=uploads,
        worker=Worker(settings, synthesizer, chores=uploads.sweep),
        trials=TrialRoom(),
        chain=ChainCheck(),
        decoding=ThreadPoolExecutor(DECODING_THREADS, thread_name_prefix="sgps-decoding"),
        trying=ThreadPoolExecutor(TRYING_THREADS, thread_name_prefix="sgps-trying"),
        wait=wait,
    )

    @asynccontextmanager
    async def work(_app: FastAPI) -> AsyncIterator[None]:
        services.worker.start()
        try:
            yield
        finally:
            services.close()

    app = FastAPI(
        title="SGPS",
        description="Classifiers from a few images and a paragraph.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=work,
    )
    app.state.services = services
    app.add_api_route("/api/health", _health, methods=["GET"])
    for room in (images_api, requests_api, models_api, review_api, descriptions_api, pages):
        app.include_router(room.router)
    app.mount("/static", StaticFiles(directory=_STATIC))
    add_handlers(app)
    app.add_middleware(Authentication, accounts=accounts)
    app.add_middleware(Boundary, host=settings.page_host, names=settings.page_host_names)
    return app


def _health(request: Request) -> JSONResponse:
    """Whether the page answers, and whether the generator is loaded."""
    worker = services_of(request).worker
    return JSONResponse({"status": "ok", "generator": "loaded" if worker.is_warm else "loading"})
