"""SASL in POP3 (RFC 5034): base64 of an exchange and the message of PLAIN (RFC 4616).

Run by login processes, without privilege. Nothing is kept between two exchanges.
"""

from __future__ import annotations

import binascii
from typing import Final, NamedTuple

CHALLENGE: Final = b"+ \r\n"
"""The empty challenge with which the server asks for PLAIN's message (RFC 5034 section 4)."""

_CONTROLS: Final = bytes((*range(0x20), 0x7F))


class MalformedError(Exception):
    """A client's response that is not base64 or not a message of its mechanism."""


class Plain(NamedTuple):
    """The message of PLAIN; made and thrown away at once, as it holds the password."""

    authzid: bytes
    authcid: bytes
    password: bytes


def decode(response: bytes) -> bytes:
    """Decode canonical base64 (RFC 4648 section 4): no blanks, no missing or extra padding."""
    try:
        octets = binascii.a2b_base64(response, strict_mode=True)
    except binascii.Error as fault:
        raise MalformedError("Invalid base64") from fault
    if binascii.b2a_base64(octets, newline=False) != response:
        raise MalformedError("Invalid base64")
    return octets


def initial(response: bytes) -> bytes:
    """Decode an initial response, in which ``=`` stands for an empty one (RFC 5034 section 4)."""
    return b"" if response == b"=" else decode(response)


def plain(message: bytes) -> Plain:
    """Read ``[authzid] NUL authcid NUL password``: exactly two NULs, a name and a password.

    Names with control characters are refused as they are in USER.
    """
    parts = message.split(b"\0")
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise MalformedError("Invalid PLAIN message")
    names = parts[0] + parts[1]
    if names.translate(None, _CONTROLS) != names:
        raise MalformedError("Control characters in a name")
    return Plain(*parts)
