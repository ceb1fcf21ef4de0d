"""How the ledger's tables came to be: one revision a change, applied by Alembic.

A new revision is a new file in ``versions``, named after its number; its number is then added to
:data:`sgps.audit._schema.REVISIONS`. A revision that was released is never edited.
"""
