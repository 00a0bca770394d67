"""Status lines (RFC 1939 section 3) with response codes (RFC 2449 section 8, RFC 3206).

Run by login processes and workers. Whatever a text holds, what leaves here is one line of printable
ASCII of at most 512 octets: octets of a client or of a mail cannot make a second line.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

MAXIMUM_STATUS: Final = 512
"""Octets of a status line with CRLF (RFC 1939 section 3)."""

_ESCAPES: Final = {octet: f"\\x{octet:02x}" for octet in (*range(0x20), *range(0x7F, 0x100))}


class ResponseCode(StrEnum):
    """The response codes that this server sends."""

    IN_USE = "IN-USE"  # RFC 2449: the maildrop is locked by another session, and nothing else
    LOGIN_DELAY = "LOGIN-DELAY"  # RFC 2449: too soon after the last login
    SYS_TEMP = "SYS/TEMP"  # RFC 3206: may pass by itself
    SYS_PERM = "SYS/PERM"  # RFC 3206: somebody has to do something
    AUTH = "AUTH"  # RFC 3206: the credentials, or the way they were offered


def ok(text: str) -> bytes:
    """Make a positive status line."""
    return _line("+OK ", text)


def error(text: str, code: str | None = None) -> bytes:
    """Make a negative status line; ``code`` is a ResponseCode or the code of a StoreError."""
    return _line(f"-ERR [{code}] " if code else "-ERR ", text)


def shown(octets: bytes, limit: int = 40) -> str:
    """Give a client's octets as printable text of at most ``limit`` of them, to be echoed."""
    text = octets[:limit].decode("latin-1").translate(_ESCAPES)
    return text + "..." if len(octets) > limit else text


def _line(status: str, text: str) -> bytes:
    line = status + text
    if not (line.isascii() and line.isprintable()):
        line = line.encode("ascii", "backslashreplace").decode("ascii").translate(_ESCAPES)
    return line[: MAXIMUM_STATUS - 2].encode("ascii") + b"\r\n"
