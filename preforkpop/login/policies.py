"""What is offered to which client before login: from the settings and the client's address. Pure.

Run by login processes and inetd mode.
"""

from __future__ import annotations

from preforkpop.config.settings import Settings
from preforkpop.pop3.authorization import Policy

DEFAULT_GREETING = "POP3 server ready"


def is_loopback(peer: str) -> bool:
    """Whether a client is on this machine; an empty address is a pipe or a terminal."""
    return peer == "::1" or peer.startswith(("127.", "::ffff:127.")) or not peer


def clear_text_allowed(word: str, peer: str) -> bool:
    """Whether passwords may be sent without TLS: Qpopper's words (clear-text-password)."""
    return word in ("always", "default") or (word == "local" and is_loopback(peer))


class Policies:
    """Policies by listener and by whether the client is local; made once and shared."""

    def __init__(self, settings: Settings, *, tls: bool) -> None:
        authentication = settings.authentication
        sources = {source.type for source in authentication.sources}
        mechanisms = tuple(name for name in authentication.mechanisms if name in ("USER", "PLAIN"))
        apop = "APOP" in authentication.mechanisms and "passwd-file" in sources
        self._policies = {
            (index, local): Policy(
                greeting=settings.login.greeting or DEFAULT_GREETING,
                apop=apop,
                mechanisms=mechanisms,
                tls_available=tls and listener.tls == "stls",
                clear_text_allowed=clear_text_allowed(
                    authentication.clear_text_password, "127.0.0.1" if local else "192.0.2.1"
                ),
            )
            for index, listener in enumerate(settings.listeners)
            for local in (False, True)
        }

    def find(self, listener: int, peer: str) -> Policy:
        """The policy for a client of this listener."""
        return self._policies[listener, is_loopback(peer)]
