"""One client of a login process, and the ledger of all of them.

Run by login processes, without privileges, in an empty root directory. Thousands of clients wait
here, so a client is a few references: its socket, its lease, its AUTHORIZATION state, and a TLS
stream only when it speaks TLS.
"""

from __future__ import annotations

import enum
import os
import socket

from preforkpop.pop3.authorization import Authorization
from preforkpop.tls.stream import TlsStream


class Phase(enum.Enum):
    """What a client of login is in the middle of."""

    HANDSHAKE = "handshake"
    AUTHORIZATION = "authorization"
    VERDICT = "verdict"  # TLS only: auth has been asked
    PENALTY = "penalty"  # the answer to a refused login is held back
    RELAY = "relay"  # TLS only: a worker serves the session
    CLOSING = "closing"  # the last octets are on their way


class Client:
    """A connection that login holds."""

    __slots__ = (
        "accepted",
        "descriptor",
        "greeted",
        "half_closed",
        "inward",
        "lease",
        "listener",
        "machine",
        "number",
        "outward",
        "peer",
        "phase",
        "port",
        "progress",
        "relay",
        "sock",
        "tls",
        "watching",
        "watching_worker",
    )

    def __init__(
        self,
        sock: socket.socket,
        lease: int,
        machine: Authorization,
        *,
        peer: str,
        port: int,
        listener: int,
        accepted: float,
        number: int,
    ) -> None:
        self.sock = sock
        self.descriptor = sock.fileno()
        self.lease = lease
        self.machine = machine
        self.peer = peer
        self.port = port
        self.listener = listener
        self.accepted = accepted
        self.number = number
        self.phase = Phase.AUTHORIZATION
        self.greeted = False
        self.tls: TlsStream | None = None
        self.relay: socket.socket | None = None
        self.outward = b""  # octets the client's socket had no room for
        self.inward = b""  # plaintext the worker's socket had no room for
        self.half_closed = False  # the client will send nothing more
        self.progress = accepted
        self.watching = 0  # the epoll events its socket is registered for; 0 when it is not
        self.watching_worker = 0  # the same for the worker's socket

    def close(self) -> None:
        """Close all that the client holds."""
        self.sock.close()
        if self.relay is not None:
            self.relay.close()
            self.relay = None
        if self.lease >= 0:
            os.close(self.lease)
            self.lease = -1


class Crowd:
    """All clients of a process: the oldest first, and how many there are from each address."""

    def __init__(self) -> None:
        self.by_number: dict[int, Client] = {}
        self._by_peer: dict[str, dict[int, Client]] = {}

    def __len__(self) -> int:
        return len(self.by_number)

    def add(self, client: Client) -> None:
        """A client came."""
        self.by_number[client.number] = client
        self._by_peer.setdefault(client.peer, {})[client.number] = client

    def remove(self, client: Client) -> None:
        """A client has gone, or was handed on."""
        del self.by_number[client.number]
        crowd = self._by_peer[client.peer]
        del crowd[client.number]
        if not crowd:
            del self._by_peer[client.peer]

    def oldest_of_heaviest(self) -> Client | None:
        """Who goes first when there is no room: the oldest, not yet logged in, of the address
        that holds most."""
        waiting = ((len(crowd), crowd) for crowd in self._by_peer.values() if self._waiting(crowd))
        _size, crowd = max(waiting, key=lambda pair: pair[0], default=(0, {}))
        return self._waiting(crowd)

    @staticmethod
    def _waiting(crowd: dict[int, Client]) -> Client | None:
        """The oldest that has not logged in."""
        return next((one for one in crowd.values() if one.phase is not Phase.RELAY), None)
