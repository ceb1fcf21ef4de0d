"""Templates to pages; every value is escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from sgps.web.authentication import account_of
from sgps.web.permissions import may_make


def render(request: Request, name: str, **values: Any) -> HTMLResponse:
    """The page of a template, for whoever signed in: it is told ``account`` and ``makes``."""
    account = account_of(request)
    template = _environment().get_template(name)
    return HTMLResponse(template.render(account=account, makes=may_make(account), **values))


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("sgps.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
