"""The main facts of a ledger entry, in words, for whoever does not read JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sgps.audit import LedgerEntry
from sgps.service.review import REVIEW_KIND
from sgps.service.synthesis import LEDGER_KIND

_LONGEST = 1_000
_SIGNED_IN = {"basic": "signed in with a password", "none": "did not sign in"}
_NAMES = {"run_id": "MLflow run", "request_id": "request"}
_TOLD = ("who", "requester")


def facts_of(entry: LedgerEntry) -> dict[str, str]:
    """Names and values worth reading first, in their order; what is not known is left out."""
    told = {LEDGER_KIND: _of_synthesis, REVIEW_KIND: _of_review}.get(entry.kind, _of_any)
    return {name: value for name, value in told(entry.record) if value}


def _of_synthesis(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    audit, registered = _mapping(record, "audit"), _mapping(record, "registered")
    why, outputs = _mapping(audit, "why"), _mapping(audit, "outputs")
    generator, checks = _mapping(audit, "generator"), audit.get("checks") or []
    return [
        ("Task", _text(audit.get("task"))),
        *_person("Asked for by", _mapping(audit, "who"), "requester"),
        ("Why", _text(why.get("purpose"))),
        ("Why the pictures may be used", _text(why.get("legal_basis"))),
        ("Classes", _classes(_mapping(audit, "inputs").get("classes"))),
        ("Made with", _text(generator.get("name"))),
        ("Network", _text(outputs.get("architecture"))),
        ("Findings about the pictures", str(len(checks)) if checks else "none"),
        ("Asked at (UTC)", _time(_mapping(audit, "when").get("requested"))),
        ("MLflow run", _text(registered.get("run_id"))),
        ("Request", _text(audit.get("request_id"))),
    ]


def _of_review(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    made = record.get("synthesis_entry")
    return [
        ("State before", _state(record.get("from"))),
        ("State after", _state(record.get("to"))),
        *_person("By", record, "reviewer"),
        ("Reason", _text(record.get("reason"))),
        ("Made in entry", str(made) if isinstance(made, int) else ""),
    ]


def _of_any(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every plain value, named as the record names it; who did it is told apart."""
    return [
        (_NAMES.get(name, name).replace("_", " ").capitalize(), _text(value))
        for name, value in record.items()
        if name not in _TOLD
    ]


def _person(title: str, who: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    role, signed = _text(who.get("role")), _text(who.get("authentication"))
    login = _text(who.get("login"))
    parts = (role, _SIGNED_IN.get(signed, signed), f"login {login}" if login else "")
    words = ", ".join(part for part in parts if part)
    person = _text(who.get(name))
    return [(title, f"{person} ({words})" if person and words else person)]


def _classes(classes: object) -> str:
    if not isinstance(classes, list):
        return ""
    return ", ".join(
        f"{_text(item.get('name'))} ({count} picture{'' if count == 1 else 's'})"
        for item in classes
        if isinstance(item, Mapping)
        for count in [len(item.get("images") or [])]
    )


def _time(value: object) -> str:
    return _text(value)[:19].replace("T", " ")


def _state(value: object) -> str:
    return _text(value).replace("_", " ")


def _mapping(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(value: object) -> str:
    """A text or number as text, lists of them joined; "" for anything else."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        parts = [_text(each) for each in value]
        value = ", ".join(parts) if all(parts) else ""
    if not isinstance(value, (str, int, float)):
        return ""
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
