"""The append-only ledger: who did what, when, from which bytes; and requests on their way in."""

from sgps.audit._chain import LedgerEntry, Verification, canonical_json, entry_digest
from sgps.audit._entries import term_value
from sgps.audit._requests import ERASED_REASON
from sgps.audit.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from sgps.audit.ledger import Ledger
from sgps.audit.outbox import Outbox, OutboxRow, RequestState
from sgps.audit.record_keys import RecordKeys, seal_digest, seal_record
from sgps.audit.renewal import renew_checkpoint

__all__ = [
    "ERASED_REASON",
    "Checkpoint",
    "Ledger",
    "LedgerEntry",
    "Outbox",
    "OutboxRow",
    "RecordKeys",
    "RequestState",
    "Verification",
    "canonical_json",
    "entry_digest",
    "read_checkpoint",
    "renew_checkpoint",
    "seal_digest",
    "seal_record",
    "term_value",
    "write_checkpoint",
]
