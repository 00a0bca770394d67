"""The relay of a TLS session: records to and from the client, plaintext to and from its worker.

Run by login processes. Theory of operation: there are two directions, and each is either moving or
has one piece that its receiver had no room for. While a direction has such a piece, its source is
not read and its receiver is watched for room. So a client that does not take its mail holds at most
one piece of ``PIECE`` octets here, and its worker blocks in its write, as it would on the client's
own socket. A descriptor for which nothing can be done is taken out of the epoll set, because a
level-triggered hang-up would be reported for ever.

    client's socket --feed, decrypt--> inward  --> worker's socket
    client's socket <-- outward <--encrypt-- worker's socket

The relay begins with the worker's first word: until then the client's octets may still belong to
AUTHORIZATION. The client's end of file is passed on as a half-close, so that a client that has sent
everything and waits for the answers gets them. The worker's end of file ends the session when all
is sent.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable

from preforkpop.login.client import Client, Phase
from preforkpop.tls.stream import RECORD

PIECE = 262144  # octets taken from a worker at once
IN, OUT = select.EPOLLIN, select.EPOLLOUT


class Relay:
    """Moves octets for all relayed clients of one login process."""

    def __init__(self, epoll: select.epoll, gone: Callable[[Client], None]) -> None:
        self._epoll = epoll
        self._gone = gone

    def attach(self, client: Client, relay: socket.socket) -> None:
        """Wait for the worker's first word on this socket; the client is not read until then."""
        client.relay = relay
        relay.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
        self._watch_worker(client, IN)

    def detach(self, client: Client) -> int:
        """Give up the worker's socket; its descriptor, which is closed."""
        relay = client.relay
        assert relay is not None
        descriptor = relay.fileno()
        self._watch_worker(client, 0)
        relay.close()
        client.relay = None
        return descriptor

    def ready(self, client: Client, descriptor: int, events: int) -> None:
        """Something can move."""
        with contextlib.suppress(BlockingIOError):
            if descriptor == client.descriptor:
                if events & OUT and client.outward:
                    self._flush_outward(client)
                else:
                    self._from_client(client)
            elif events & OUT and client.inward:
                self._flush_inward(client)
            else:
                self._from_worker(client)
        if client.relay is not None:
            self._watch_both(client)

    def _from_client(self, client: Client) -> None:
        """Decrypt what the client sent; its end of file becomes a half-close."""
        assert client.tls is not None
        data = client.sock.recv(2 * RECORD, socket.MSG_DONTWAIT)
        if data:
            client.tls.feed(data)
            self._decrypt(client)
        else:
            self._half_close(client)

    def _decrypt(self, client: Client) -> None:
        """Pass on the plaintext that can be had until the worker has no room for it."""
        stream = client.tls
        assert stream is not None
        while not client.inward and not client.half_closed:
            data = stream.receive()
            if data is None:
                self._send(client, stream.outgoing())
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
            sent = client.relay.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:  # it reads nothing more, but its last answers may still be on their way
            client.half_closed = True
            return
        client.inward = data[sent:]

    def _half_close(self, client: Client) -> None:
        assert client.relay is not None
        client.half_closed = True
        with contextlib.suppress(OSError):
            client.relay.shutdown(socket.SHUT_WR)

    def _from_worker(self, client: Client) -> None:
        """Encrypt a piece of what the worker sent; its end of file ends the session."""
        assert client.relay is not None and client.tls is not None
        try:
            data = client.relay.recv(PIECE, socket.MSG_DONTWAIT)
        except ConnectionResetError:  # it closed without reading everything
            data = b""
        if not data:
            self._worker_ended(client)
            return
        client.tls.send(data)
        self._send(client, client.tls.outgoing())
        if client.phase is Phase.VERDICT:
            client.phase = Phase.RELAY
            self._decrypt(client)

    def _worker_ended(self, client: Client) -> None:
        """Say good-bye when all is sent; the outward piece is empty here."""
        assert client.tls is not None
        client.tls.close()
        self._send(client, client.tls.outgoing())
        if not client.outward:
            self._gone(client)
            return
        client.phase = Phase.CLOSING
        self._watch_worker(client, 0)
        self._watch_client(client, OUT)

    def _flush_outward(self, client: Client) -> None:
        octets, client.outward = client.outward, b""
        self._send(client, octets)

    def _send(self, client: Client, octets: bytes) -> None:
        """Send to the client what it has room for, and keep the rest."""
        if client.outward:
            client.outward += octets
        elif octets:
            try:
                sent = client.sock.send(octets, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                sent = 0
            client.outward = octets[sent:]
        client.progress = time.monotonic()

    def _watch_both(self, client: Client) -> None:
        """Watch each descriptor for what can be done with it now."""
        if client.phase is not Phase.RELAY:
            return
        read_client = 0 if client.inward or client.half_closed else IN
        self._watch_client(client, read_client | (OUT if client.outward else 0))
        read_worker = 0 if client.outward else IN
        self._watch_worker(client, read_worker | (OUT if client.inward else 0))

    def _watch_client(self, client: Client, events: int) -> None:
        client.watching = self._change(client.descriptor, client.watching, events)

    def _watch_worker(self, client: Client, events: int) -> None:
        assert client.relay is not None
        client.watching_worker = self._change(client.relay.fileno(), client.watching_worker, events)

    def _change(self, descriptor: int, watching: int, events: int) -> int:
        if events != watching:
            if not watching:
                self._epoll.register(descriptor, events)
            elif events:
                self._epoll.modify(descriptor, events)
            else:
                self._epoll.unregister(descriptor)
        return events
