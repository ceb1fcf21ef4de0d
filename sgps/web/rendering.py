"""Templates to pages; every value is escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from sgps.web.authentication import account_of


def render(request: Request, name: str, **values: Any) -> HTMLResponse:
    """The page of a template, for whoever signed in."""
    template = _environment().get_template(name)
    return HTMLResponse(template.render(account=account_of(request), **values))


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("sgps.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
