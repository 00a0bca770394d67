"""The system's users, as PAM knows them: the service's file is /etc/pam.d/pop3.

Run by the auth process, as root when the server was started as root. What PAM answers becomes one
of four: right, wrong, not known here, not to be found out now. Account trouble (expired) is told to
the client only after the password was right; before that it would tell who exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from preforkpop.auth.backends import libpam
from preforkpop.auth.backends.libpam import Code, Result
from preforkpop.auth.cache import Cache
from preforkpop.auth.credentials import (
    Authenticated,
    Credentials,
    Outcome,
    Refusal,
    unavailable,
    wrong,
)
from preforkpop.auth.identity import valid_name

TTY: Final = "preforkpop"
"""PAM_TTY: there is no terminal, and rules about terminals can name this one."""

MAXIMUM_PASSWORD: Final = 511  # octets; PAM_MAX_RESP_SIZE is 512 with the NUL
_JUNK: Final = b"\b\n\r\x7fINCORRECT"
"""What PAM is asked in place of a password that must not be right; OpenSSH uses the same."""

_WRONG: Final = (Code.AUTH_ERR, Code.PERM_DENIED, Code.MAXTRIES, Code.ACCT_EXPIRED)

_ACCOUNT: Final = {
    Code.ACCT_EXPIRED: "The account has expired",
    Code.NEW_AUTHTOK_REQD: "The password has expired and has to be changed",
    Code.AUTHTOK_EXPIRED: "The password has expired and has to be changed",
    Code.CRED_EXPIRED: "The password has expired and has to be changed",
    Code.AUTH_ERR: "The account may not be used for mail at the moment",
    Code.PERM_DENIED: "The account may not be used for mail at the moment",
    Code.USER_UNKNOWN: "The account may not be used for mail at the moment",
}

Ask = Callable[[str, str, bytes, str, str], Result]


class Users(Protocol):
    """What is known of names without a password."""

    def barred(self, name: str) -> bool:
        """Whether a name may never log in."""

    def exists(self, name: str) -> bool:
        """Whether the system's user database has the name."""


class Pam:
    """The source of type "pam"."""

    __slots__ = ("_ask", "_cache", "_key", "_service", "_users")

    def __init__(self, service: str, cache: Cache, users: Users, ask: Ask | None = None) -> None:
        """SetupError when the machine has no PAM. ``ask`` stands in for the library in tests."""
        if ask is None:
            libpam.load()
        self._ask = ask or libpam.ask
        self._service = service
        self._key = b"pam:" + service.encode()
        self._cache = cache
        self._users = users

    def check(self, credentials: Credentials, name: str, now: float) -> Outcome:
        """Decide about a user; APOP needs a secret that PAM does not give, so it knows nobody."""
        if credentials.mechanism == "APOP":
            return None
        digest = self._digest(credentials, name)
        remembered = self._cache.find(digest, now)
        if remembered is not None:
            return Authenticated(remembered)
        secret = credentials.secret
        # A NUL would end the password early. Nobody is to try out root's password here either;
        # all of them cost what a wrong password costs.
        usable = (
            0 < len(secret) <= MAXIMUM_PASSWORD
            and b"\0" not in secret
            and not self._users.barred(name)
        )
        result = self._ask(
            self._service, name, secret if usable else _JUNK, credentials.client, TTY
        )
        outcome = decide(self._service, result)
        if not isinstance(outcome, Authenticated):
            # Most services end in pam_deny, which calls an unknown user a wrong password
            unknown = result.code == Code.AUTH_ERR and not self._users.exists(name)
            return None if unknown else outcome
        if not usable:
            return wrong(f"PAM service {self._service}: took a password that cannot be right")
        self._cache.remember(digest, outcome.name, now)
        return outcome

    def pretend(self, credentials: Credentials) -> bool:
        """Say whether the work was done: PAM does it itself when asked about an unknown user."""
        return credentials.mechanism != "APOP"

    def _digest(self, credentials: Credentials, name: str) -> bytes:
        # The client's address is RHOST, on which PAM may have decided
        return self._cache.digest(
            b"pop3",
            self._key,
            name.encode(),
            credentials.mechanism.encode(),
            credentials.client.encode(),
            credentials.secret,
        )


def decide(service: str, result: Result) -> Outcome:
    """What a result of PAM means for the client."""
    if result.granted:
        if valid_name(result.user):
            return Authenticated(result.user)
        return wrong(
            f"PAM service {service}: a module changed the user name to one that is not valid"
        )
    why = f"PAM service {service}: {result.text} (code {result.code}, {result.stage})"
    code = _known(result.code)
    if result.stage == "authenticate":
        if code is Code.USER_UNKNOWN:
            return None
        if code in _WRONG:
            return wrong(why)
    elif result.stage == "account" and code in _ACCOUNT:
        return Refusal("AUTH", _ACCOUNT[code], why)
    return unavailable(why)


def _known(code: int) -> Code | None:
    try:
        return Code(code)
    except ValueError:
        return None
