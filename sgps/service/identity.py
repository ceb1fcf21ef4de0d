"""Who asks, and how we know."""

from __future__ import annotations

import os
import pwd
from dataclasses import asdict, dataclass

STEWARD = "steward"
UNAUTHENTICATED, BASIC = "none", "basic"


@dataclass(frozen=True)
class RequesterIdentity:
    """Name and role of a requester; ``authentication`` says how the name was proved.

    ``authentication`` is "none" where somebody only said so, or the method, such as "basic".
    ``login`` is the login name of who typed the request on a command line, "" elsewhere.
    """

    name: str
    role: str = STEWARD
    authentication: str = UNAUTHENTICATED
    login: str = ""

    def to_dict(self) -> dict[str, str]:
        """JSON-able form."""
        return asdict(self)

    def to_record(self) -> dict[str, str]:
        """What the audit record says of who asked; ``login`` only where it is known."""
        facts = {"requester": self.name, "role": self.role, "authentication": self.authentication}
        return facts | ({"login": self.login} if self.login else {})


def login_of_process() -> str:
    """Login name of the account that this process runs in, whatever its environment says.

    It is the system's word, not a proof of a person: several people may share an account.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
