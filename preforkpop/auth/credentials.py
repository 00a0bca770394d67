"""What the auth process is asked and what it answers.

Run by the auth process (root when the server was started as root). Nothing here shows a secret in
its repr.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from preforkpop.system.accounts import SetupError

__all__ = [
    "UNAVAILABLE_TEXT",
    "WRONG_TEXT",
    "Authenticated",
    "Credentials",
    "Outcome",
    "Refusal",
    "Report",
    "SetupError",
    "Source",
    "unavailable",
    "wrong",
]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client offered as proof of who it is, and how it came."""

    mechanism: str  # "USER", "APOP" or "PLAIN"
    user: bytes
    authzid: bytes
    secret: bytes = field(repr=False)  # the password; APOP: 32 hexadecimal digits
    stamp: bytes  # the time stamp of the greeting, with its angle brackets (RFC 1939 section 7)
    client: str  # address of the client as text, "" when it has none
    tls: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no session: response code (RFC 3206), text for the client, text for the log.

    ``code`` is "AUTH" only when the client is at fault; a server that cannot decide says "SYS/TEMP"
    or "SYS/PERM", so that nobody is asked for a password again that was right.
    """

    code: str
    text: str
    detail: str = ""  # for the administrator; nothing in it comes unescaped from a client


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A user whose credentials are right; fields that the source does not know are None or ""."""

    name: str
    uid: int | None = None
    gid: int | None = None
    home: str = ""


WRONG_TEXT: Final = "Wrong user name or password"
UNAVAILABLE_TEXT: Final = "Logins are not possible at the moment, try again later"


def wrong(detail: str = "") -> Refusal:
    """Refuse in the one way that tells a client nothing: wrong password, unknown or barred user."""
    return Refusal("AUTH", WRONG_TEXT, detail)


def unavailable(detail: str) -> Refusal:
    """Refuse because the server cannot find out; the client may try again (RFC 3206 section 4)."""
    return Refusal("SYS/TEMP", UNAVAILABLE_TEXT, detail)


Outcome = Authenticated | Refusal | None
"""None: this source does not know the user, the next one is asked."""

Report = Callable[[str], None]
"""Takes a line for the administrator."""


class Source(Protocol):
    """A place that knows users."""

    def check(self, credentials: Credentials, name: str, now: float) -> Outcome:
        """Decide about ``name``, the user name as it is looked up; ``now`` in monotonic seconds."""

    def pretend(self, credentials: Credentials) -> bool:
        """Do the work that a wrong password of a known user costs; whether there was any to do."""
