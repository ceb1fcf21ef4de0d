import threading
from collections.abc import Iterator

import pytest
from isic_archive import Archive

from sgps.datasets.sources._download import Downloader


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    small = Archive()
    thread = threading.Thread(target=small.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield small
    small.server.shutdown()
    small.server.server_close()
    thread.join()


@pytest.fixture
def downloader() -> Downloader:
    return Downloader(["127.0.0.1"], attempts=3, pause=0.01, timeout=5)
