"""Versions of the synthesis and of its steps, as they go into every audit record."""

from __future__ import annotations

SYNTHESIS_VERSION = "2"

STEP_VERSIONS: dict[str, str] = {
    "check_request": "1",
    "decode_support": "1",
    "synthesize_weights": "6",
    "assemble_record": "2",
    "register_model": "2",
    "record_in_ledger": "2",
}
