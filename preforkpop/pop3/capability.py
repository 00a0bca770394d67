"""Capability lists (RFC 2449 section 5) that are true in the state in which they are sent.

Run by login processes and workers. What is listed before login stays listed after it (section 5),
but for STLS, which RFC 2595 section 4 announces in AUTHORIZATION only. No EXPIRE and no
LOGIN-DELAY: the server has no such policy. IMPLEMENTATION only after login (section 6.9).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from preforkpop.pop3.command import COMMANDS
from preforkpop.pop3.reply import ok
from preforkpop.pop3.wire import TERMINATION

SASL_MECHANISMS: Final = ("PLAIN",)
"""The mechanisms that AUTH speaks."""

_ALWAYS: Final = ("RESP-CODES", "AUTH-RESP-CODE", "PIPELINING")


@lru_cache(maxsize=16)  # a handful of policies, asked for in most sessions
def before_login(mechanisms: tuple[str, ...], *, stls: bool) -> bytes:
    """Make the answer to CAPA in AUTHORIZATION; ``mechanisms`` are those accepted right now."""
    return _answer(_lines(mechanisms, stls=stls))


@lru_cache(maxsize=16)
def after_login(mechanisms: tuple[str, ...], implementation: str) -> bytes:
    """Make the answer to CAPA in TRANSACTION; ``mechanisms`` are those accepted before login."""
    return _answer([*_lines(mechanisms, stls=False), f"IMPLEMENTATION {implementation}"])


def sasl(mechanisms: tuple[str, ...]) -> list[str]:
    """Give the SASL mechanisms among the ways to log in."""
    return [name for name in SASL_MECHANISMS if name in mechanisms]


def multi_line(status: bytes, lines: list[str]) -> bytes:
    """Join a status line and a short list to a multi-line response."""
    return status + "".join(f"{line}\r\n" for line in lines).encode("ascii") + TERMINATION


def _lines(mechanisms: tuple[str, ...], *, stls: bool) -> list[str]:
    names = sasl(mechanisms)
    arguments = {
        "USER": "USER" if "USER" in mechanisms else "",
        "SASL": " ".join(("SASL", *names)) if names else "",
        "STLS": "STLS" if stls else "",
    }
    made = [command.capability for command in COMMANDS if command.capability]
    return [*filter(None, (arguments.get(name, name) for name in made)), *_ALWAYS]


def _answer(lines: list[str]) -> bytes:
    return multi_line(ok("Capability list follows"), lines)
