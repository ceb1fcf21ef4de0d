"""``python -m sgps.web``: serve the steward's page where the settings say."""

from __future__ import annotations

import ipaddress
import logging
import sys

from sgps.errors import SgpsError
from sgps.settings import Settings, apply_page_defaults, load_settings

_MOST_CONNECTIONS = 256
_SECONDS_TO_FINISH = 15


def main() -> int:
    """Serve until a signal comes; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        apply_page_defaults()
        serve(load_settings())
    except SgpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def serve(settings: Settings) -> None:
    """Serve the page of ``settings`` until the process is told to stop.

    Raises
    ------
    InputError: the accounts of the settings have a wrong form.
    """
    import uvicorn  # noqa: PLC0415

    from sgps.web.app import create_app  # noqa: PLC0415

    app = create_app(settings)
    if settings.basic_auth is None and not _is_loopback(settings.page_host):
        logging.getLogger("sgps.web").warning(
            "anybody who reaches %s can use the page: set SGPS_BASIC_AUTH", settings.page_host
        )
    uvicorn.run(
        app,
        host=settings.page_host,
        port=settings.page_port,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        log_level="warning",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
