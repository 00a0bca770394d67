"""The relay of a TLS session: records to and from the client, plaintext to and from its worker.

Run by login processes. Theory of operation: there are two directions, and each is either moving or
has one piece that its receiver had no room for. While a direction has such a piece, its source is not
read (it is taken out of the epoll set, because a level-triggered hang-up would report for ever), and
its receiver is watched for room. So a client that does not take its mail holds at most one piece of
``PIECE`` octets here, and its worker blocks in its write, as it would on the client's own socket.

    client's socket --feed, decrypt--> inward  --> worker's socket
    client's socket <-- outward <--encrypt-- worker's socket

The client's end of file is passed on as a half-close, so that a client that has sent everything and
waits for the answers gets them. The worker's end of file ends the session when all is sent.
"""

from __future__ import annotations

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
        self._epoll.register(relay.fileno(), IN)

    def detach(self, client: Client) -> int:
        """Give up the worker's socket; its descriptor, which is closed."""
        relay = client.relay
        assert relay is not None
        descriptor = relay.fileno()
        if not client.outward or client.phase is not Phase.RELAY:
            self._epoll.unregister(descriptor)
        relay.close()
        client.relay = None
        return descriptor

    def ready(self, client: Client, descriptor: int, events: int) -> None:
        """Something can move."""
        if descriptor == client.descriptor:
            if events & OUT and client.outward:
                self._flush_outward(client)
            elif events & ~OUT:
                self._from_client(client)
        elif events & OUT and client.inward:
            self._flush_inward(client)
        else:
            self._from_worker(client)
