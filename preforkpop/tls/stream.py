"""One TLS connection without I/O: octets from the network in, plaintext out, and back.

Run by login processes. Theory of operation: OpenSSL works on two memory BIOs instead of a socket.
``feed`` puts what came from the network into the one; every call that makes OpenSSL work
(handshake, receive, encrypt, close) may leave octets for the network in the other, and the caller
takes them with ``outgoing`` and sends them before it does anything else; ``encrypt`` returns its
own. OpenSSL's "want read" is therefore the only thing that can stop it, and it means: feed more. A
handshake, a session ticket, a key update or an alert needs no code of its own here.

Measured beside a connection on the socket itself, which spares two copies and costs a write for
each record: no slower for 64 kB or more at once, and one read instead of two for each record of a
client.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from OpenSSL import SSL

from preforkpop.tls.context import describe

RECORD: Final = 16384
"""Octets of plaintext in one TLS record (RFC 8446 section 5.1)."""

_OVERHEAD: Final = 64
"""Octets by which a record is longer than its plaintext, and room to spare."""

Octets: TypeAlias = bytes | memoryview


class StreamError(Exception):
    """The peer's TLS is broken: this client is cut off, nobody else is concerned."""


class TlsStream:
    """The server's side of one connection."""

    __slots__ = ("_connection", "established")

    def __init__(self, context: SSL.Context) -> None:
        self._connection = SSL.Connection(context, None)
        self._connection.set_accept_state()
        self.established = False

    def feed(self, octets: Octets) -> None:
        """Octets from the network."""
        view = memoryview(octets)
        while view:
            view = view[self._connection.bio_write(view) :]

    def outgoing(self, expected: int = RECORD) -> bytes:
        """Octets for the network; b"" when there are none. ``expected``: how many, about."""
        try:
            octets = self._connection.bio_read(expected)
        except SSL.WantReadError:
            return b""
        return octets if len(octets) < expected else octets + self.outgoing(2 * expected)

    def handshake(self) -> bool:
        """Go on with the handshake; whether it is complete."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise StreamError(describe(error)) from error
        self.established = True
        return True

    def receive(self, size: int = RECORD) -> bytes | None:
        """Plaintext; None when more must be fed first; b"" when the peer has closed."""
        try:
            return self._connection.recv(size)
        except SSL.WantReadError:
            return None
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:
            raise StreamError(describe(error)) from error

    def encrypt(self, plaintext: Octets) -> bytes:
        """Octets for the network that carry this, and whatever else waited to be sent."""
        try:
            self._connection.sendall(plaintext)
        except SSL.Error as error:
            raise StreamError(describe(error)) from error
        size = len(plaintext)
        return self.outgoing(size + (size // RECORD + 2) * _OVERHEAD)

    def close(self) -> None:
        """Say good-bye (close_notify); the octets wait in ``outgoing``."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            return

    def description(self) -> str:
        """Protocol and cipher for the log: "TLSv1.3 TLS_AES_256_GCM_SHA384"."""
        version = self._connection.get_protocol_version_name()
        return f"{version} {self._connection.get_cipher_name()}"
