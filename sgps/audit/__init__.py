"""The append-only ledger: who did what, when, from which bytes."""

from sgps.audit._chain import LedgerEntry, Verification, canonical_json
from sgps.audit.ledger import Ledger

__all__ = ["Ledger", "LedgerEntry", "Verification", "canonical_json"]
