"""A TLS client in memory, and what passes between it and a stream."""

from __future__ import annotations

import ssl

from preforkpop.tls.stream import TlsStream


class MemoryClient:
    """Python's TLS over memory, connected to a stream."""

    def __init__(
        self,
        server: TlsStream,
        context: ssl.SSLContext,
        *,
        name: str | None = "localhost",
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.server = server
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=name, session=session
        )

    def to_server(self) -> None:
        """Pass on what the client has to send."""
        self.server.feed(self.outgoing.read())

    def to_client(self, octets: bytes = b"") -> None:
        """Pass on what the server has to send."""
        self.incoming.write(octets + self.server.outgoing())

    def handshake(self) -> None:
        """Shake hands until both are done."""
        complete = False
        while not (complete and self.server.established):
            try:
                self.tls.do_handshake()
                complete = True
            except ssl.SSLWantReadError:
                pass
            self.to_server()
            if not self.server.established:
                self.server.handshake()
            self.to_client()

    def read(self) -> bytes:
        """All plaintext that has come; "" at the end (close_notify)."""
        found = b""
        while True:
            try:
                more = self.tls.read(65536)
            except ssl.SSLWantReadError:
                return found
            if not more:
                return found
            found += more

    def send(self, octets: bytes) -> None:
        """Say something to the server."""
        self.tls.write(octets)
        self.to_server()


def received(server: TlsStream) -> bytes:
    """All plaintext the server has."""
    found = b""
    while more := server.receive():
        found += more
    return found
