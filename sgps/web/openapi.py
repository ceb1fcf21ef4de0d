"""What the calls of the HTTP API take and answer, for ``/api/openapi.json``.

The bodies are read by hand, piece by piece and within limits, so that FastAPI cannot tell.
"""

from __future__ import annotations

from typing import Any

from sgps.service.requests import SynthesisRequest

_TEXT = {"type": "string"}
_IDS = {"type": "array", "items": {**_TEXT, "description": "Id of an image sent before."}}
_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "object", "properties": {
        "what": _TEXT, "expected": _TEXT, "remedy": _TEXT,
    }}},
}  # fmt: skip
_SUBMISSION = {
    "type": "object",
    "properties": {
        "request_id": _TEXT,
        "state": {"enum": ["pending", "done", "failed"]},
        "steps": {"type": "array", "items": _TEXT},
        "receipt": {"type": "object", "description": "Once it is done."},
        "mlflow": {**_TEXT, "description": "Address of the version in MLflow."},
        "waiting_for": {**_TEXT, "description": "Why it waits; empty where it does not."},
    },
    "required": ["request_id", "state", "steps"],
}
_KEPT_IMAGE = {
    "type": "object",
    "properties": {
        "id": _TEXT, "width": {"type": "integer"}, "height": {"type": "integer"}, "format": _TEXT,
        "removed": {"type": "array", "items": _TEXT}, "pixel_sha256": _TEXT, "file_sha256": _TEXT,
        "findings": {"type": "array", "items": {"type": "object"}},
    },
}  # fmt: skip
_PREDICTION = {
    "type": "object",
    "properties": {
        "model_uri": _TEXT,
        "label": {**_TEXT, "description": "The most probable class."},
        "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
        "abstains": {"type": "boolean", "description": "Whether it is not sure."},
        "abstention_threshold": {"type": ["number", "null"]},
        "margin": {
            "type": "number",
            "description": "How much the image resembles the nearest class of the task, less"
            " how much it resembles the nearest class known from meta-training as that counts;"
            " left out where none is known.",
        },
        "resembles": {**_TEXT, "description": "That known class; left out likewise."},
        "foreign": {
            "type": "boolean",
            "description": "Whether the margin is smaller than those of nine in ten left-out"
            " support images: a hint that the image is of no class of the task. Left out where it"
            " cannot be told.",
        },
        "nearest": {
            "type": ["object", "null"],
            "properties": {
                "number": {"type": "integer"}, "class_name": _TEXT,
                "similarity": {"type": "number"},
            },
            "description": "The support image that it resembles most.",
        },
        "state": {**_TEXT, "description": "Of the review; empty where the ledger knows none."},
        "warning": {**_TEXT, "description": "Empty for an approved version."},
    },
    "required": [
        "model_uri", "label", "probabilities", "abstains", "abstention_threshold", "nearest",
        "state", "warning",
    ],
}  # fmt: skip
_WORDS = {
    200: "Done.",
    201: "Done; the same request gives the same answer.",
    202: "Accepted; it is finished later.",
    401: "Not signed in.",
    403: "Signed in with another role, or a request of another page.",
    404: "There is no such thing.",
    409: "The files are not those recorded, or were erased.",
    413: "Too large.",
    422: "Something in it is wrong, or the key belongs to another request.",
    429: "Too many wait, or too much is kept.",
    503: "A store does not answer.",
}


def _request_schema() -> dict[str, Any]:
    """That of a request, with ids of images in the place of files, and no folder."""
    schema = SynthesisRequest.model_json_schema()
    named = schema.pop("$defs")["ClassRequest"]
    named["properties"]["images"] = {**named["properties"]["images"], **_IDS}
    schema["properties"].pop("folder")
    schema["properties"]["classes"]["items"] = named
    return schema


def _call(
    body: dict[str, Any] | None, media: str, answers: dict[int, dict[str, Any]], *refusals: int
) -> dict[str, Any]:
    described = {
        str(code): {"description": _WORDS[code], "content": {"application/json": {"schema": one}}}
        for code, one in {**answers, **dict.fromkeys((401, 403, *refusals), _ERROR)}.items()
    }
    call: dict[str, Any] = {"responses": described}
    if body is not None:
        call["requestBody"] = {"required": True, "content": {media: {"schema": body}}}
    return call


_JSON, _BYTES = "application/json", "application/octet-stream"
_FILE = {"type": "string", "format": "binary", "description": "The file of an image."}
_OBJECT = {"type": "object"}

ADD_IMAGE = _call(_FILE, _BYTES, {201: _KEPT_IMAGE}, 413, 422, 429)
COMPARE_IMAGES = _call(
    {"type": "object", "properties": {"images": _IDS}, "required": ["images"]},
    *(_JSON, {200: _OBJECT}, 404, 422),
)
ASK = {
    **_call(
        _request_schema(), _JSON, {201: _SUBMISSION, 202: _SUBMISSION}, 404, 413, 422, 429, 503
    ),
    "parameters": [
        {
            "name": "Idempotency-Key", "in": "header", "schema": {**_TEXT, "maxLength": 255},
            "description": "Your own key; by default the content is the key.",
        },
        {
            "name": "Prefer", "in": "header", "schema": {"enum": ["respond-async"]},
            "description": "Answer 202 at once.",
        },
    ],
}  # fmt: skip
PREDICT = _call(_FILE, _BYTES, {200: _PREDICTION}, 404, 409, 413, 422, 503)
REVIEW = _call(
    {
        "type": "object",
        "properties": {
            "act": {"enum": ["submit", "approve", "reject", "archive"]},
            "reason": _TEXT,
            "reviewer": {**_TEXT, "description": "Only where nobody signs in."},
        },
        "required": ["act"],
    },
    *(_JSON, {200: _OBJECT}, 404, 409, 422, 503),
)
