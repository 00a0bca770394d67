"""A POP3 client for tests that says exactly what it is told to and shows exactly what came."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from tests.support.certificates import client_context
from tests.support.waiting import PATIENCE


class Client:
    """One connection."""

    def __init__(self, port: int, *, tls: str = "off", source: str = "") -> None:
        """``tls``: "implicit" starts it at once; "stls" and "off" begin in the clear.

        ``source``: the address to come from, "127.0.0.2".
        """
        where = ("127.0.0.1", port)
        self._begin(
            socket.create_connection(where, source_address=(source, 0) if source else None), tls
        )

    @classmethod
    def of(cls, sock: socket.socket, *, tls: str = "off") -> Client:
        """A client on a connection that is there already."""
        client = cls.__new__(cls)
        client._begin(sock, tls)
        return client

    def _begin(self, sock: socket.socket, tls: str) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock
        self._buffer = b""
        self.greeting = b""
        if tls == "implicit":
            with self._closed_on_failure():
                self.start_tls()

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        """Who cannot get a client cannot close it."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave without a word."""
        self.sock.close()

    def start_tls(
        self,
        context: ssl.SSLContext | None = None,
        *,
        name: str = "localhost",
        session: ssl.SSLSession | None = None,
    ) -> None:
        """Begin TLS; whatever the server said before must have been read."""
        assert not self._buffer, f"the server said more before TLS: {self._buffer!r}"
        context = context or client_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=name, session=session)

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self.sock.sendall(octets)

    def line(self) -> bytes:
        """One line without its CRLF; fails when the server closes before one."""
        while b"\r\n" not in self._buffer:
            more = self.sock.recv(65536)
            assert more, f"the server closed the connection after {self._buffer!r}"
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def rest(self) -> bytes:
        """Everything up to the server's end of file."""
        pieces = [self._buffer]
        self._buffer = b""
        while more := self._receive():
            pieces.append(more)
        return b"".join(pieces)

    def closed(self) -> bool:
        """Whether the server has nothing more to say and closes."""
        return not self._buffer and not self._receive()

    def _receive(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            return b""

    # ------------------------------------------------------------------ POP3

    def greet(self) -> Client:
        """Take the greeting."""
        with self._closed_on_failure():
            self.greeting = self.line()
            assert self.greeting.startswith(b"+OK"), self.greeting
        return self

    def says(self, command: str) -> bytes:
        """The first line of the answer to a command."""
        self.send(command.encode() + b"\r\n")
        return self.line()

    def ok(self, command: str) -> bytes:
        """The first line of the answer, which has to be +OK."""
        answer = self.says(command)
        assert answer.startswith(b"+OK"), f"{command}: {answer!r}"
        return answer

    def listing(self, command: str) -> list[bytes]:
        """The lines of a multi-line answer as they came, less what byte-stuffing added."""
        self.ok(command)
        return self.lines()

    def lines(self) -> list[bytes]:
        """The lines up to the one that is a dot alone."""
        found = []
        while (line := self.line()) != b".":
            found.append(line[1:] if line.startswith(b".") else line)
        return found

    def stls(self) -> None:
        """STLS."""
        with self._closed_on_failure():
            self.ok("STLS")
            self.start_tls()

    def log_in(self, user: str, password: str = "secret") -> bytes:
        """USER and PASS; the answer to PASS, which has to be +OK."""
        with self._closed_on_failure():
            self.ok(f"USER {user}")
            return self.ok(f"PASS {password}")

    def retrieve(self, number: int) -> bytes:
        """A message as it was sent, lines ending CRLF."""
        return b"".join(line + b"\r\n" for line in self.listing(f"RETR {number}"))

    def uidl(self) -> dict[int, bytes]:
        """Unique-ids by number."""
        pairs = (line.split(b" ") for line in self.listing("UIDL"))
        return {int(number): uid for number, uid in pairs}

    def quit(self) -> bytes:
        """QUIT, and the server closes; its answer."""
        answer = self.ok("QUIT")
        assert self.closed(), "the server left the connection open after QUIT"
        self.close()
        return answer
