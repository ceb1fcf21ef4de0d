"""The triggers that make the entries append-only, as revision 0001 of the tables made them."""

from __future__ import annotations

# INSERT OR REPLACE deletes without firing the delete trigger, hence the third.
SQLITE_TRIGGERS = {
    "ledger_entries_no_update": (
        """CREATE TRIGGER ledger_entries_no_update BEFORE UPDATE ON ledger_entries
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"""
    ),
    "ledger_entries_no_delete": (
        """CREATE TRIGGER ledger_entries_no_delete BEFORE DELETE ON ledger_entries
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"""
    ),
    "ledger_entries_no_replace": (
        """CREATE TRIGGER ledger_entries_no_replace BEFORE INSERT ON ledger_entries
       WHEN EXISTS (SELECT 1 FROM ledger_entries WHERE number >= NEW.number
                    OR digest = NEW.digest OR previous_digest = NEW.previous_digest)
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"""
    ),
}

POSTGRESQL_REFUSAL = " BEGIN RAISE EXCEPTION 'the ledger is append-only'; END "

POSTGRESQL_FUNCTION = f"""CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS
       $${POSTGRESQL_REFUSAL}$$"""

POSTGRESQL_TRIGGERS = {
    "ledger_entries_no_change": (
        """CREATE TRIGGER ledger_entries_no_change BEFORE UPDATE OR DELETE ON ledger_entries
       FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change()"""
    ),
    "ledger_entries_no_truncate": (
        """CREATE TRIGGER ledger_entries_no_truncate BEFORE TRUNCATE ON ledger_entries
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()"""
    ),
}

# The bits of pg_trigger.tgtype: 1 for each row, 2 before, 8 delete, 16 update, 32 truncate.
POSTGRESQL_TYPES = {
    "ledger_entries_no_change": 1 + 2 + 8 + 16,
    "ledger_entries_no_truncate": 2 + 32,
}
