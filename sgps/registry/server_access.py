"""Who may do what on the MLflow server of ``sgps up``: its administrator everything, others read.

Without it, MLflow lets every account create models, and manage those: an account could take the
name of a task to come, and move the alias of its approved version.
"""

from __future__ import annotations

from typing import Any

AUTHORIZATION_FUNCTION = f"{__name__}:authenticate"
"""What MLflow's setting ``authorization_function`` names."""

_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_READING_CALLS = frozenset(
    {
        *("search", "search-datasets", "graphql", "get-latest-versions", "batchGetInfos"),
        *("metrics", "calculate-filter-correlation", "presigned-download-url"),
    }
)
_ARTIFACTS = "/mlflow-artifacts/"  # its addresses end in paths of files, of any name
_REFUSAL = (
    "Permission denied: this account may read; versions are made, reviewed and erased by SGPS alone"
)


def authenticate() -> Any:
    """MLflow's own check of user and password; 403 where a reader wants to change something.

    Called by MLflow's server within a request of Flask; returns what MLflow expects: the
    authorization, or a response that ends the request.
    """
    from flask import make_response, request  # noqa: PLC0415
    from mlflow.server.auth import authenticate_request_basic_auth, store  # noqa: PLC0415

    authorization = authenticate_request_basic_auth()
    name = getattr(authorization, "username", None)
    if name is None or reads(request.method, request.path) or store.get_user(name).is_admin:
        return authorization
    return make_response(_REFUSAL, 403)


def reads(method: str, path: str) -> bool:
    """Whether a request to MLflow's API changes nothing: its searches are POST requests."""
    if method in _READING_METHODS:
        return True
    folder, _, call = path.rstrip("/").rpartition("/")
    return method == "POST" and call in _READING_CALLS and _ARTIFACTS not in folder
