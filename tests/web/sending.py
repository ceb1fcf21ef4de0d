"""Pictures and requests to send, and the header of an account."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from sgps.audit import Ledger
from sgps.web.services import Services

ADDRESS = "http://127.0.0.1:8600"
"""Where the page is served, as its check of host and origin knows it."""


def picture(seed: int, *, side: int = 48, **save: Any) -> bytes:
    """Bytes of a coarse random picture, PNG unless ``save`` says otherwise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((side, side)).save(file, **{"format": "PNG", **save})
    return file.getvalue()


def basic(account: str) -> dict[str, str]:
    """The header of ``user:password``."""
    return {"Authorization": "Basic " + base64.b64encode(account.encode()).decode()}


def drop(client: TestClient, seed: int) -> str:
    """Send the picture of a seed; its id."""
    answer = client.post("/api/images", content=picture(seed))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def request_for(client: TestClient, task: str, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """The fields of a request for two classes of two pictures each, which are sent before."""
    classes = [
        {"name": name, "description": text, "images": [drop(client, at), drop(client, at + 1)]}
        for name, text, at in (("red", "Mostly red.", seed), ("blue", "", seed + 10))
    ]
    return {"task": task, "requester": "Ada", "purpose": "To see.", "classes": classes} | changes


def services(client: TestClient) -> Services:
    """What the application of a client works with."""
    found: Services = client.app.state.services  # type: ignore[attr-defined]
    return found


def ledger(client: TestClient) -> Ledger:
    """The ledger of the application of a client."""
    return services(client).worker.workspace.ledger
