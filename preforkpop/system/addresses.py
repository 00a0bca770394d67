"""What a client's address, as text, says about it. Pure.

Used by the listener, login and auth processes. A text that is no address at all is never local, and
counts as a source of its own.
"""

from __future__ import annotations

import re
import socket
from typing import Final

_LOOPBACK: Final = re.compile(r"(?:::ffff:)?127(?:\.\d{1,3}){3}|::1", re.ASCII | re.IGNORECASE)


def is_loopback(peer: str) -> bool:
    """Whether the client is on this machine: 127.0.0.0/8 or ::1."""
    return _LOOPBACK.fullmatch(peer) is not None


def network(peer: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 an IPv6 address is in.

    Whoever has one IPv6 address has the other 2**64 of its network too.
    """
    if ":" not in peer:
        return peer
    try:
        packed = socket.inet_pton(socket.AF_INET6, peer.partition("%")[0])
    except (OSError, ValueError):  # no address; a NUL, or what cannot be encoded
        return peer
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8)) + "/64"
