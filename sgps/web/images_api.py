"""``/api/images``: drop an image, see it, forget it; which images are the same."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from sgps.errors import RequestError
from sgps.web.authentication import REVIEWER, STEWARD, require_role
from sgps.web.findings import repeats_of
from sgps.web.limits import read_body, read_json
from sgps.web.openapi import ADD_IMAGE, COMPARE_IMAGES
from sgps.web.services import Services, services_of

MOST_COMPARED = 1_280

router = APIRouter(prefix="/api/images")


@router.post("", status_code=201, openapi_extra=ADD_IMAGE)
async def add_image(request: Request) -> JSONResponse:
    """Keep one image for a day: id, size, metadata that was taken out, findings.

    The body is the file itself; its type is what its bytes say. 413: too large; 422: not an image
    that is accepted; 429: too many images are kept.
    """
    require_role(request, STEWARD, REVIEWER)
    services = services_of(request)
    limits = services.settings
    limit = min(limits.max_image_bytes, limits.max_request_bytes)
    file = await read_body(request, limit, what="the image")

    def keep() -> dict[str, Any]:
        with file:
            return services.uploads.add(file.read()).to_dict()

    kept = await asyncio.get_running_loop().run_in_executor(services.decoding, keep)
    return JSONResponse(kept, status_code=201)


@router.post("/compare", openapi_extra=COMPARE_IMAGES)
async def compare_images(request: Request) -> JSONResponse:
    """Which of the images in ``{"images": [id, ...]}`` show the same picture: pairs of ids."""
    require_role(request, STEWARD, REVIEWER)
    services = services_of(request)
    content = await read_json(request, services.settings.max_request_bytes)
    images = content.get("images")
    if not isinstance(images, list) or not all(isinstance(item, str) for item in images):
        raise RequestError("images: not a list of ids", expected="ids of dropped images")
    if len(images) > MOST_COMPARED:
        raise RequestError(f"{len(images):,} images", expected=f"at most {MOST_COMPARED:,}")
    pairs = await asyncio.get_running_loop().run_in_executor(
        services.decoding, _repeated, services, list(dict.fromkeys(images))
    )
    return JSONResponse({"repeats": pairs})


@router.get("/{image_id}")
def show_image(request: Request, image_id: str) -> Response:
    """A small copy of an image, as PNG."""
    require_role(request, STEWARD, REVIEWER)
    return Response(services_of(request).uploads.small(image_id), media_type="image/png")


@router.delete("/{image_id}", status_code=204)
def delete_image(request: Request, image_id: str) -> Response:
    """Forget an image that was dropped; what was made of it stays."""
    require_role(request, STEWARD, REVIEWER)
    services_of(request).uploads.delete(image_id)
    return Response(status_code=204)


def _repeated(services: Services, images: list[str]) -> list[list[str]]:
    pixels = services.uploads.small_pixels(images)
    return [[images[first], images[second]] for first, second in repeats_of(pixels)]
