"""Putting a newer checkpoint in the place of an older one, which is the last to vouch for it."""

from __future__ import annotations

from pathlib import Path

from sgps.audit.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from sgps.audit.ledger import Ledger
from sgps.errors import IntegrityError


def renew_checkpoint(ledger: Ledger, path: Path) -> Checkpoint:
    """Write how far the ledger goes now to ``path``, and return it.

    Where a checkpoint lies there already, the ledger must still hold everything that it saw: it may
    be the only proof that something was cut off. The file is replaced whole or not at all.

    Raises
    ------
    IntegrityError: the ledger differs from the checkpoint in ``path``, which stays as it is.
    InputError: the file in ``path`` is no checkpoint; it stays as it is.
    StoreError: the ledger cannot be read, or the file not be written.
    """
    if path.exists():
        outcome = ledger.verify(read_checkpoint(path))
        if not outcome.passed:
            raise IntegrityError(
                f"{path} is kept, for the ledger is not what it saw: {outcome.reason}",
                expected="a ledger that goes on from this checkpoint",
                remedy=f"see: sgps audit verify --checkpoint {path}; keep the file",
            )
    taken = ledger.checkpoint()
    write_checkpoint(taken, path)
    return taken
