"""What is offered to which client before login: from the settings and the client's address. Pure.

Run by login processes and inetd mode.
"""

from __future__ import annotations

from typing import Final

from preforkpop.config.settings import Settings
from preforkpop.pop3.authorization import Policy
from preforkpop.system.addresses import is_loopback

DEFAULT_GREETING: Final = "POP3 server ready"

_PASSWORDS: Final = ("USER", "PLAIN")
"""The mechanisms that send the password itself. Names of later versions are not offered."""


class Policies:
    """Policies by listener and by whether the client is local; made once and shared."""

    __slots__ = ("_policies",)

    def __init__(self, settings: Settings, *, tls: bool) -> None:
        """``tls``: there is a certificate, so STLS can be kept."""
        authentication = settings.authentication
        word = authentication.clear_text_password
        mechanisms = tuple(
            name for name in authentication.mechanisms if name in _PASSWORDS and word != "never"
        )
        apop = "APOP" in authentication.mechanisms and any(
            source.type == "passwd-file" for source in authentication.sources
        )
        self._policies = {
            (index, local): Policy(
                greeting=settings.login.greeting or DEFAULT_GREETING,
                apop=apop,
                mechanisms=mechanisms,
                tls_available=tls and listener.tls == "stls",
                clear_text_allowed=_clear_text_allowed(word, local=local),
            )
            for index, listener in enumerate(settings.listeners)
            for local in (False, True)
        }

    def find(self, listener: int, peer: str) -> Policy:
        """The policy for a client of this listener; KeyError when there is no such listener."""
        return self._policies[listener, is_loopback(peer)]


def _clear_text_allowed(word: str, *, local: bool) -> bool:
    """Whether passwords may be sent without TLS, in Qpopper's words (clear-text-password)."""
    return word in ("always", "default") or (word == "local" and local)
