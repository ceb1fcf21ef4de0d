"""Who asks, and how we know."""

from __future__ import annotations

from dataclasses import asdict, dataclass

STEWARD = "steward"
UNAUTHENTICATED = "none"


@dataclass(frozen=True)
class RequesterIdentity:
    """Name and role of a requester; ``authentication`` says how the name was proved.

    ``authentication`` is "none" where somebody only said so, or the method, such as "basic".
    """

    name: str
    role: str = STEWARD
    authentication: str = UNAUTHENTICATED

    def to_dict(self) -> dict[str, str]:
        """JSON-able form."""
        return asdict(self)
