"""``/api/models``: try a registered classifier on an image."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from sgps.datasets.decoding import DecodedImage, decode_image
from sgps.errors import UnknownNameError
from sgps.service.workspace import image_limits
from sgps.web.authentication import REVIEWER, STEWARD, require_role
from sgps.web.limits import read_body
from sgps.web.openapi import PREDICT
from sgps.web.services import Services, services_of

router = APIRouter(prefix="/api/models/{name}/{version}")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_VERSION = re.compile(r"[0-9]{1,9}")


@router.post("/predict", openapi_extra=PREDICT)
async def predict(
    request: Request, name: str, version: str, image: str | None = None
) -> JSONResponse:
    """Probabilities of each class for one image.

    ``image`` is the id of a dropped image; without it, the body is the image file itself. 503: the
    registry does not answer within seconds.
    """
    account = require_role(request, STEWARD, REVIEWER)
    services = services_of(request)
    uri = model_uri(name, version)
    limit = services.settings.max_image_bytes if image is None else 0
    file = await read_body(request, limit, what="the image")

    def answer() -> dict[str, Any]:
        decoded = _decode(services, image, file.read())
        return services.trials.predict(
            uri, decoded.pixels, services.worker.workspace, who=account.name if account else ""
        )

    try:
        return JSONResponse(await services.try_out(answer))
    finally:
        file.close()


@router.get("/support/{number}")
async def show_support(request: Request, name: str, version: str, number: int) -> Response:
    """A small copy of one support image, as PNG; they are counted from 0."""
    require_role(request, STEWARD, REVIEWER)
    services = services_of(request)
    uri = model_uri(name, version)
    png = await services.try_out(
        lambda: services.trials.support_png(uri, number, services.worker.workspace)
    )
    return Response(png, media_type="image/png")


def model_uri(name: str, version: str) -> str:
    """The address of a version in the registry. Raises UnknownNameError."""
    if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version)):
        raise UnknownNameError("there is no such classifier", remedy="correct the address")
    return f"models:/{name}/{version}"


def _decode(services: Services, image: str | None, body: bytes) -> DecodedImage:
    if image is not None:
        return services.uploads.decode(image)
    return decode_image(body, name="this file", limits=image_limits(services.settings))
