"""Requests that are meant for this machine, and those of its own pages."""

from __future__ import annotations

import pytest

from sgps.service.own_requests import is_other_name, is_own_host, is_own_origin, own_names

NAMES = own_names("0.0.0.0", ["models.example.org"])


@pytest.mark.parametrize(
    ("header", "own"),
    [
        ("localhost:4200", True),
        ("127.0.0.1", True),
        ("[::1]:4200", True),
        ("10.0.0.7:4200", True),
        ("MODELS.example.org", True),
        ("evil.example:4200", False),
        ("localhost.evil.example", False),
        ("localhost:4200@evil.example", False),
        ("", False),
    ],
)
def test_host_names(header: str, own: bool) -> None:
    assert is_own_host(header, NAMES) is own


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"host": "localhost:1"}, True),
        ({"host": "localhost:1", "origin": "http://localhost:1"}, True),
        ({"host": "localhost:1", "origin": "http://localhost:2"}, False),
        ({"host": "localhost:1", "origin": "null"}, False),
        ({"host": "localhost:1", "sec-fetch-site": "cross-site"}, False),
        ({"host": "localhost:1", "sec-fetch-site": "same-origin"}, True),
    ],
)
def test_origins(headers: dict[str, str], own: bool) -> None:
    assert is_own_origin(headers) is own


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("http://localhost:4200", True),
        ("http://127.0.0.1:4200", True),
        ("http://models.example.org:4200", True),
        ("http://localhost:4201", False),
        ("http://6.6.6.6:4200", False),
        ("http://evil.example:4200", False),
        ("https://localhost:4200", False),
        ("null", False),
    ],
)
def test_other_names_of_one_server(origin: str, own: bool) -> None:
    assert is_other_name({"host": "127.0.0.1:4200", "origin": origin}, NAMES) is own
