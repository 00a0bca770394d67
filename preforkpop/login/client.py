"""One client of a login process.

Run by login processes, without privileges, in an empty root directory. Thousands of clients wait
here, so a client is a few references: its socket, its lease, its AUTHORIZATION state, and a TLS
stream only when it speaks TLS.
"""

from __future__ import annotations

import enum
import os
import select
import socket
from math import inf
from typing import Final

from preforkpop.pop3.authorization import Authorization
from preforkpop.tls.stream import TlsStream

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT


class Phase(enum.Enum):
    """What a client of login is in the middle of."""

    HANDSHAKE = "handshake"
    AUTHORIZATION = "authorization"
    VERDICT = "verdict"  # TLS only: auth has been asked
    PENALTY = "penalty"  # the answer to a refused login is held back
    RELAY = "relay"  # TLS only: a worker serves the session
    CLOSING = "closing"  # the last octets are on their way
    GONE = "gone"  # closed here; the session may go on elsewhere


class Client:
    """A connection that login holds."""

    __slots__ = (
        "accepted",
        "counted",
        "deadline",
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
        "relay",
        "sock",
        "tls",
        "watching",
        "watching_relay",
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
        self.counted = False  # among those that wait to log in
        self.deadline = inf  # monotonic seconds at which its time is over
        self.tls: TlsStream | None = None
        self.relay: socket.socket | None = None  # to the worker
        self.outward = b""  # octets the client's socket had no room for
        self.inward = b""  # plaintext the worker's socket had no room for
        self.half_closed = False  # nothing more goes to the worker
        self.watching = 0  # the epoll events its socket is registered for; 0 when it is not
        self.watching_relay = 0  # the same for the socket to the worker

    def interest(self) -> int:
        """The events of the client's socket with which something can be done now; 0 for none.

        Whoever does not take its answers is not read. While auth is asked and while an answer is
        held back nothing is read either, however much the client sends.
        """
        waits = OUT if self.outward else 0
        if self.phase is Phase.RELAY:
            return waits if self.inward or self.half_closed else waits | IN
        if self.phase is Phase.AUTHORIZATION or self.phase is Phase.HANDSHAKE:
            return waits or IN
        return waits

    def relay_interest(self) -> int:
        """The same for the socket to the worker."""
        return (0 if self.outward else IN) | (OUT if self.inward else 0)

    def close(self) -> None:
        """Close all that the client holds."""
        self.sock.close()
        if self.relay is not None:
            self.relay.close()
            self.relay = None
        if self.lease >= 0:
            os.close(self.lease)
            self.lease = -1
