"""The listener, its sockets and what it is told.

Run by the master (root when started as root). The listener lives through reloads: a new
configuration reaches it as orders, with the sockets and the way to the current login processes, so
that what it counts is not lost by one. The listening sockets are the master's: a listener that dies
is replaced, and clients that come meanwhile wait in the kernel's backlog.
"""

from __future__ import annotations

import signal
import socket

from preforkpop.config.settings import Settings
from preforkpop.ipc import channel
from preforkpop.ipc.orders import Orders
from preforkpop.ipc.scoreboard import Scoreboard
from preforkpop.master import births
from preforkpop.master.listening import Sockets
from preforkpop.supervision.children import Children
from preforkpop.supervision.pools import FixedPool, Kind
from preforkpop.system.sockets import pair


class Front:
    """What stands before the generations."""

    def __init__(self, common: births.Common, settings: Settings, children: Children) -> None:
        """Listen; AddressError."""
        self.sockets = Sockets()
        self.sockets.open(settings.listeners)
        self.settings = settings
        self._common = common
        self._children = children
        self.board = Scoreboard(1)
        self._pool = FixedPool(Kind("listener", self._run, self.board, 0, 1, children, common.log))
        self._orders: socket.socket | None = None
        self._admitted: socket.socket | None = None

    def refill(self, now: float) -> float:
        """Fork the listener if there is none, with a new channel for orders."""
        kind = self._pool.kind
        if kind.living or kind.closed:
            return 0.0
        delay = kind.backoff.delay(now)
        if delay:
            return delay
        if self._orders is not None:
            self._orders.close()
        self._orders, self._orders_in = pair()
        self._pool.refill(now)
        self._orders_in.close()
        return 0.0

    def ready(self) -> bool:
        """Whether the listener is at work."""
        return self._pool.kind.ready()

    def accepted(self) -> int:
        """Connections passed on so far."""
        return self.board.read(0).sessions

    def instruct(self, settings: Settings, admitted: socket.socket) -> None:
        """Put a configuration in force, and send clients to another generation.

        A listener that cannot take orders is replaced by one that starts with them.
        """
        self.settings, self._admitted = settings, admitted
        if not self._pool.kind.living or self._orders is None:
            return
        numbered = self.sockets.numbered(settings.listeners)
        orders = Orders(settings.admission, tuple(index for index, _sock in numbered))
        descriptors = [admitted.fileno(), *(sock.fileno() for _index, sock in numbered)]
        try:
            channel.send(self._orders, orders.pack(), descriptors, wait=False)
        except OSError:
            self._children.signal(signal.SIGKILL, "listener")

    def close(self) -> None:
        """Accept nothing more: the listener sees the end of its orders and ends."""
        self._pool.kind.closed = True
        if self._orders is not None:
            self._orders.close()
        self.sockets.close()

    def _run(self, slot: int) -> int:
        assert self._admitted is not None
        return births.listener(
            self._common,
            self.settings,
            self.sockets.numbered(self.settings.listeners),
            self._orders_in,
            self._admitted,
            self.board.slot(slot),
        )
