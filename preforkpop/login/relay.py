"""The relay of a TLS session: records to and from the client, plaintext to and from its worker.

Run by login processes. Theory of operation: there are two directions, and each is either moving or
has one piece that its receiver had no room for. While a direction has such a piece, its source is
not read and its receiver is watched for room (``Client.interest`` and ``relay_interest``). So a
client that does not take its mail holds at most one piece of ``PIECE`` octets here, and its worker
blocks in its write, as it would on the client's own socket.

    client's socket --feed, decrypt--> inward  --> worker's socket
    client's socket <-- outward <--encrypt-- worker's socket

The relay begins with the worker's first word: until then the client's octets may still belong to
AUTHORIZATION. The client's end of file is passed on as a half-close, so that a client that has sent
everything and waits for the answers gets them. The worker's end of file ends the session when all
is sent; if a hang-up announces it, the last words and the good-bye are one write. A worker that
ends without a word was never there: auth or the worker died on the way.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from math import inf
from typing import Final

from preforkpop.login.client import IN, OUT, Client, Phase
from preforkpop.login.connections import Connections, transmit
from preforkpop.pop3 import reply
from preforkpop.tls.stream import RECORD

PIECE: Final = 131072
"""Octets taken from a worker at once: eight records. A megabyte cost 1.27 ms of this process with
two records, 0.79 with four, 0.67 with eight and 0.62 with sixteen; each client that does not take
its mail may hold one piece here."""

_READ: Final = RECORD + 1024  # a record, whatever its overhead
_NO_WAIT: Final = int(socket.MSG_DONTWAIT)
_HANG_UP: Final = select.EPOLLHUP  # a worker's: nothing comes behind what can be read now

NO_SESSION: Final = reply.error("The session could not be started, try again later", "SYS/TEMP")


class Relay:
    """Moves octets for all relayed clients of one login process."""

    __slots__ = ("_connections", "_piece", "_timeout", "_view")

    def __init__(self, connections: Connections, timeout: float) -> None:
        """``timeout``: seconds in which a client has to take some of what waits for it."""
        self._connections = connections
        self._timeout = timeout
        self._piece = bytearray(PIECE)
        self._view = memoryview(self._piece)

    def ready(self, client: Client, descriptor: int, events: int) -> None:
        """Something can move on one of the client's descriptors."""
        if descriptor == client.descriptor:
            if client.outward and events & ~IN:
                self._flush_outward(client)
            if events & ~OUT and not client.inward and not client.half_closed:
                self._from_client(client)
        else:
            if client.inward and events & ~IN:
                self._flush_inward(client)
            if events & ~OUT and not client.outward:
                self._from_worker(client, last=bool(events & _HANG_UP))
        if client.phase is Phase.RELAY:
            self._connections.watch(client)

    # ------------------------------------------------------------------ inward

    def _from_client(self, client: Client) -> None:
        """Decrypt what the client sent; its end of file becomes a half-close."""
        assert client.tls is not None
        try:
            data = client.sock.recv(_READ, _NO_WAIT)
        except BlockingIOError:
            return
        if data:
            client.tls.feed(data)
            self._decrypt(client)
        else:
            self._half_close(client)

    def _decrypt(self, client: Client) -> None:
        """Pass on the plaintext that can be had, until the worker has no room for it."""
        stream = client.tls
        assert stream is not None
        while not client.inward and not client.half_closed:
            data = stream.receive()
            if data is None:
                self._to_client(client, stream.outgoing())
                return
            if data:
                self._to_worker(client, data)
            else:
                self._half_close(client)

    def _flush_inward(self, client: Client) -> None:
        data, client.inward = client.inward, b""
        self._to_worker(client, data)
        self._decrypt(client)

    def _to_worker(self, client: Client, data: bytes) -> None:
        """Send to the worker; keep what it has no room for."""
        assert client.relay is not None
        try:
            client.inward = data[transmit(client.relay, data) :]
        except OSError:  # it reads nothing more, but its last answers may still be on their way
            client.half_closed = True

    def _half_close(self, client: Client) -> None:
        assert client.relay is not None
        client.half_closed = True
        with contextlib.suppress(OSError):
            client.relay.shutdown(socket.SHUT_WR)

    # ------------------------------------------------------------------ outward

    def _from_worker(self, client: Client, *, last: bool) -> None:
        """Encrypt a piece of what the worker sent; its end of file ends the session."""
        assert client.relay is not None and client.tls is not None
        try:
            size = client.relay.recv_into(self._piece, PIECE, _NO_WAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:  # it closed without reading everything
            size = 0
        if not size:
            first = client.phase is Phase.VERDICT
            self._connections.end(client, NO_SESSION if first else b"", self._timeout)
            return
        if last and size < PIECE:
            self._connections.end(client, bytes(self._view[:size]), self._timeout)
            return
        self._to_client(client, client.tls.encrypt(self._view[:size]))
        if client.phase is Phase.VERDICT:
            client.phase = Phase.RELAY
            self._decrypt(client)

    def _flush_outward(self, client: Client) -> None:
        octets, client.outward = client.outward, b""
        self._to_client(client, octets)

    def _to_client(self, client: Client, octets: bytes) -> None:
        """Send to the client; while it has no room, it has a bounded time to make some."""
        self._connections.send_raw(client, octets)
        client.deadline = time.monotonic() + self._timeout if client.outward else inf
