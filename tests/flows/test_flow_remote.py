"""What is said where the Prefect server of ``--remote`` goes away."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.remote import synthesize_remotely
from sgps.errors import StoreError
from sgps.service.requests import ClassRequest, SynthesisRequest
from sgps.settings import Settings


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("gone while waiting"),
        httpx.InvalidURL("no address"),
        ConnectionResetError("reset"),
        RuntimeError("Failed to reach API"),
    ],
)
def test_a_server_that_goes_away_is_named(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("flows.remote.run_deployment", fail)
    classes = tuple(ClassRequest(name=name, images=(f"{name}.png",)) for name in "ab")
    request = SynthesisRequest(
        task="Moles", requester="Ada", purpose="To see.", classes=classes, folder=tmp_path
    )
    settings = Settings(home=tmp_path, page_host="::", prefect_port=4299)
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(StoreError, match=r"no Prefect server answers at http://\[::1\]:4299/api"),
    ):
        synthesize_remotely(request, settings)
