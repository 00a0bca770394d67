"""One TLS connection without I/O: octets from the network in, plaintext out, and back.

Run by login processes. Theory of operation: OpenSSL works on two memory BIOs instead of a socket.
``feed`` puts what came from the network into the one; every call that makes OpenSSL work
(handshake, receive, encrypt, close) may leave octets for the network in the other, and the caller
takes them with ``outgoing`` and sends them before it does anything else; ``encrypt`` and ``close``
return their own. OpenSSL's "want read" is therefore the only thing that can stop it, and it means:
feed more. A handshake, a session ticket, a key update or an alert needs no code of its own here.

pyOpenSSL says "want read" by an exception, so nothing is asked when the answer is known. There is
no plaintext when OpenSSL has seen all records that were fed: each gives one piece, or none when it
is OpenSSL's own. Then there are more records counted than there were pieces, and OpenSSL is asked
once more: only what it does there, or in a handshake, can make it say something by itself.

Measured beside a connection on the socket itself, which spares two copies and costs a write for
each record: no slower for 64 kB or more at once, and one read instead of two for each record of a
client.
"""

from __future__ import annotations

import contextlib
from typing import Final, TypeAlias

from OpenSSL import SSL

from preforkpop.tls.context import describe
from preforkpop.tls.records import Records

RECORD: Final = 16384
"""Octets of plaintext in one TLS record (RFC 8446 section 5.1)."""

_OVERHEAD: Final = 64
"""Octets by which a record is longer than its plaintext, and room to spare."""

_TICKETS: Final = 1024
"""Octets of what OpenSSL says after a handshake, with which the first answer goes."""

Octets: TypeAlias = bytes | memoryview


class StreamError(Exception):
    """The peer's TLS is broken: this client is cut off, nobody else is concerned."""


class TlsStream:
    """The server's side of one connection."""

    __slots__ = ("_connection", "_may_speak", "_records", "_unread", "established")

    def __init__(self, context: SSL.Context) -> None:
        self._connection = SSL.Connection(context, None)
        self._connection.set_accept_state()
        self._records = Records()
        self._unread = 0  # records that OpenSSL may not have seen
        self._may_speak = False  # there may be octets for the network
        self.established = False

    def feed(self, octets: bytes) -> None:
        """Octets from the network."""
        if octets:
            self._connection.bio_write(octets)
            self._unread += self._records.ends(octets)

    def outgoing(self, expected: int = RECORD) -> bytes:
        """Octets for the network; b"" when there are none. ``expected``: how many, about."""
        if not self._may_speak:
            return b""
        try:
            octets = self._connection.bio_read(expected)
        except SSL.WantReadError:
            octets = b""
        if len(octets) == expected:
            return octets + self.outgoing(2 * expected)
        self._may_speak = False
        return octets

    def handshake(self) -> bool:
        """Go on with the handshake; whether it is complete."""
        self._may_speak = True
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            self._unread = 0
            return False
        except SSL.Error as error:
            raise StreamError(describe(error)) from error
        self.established = True
        return True

    def receive(self) -> bytes | None:
        """The plaintext of a record; None: feed more first; b"": the peer has closed."""
        if not self._unread:
            return None
        try:
            plaintext = self._connection.recv(RECORD)
        except SSL.WantReadError:
            self._unread = 0
            self._may_speak = True
            return None
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:
            self._may_speak = True
            raise StreamError(describe(error)) from error
        self._unread -= 1
        return plaintext

    def encrypt(self, plaintext: Octets) -> bytes:
        """Octets for the network that carry this, and whatever else waited to be sent."""
        self._may_speak = True
        try:
            self._connection.sendall(plaintext)
        except SSL.Error as error:
            raise StreamError(describe(error)) from error
        size = len(plaintext)
        return self.outgoing(size + size // RECORD * _OVERHEAD + _TICKETS)

    def close(self, last: bytes = b"") -> bytes:
        """Octets for the network that carry the last words and say good-bye (close_notify)."""
        self._may_speak = True
        with contextlib.suppress(SSL.Error):
            if last:
                self._connection.sendall(last)
            self._connection.shutdown()
        return self.outgoing(len(last) + _TICKETS)

    def description(self) -> str:
        """Protocol and cipher for the log: "TLSv1.3 TLS_AES_256_GCM_SHA384"."""
        version = self._connection.get_protocol_version_name()
        return f"{version} {self._connection.get_cipher_name()}"
