"""Is this client who it says: one question, one answer.

Run by the auth process (root when the server was started as root); called by ``auth.main`` and by
the inetd mode. The sources are asked in the order of the configuration until one knows the user. A
user that none knows costs the work of a wrong password and gets its answer, whatever the mechanism
(CVE-2018-15473 and kin).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from preforkpop.auth import policy
from preforkpop.auth.backends.pam import Pam
from preforkpop.auth.backends.passwd_file import PasswdFile
from preforkpop.auth.cache import Cache
from preforkpop.auth.credentials import (
    Authenticated,
    Credentials,
    Outcome,
    Refusal,
    Report,
    SetupError,
    Source,
    unavailable,
    wrong,
)
from preforkpop.auth.identity import Account, Accounts, user_name
from preforkpop.auth.schemes import SchemeError

if TYPE_CHECKING:
    from preforkpop.auth.settings import Source as SourceSettings
    from preforkpop.config.settings import Settings

__all__ = ["Account", "Credentials", "Refusal", "SetupError", "Verifier"]

_MECHANISMS = frozenset(("USER", "APOP", "PLAIN"))
"""What is understood here, of all that can be configured."""

_UNKNOWN = wrong("no source knows the user")
_NAME = wrong("the user name is not valid")
_EMPTY = wrong("the password is empty")
_AUTHZID = Refusal("AUTH", "Logging in for another user is not possible")
_MECHANISM = Refusal("AUTH", "This way of logging in is not available")
_CLEAR_TEXT = Refusal(
    "AUTH", "Passwords are not accepted without TLS", "a password was sent in the clear"
)
_STRONGER = Refusal(
    "AUTH",
    "You must use stronger authentication such as AUTH or APOP to connect to this server",
    "the user has a secret for APOP and clear_text_password is default",
)


class Verifier:
    """Verifies credentials; one an auth process."""

    __slots__ = (
        "_accounts",
        "_apop",
        "_clock",
        "_downcase",
        "_mechanisms",
        "_pretenders",
        "_sources",
        "_trim",
        "_word",
    )

    def __init__(
        self,
        settings: Settings,
        *,
        key: bytes,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """SetupError when something configured is missing on this machine.

        ``key``: 16 to 64 random octets of this process alone. ``report`` takes lines for the
        administrator. ``clock`` gives monotonic seconds.
        """
        section = settings.authentication
        self._mechanisms = _MECHANISMS.intersection(section.mechanisms)
        self._apop = "APOP" in self._mechanisms
        self._word = section.clear_text_password
        self._downcase = section.downcase_user
        self._trim = section.trim_domain
        self._clock = clock
        self._accounts = Accounts(settings.service, settings.maildrop.path)
        cache = Cache(key, section.cache)
        self._sources = tuple(
            _source(source, cache, self._accounts, report) for source in section.sources
        )
        # PAM first: it has done the work already when it was asked
        self._pretenders = sorted(self._sources, key=lambda one: isinstance(one, PasswdFile))
        self.prepare()

    def prepare(self) -> None:
        """Read the files now instead of at the first login."""
        for source in self._sources:
            if isinstance(source, PasswdFile):
                source.refresh(self._clock())

    def verify(self, credentials: Credentials) -> Account | Refusal:
        """Return the account whose credentials these are, or why there is none."""
        refusal = self._refused(credentials)
        if refusal is not None:
            return refusal
        name = user_name(credentials.user, downcase=self._downcase, trim_domain=self._trim)
        if name is None:
            return _NAME  # names like this exist nowhere, so this tells nobody anything
        now = self._clock()
        try:
            outcome = self._ask(credentials, name, now)
        except SchemeError as error:
            return unavailable(str(error))
        if isinstance(outcome, Authenticated):
            return self._accounts.account(outcome, now)
        return outcome or _UNKNOWN

    def passwords_welcome(self, *, tls: bool, client: str) -> bool:
        """Whether USER with PASS and PLAIN are accepted on a connection."""
        return policy.clear_text_allowed(self._word, tls, client)

    def _refused(self, credentials: Credentials) -> Refusal | None:
        """Refuse what no password can make right; login processes let none of it through."""
        mechanism = credentials.mechanism
        if mechanism not in self._mechanisms:
            return _MECHANISM
        if credentials.authzid not in (b"", credentials.user):
            return _AUTHZID
        if not credentials.secret:
            return _EMPTY
        if mechanism != "APOP" and not self.passwords_welcome(
            tls=credentials.tls, client=credentials.client
        ):
            return _CLEAR_TEXT
        return None

    def _ask(self, credentials: Credentials, name: str, now: float) -> Outcome:
        for source in self._sources:
            outcome = source.check(credentials, name, now)
            if outcome is None:
                continue
            if isinstance(outcome, Authenticated) and self._needs_apop(source, credentials, name):
                return _STRONGER
            return outcome
        for source in self._pretenders:
            if source.pretend(credentials):
                break
        return None

    def _needs_apop(self, source: Source, credentials: Credentials, name: str) -> bool:
        """Tell after the password was right: before, it would tell who exists."""
        return (
            self._apop
            and credentials.mechanism != "APOP"
            and isinstance(source, PasswdFile)
            and policy.stronger_required(self._word, credentials.tls, source.has_apop_secret(name))
        )


def _source(source: SourceSettings, cache: Cache, accounts: Accounts, report: Report) -> Source:
    match source.type:
        case "pam":
            return Pam(source.service, cache, accounts)
        case "passwd-file":
            return PasswdFile(source.path, cache, report)
    raise SetupError(
        f'authentication.sources.type: "{source.type}" is not available;'
        ' "pam" and "passwd-file" are'
    )
