"""Exceptions, split by who can mend them.

SgpsError
├── UserError               what the person who called can mend; exit code 2
│   ├── InputError          a file, field or argument is wrong
│   │   ├── ManifestError   a manifest or one of its rows
│   │   ├── ImageError      one image: unreadable, too large, not allowed
│   │   ├── TooLargeError   more bytes than are accepted
│   │   └── RequestError    a synthesis request or one of its fields
│   │       └── ConflictError   the key of another request was given
│   ├── UnknownNameError    a dataset, model, encoder or setting nobody knows
│   ├── DatasetRefusedError validation said no; carries the path of the report
│   ├── IntegrityError      bytes do not match their digest, or the file is foreign
│   ├── QueueFullError      more requests wait than are accepted
│   └── StoreError          a store (folder, database, registry) cannot be used
└── OperatorError           what only the operator of the machine can mend; exit code 1
"""

from __future__ import annotations

from pathlib import Path


class SgpsError(Exception):
    """Base of every error that SGPS raises on purpose."""

    exit_code: int = 1


class UserError(SgpsError):
    """Something the caller can mend.

    Parameters
    ----------
    what: the file or field, and what is wrong with it.
    expected: what would have been accepted.
    remedy: what to do next.
    """

    exit_code = 2

    def __init__(self, what: str, *, expected: str = "", remedy: str = "") -> None:
        self.what = what
        self.expected = expected
        self.remedy = remedy
        parts = [what]
        if expected:
            parts.append(f"expected {expected}")
        if remedy:
            parts.append(remedy)
        super().__init__("; ".join(part.replace("\n", " ") for part in parts))


class InputError(UserError):
    """A file, field or argument is wrong."""


class ManifestError(InputError):
    """A manifest, or one of its rows, is wrong."""


class ImageError(InputError):
    """An image cannot be read, is too large, or is of a format not allowed."""


class RequestError(InputError):
    """A synthesis request, or one of its fields, is wrong."""


class TooLargeError(InputError):
    """More bytes were sent than are accepted."""


class ConflictError(RequestError):
    """The idempotency key belongs to a request with another content."""


class QueueFullError(UserError):
    """As many requests wait as are accepted; a later try may succeed."""


class UnknownNameError(UserError):
    """A name (dataset, model, encoder, target network) is not known."""


class DatasetRefusedError(UserError):
    """A dataset did not pass validation; nothing downstream may run."""

    def __init__(self, what: str, *, report: Path, expected: str = "", remedy: str = "") -> None:
        self.report = report
        super().__init__(what, expected=expected, remedy=remedy or f"see the report {report}")


class IntegrityError(UserError):
    """Bytes do not match the digest recorded for them, or the file is not ours."""


class StoreError(UserError):
    """A folder, database or registry cannot be opened or written."""


class OperatorError(SgpsError):
    """Something that only the operator of the machine can mend."""
