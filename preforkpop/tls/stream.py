"""One TLS connection without I/O: octets from the network in, plaintext out, and back.

Run by login processes. Theory of operation: OpenSSL works on two memory BIOs instead of a socket.
``feed`` puts what came from the network into the one; every call that makes OpenSSL work
(handshake, decrypt, encrypt, close) may leave octets for the network in the other, and the caller
takes them with ``outgoing`` and sends them before it does anything else. OpenSSL's "want read" is
therefore the only thing that can stop it, and it means: feed more. A handshake, a session ticket, a
key update or an alert needs no code of its own here.
"""

from __future__ import annotations

from OpenSSL import SSL

from preforkpop.tls.context import describe

RECORD = 16384  # octets of plaintext in one TLS record (RFC 8446 section 5.1)


class StreamError(Exception):
    """The peer's TLS is broken: this client is cut off, nobody else is concerned."""


class TlsStream:
    """The server's side of one connection."""

    __slots__ = ("_connection", "established")

    def __init__(self, context: SSL.Context) -> None:
        self._connection = SSL.Connection(context, None)
        self._connection.set_accept_state()
        self.established = False

    def feed(self, octets: bytes) -> None:
        """Octets from the network."""
        view = memoryview(octets)
        while view:
            view = view[self._connection.bio_write(view) :]

    def outgoing(self) -> bytes:
        """Octets for the network; b"" when there are none."""
        try:
            first = self._connection.bio_read(2 * RECORD)
        except SSL.WantReadError:
            return b""
        if len(first) < 2 * RECORD:
            return first
        pieces = [first]
        while True:
            try:
                pieces.append(self._connection.bio_read(16 * RECORD))
            except SSL.WantReadError:
                return b"".join(pieces)

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

    def send(self, plaintext: bytes) -> None:
        """Encrypt; the result waits in ``outgoing``."""
        try:
            self._connection.sendall(plaintext)
        except SSL.Error as error:
            raise StreamError(describe(error)) from error

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
