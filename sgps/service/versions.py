"""Versions of the synthesis and of its steps, as they go into every audit record."""

from __future__ import annotations

SYNTHESIS_VERSION = "1"

STEP_VERSIONS: dict[str, str] = {
    "check_request": "1",
    "decode_support": "1",
    "synthesize_weights": "1",
    "assemble_record": "1",
    "register_model": "1",
    "record_in_ledger": "1",
}
