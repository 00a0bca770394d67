"""PROCESS listener: accepts connections, applies the admission rules, passes them to login.

One process, without privileges: it runs as the login user in an empty root directory. It holds the
listening sockets, the sending end of the login processes' queue and one lease for each session
(how it learns of their ends). It never reads from a client.

When login's queue is full the listener stops accepting: clients then wait in the kernel's backlog,
where they cost nothing. The master gives it new orders when the configuration was read again; when
the master has gone, or wants no more connections, the channel for orders ends, and the listener
ends too. The rest of the pipeline follows when its sessions are done.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from preforkpop.ipc import channel, lease
from preforkpop.ipc.messages import Admitted
from preforkpop.ipc.orders import Orders
from preforkpop.ipc.scoreboard import Slot
from preforkpop.listener.admission import Ledger, Refusal
from preforkpop.listener.settings import Admission
from preforkpop.system import process
from preforkpop.system.log import Level, Log
from preforkpop.system.sockets import peer_text

BATCH: Final = 64
"""Connections accepted in one turn, so that ended leases are noticed in between."""

PAUSE: Final = 0.5
"""Seconds without accepting when descriptors have run out or login cannot be reached."""

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(slots=True)
class Held:
    """An admitted connection on its way to login."""

    message: bytes
    connection: int
    lease: int

    def close(self) -> None:
        """It has been passed on, or is lost."""
        os.close(self.connection)
        os.close(self.lease)


class Listener:
    """The event loop over listening sockets, leases and the master's orders."""

    def __init__(
        self,
        listening: Sequence[tuple[int, socket.socket]],
        control: socket.socket,
        login: socket.socket,
        admission: Admission,
        slot: Slot,
        log: Log,
    ) -> None:
        """``listening``: sockets that do not block, each with the index of its configuration."""
        self._control = control
        self._login = login
        self._slot = slot
        self._log = log
        self._listening = {sock.fileno(): (index, sock) for index, sock in listening}
        self._ledger = Ledger(instances=admission.instances, per_source=admission.per_source)
        self._reply = admission.refusal == "reply"
        self._leases: dict[int, str] = {}
        self._held: Held | None = None  # waits for room in login's queue
        self._resume = 0.0  # when the pause is over; 0 when there is none
        self._accepting = False
        self._accepted = 0
        self._serving = True
        self._epoll = select.epoll()

    def run(self) -> int:
        """Serve until the master says stop or has gone."""
        control = self._control.fileno()
        self._epoll.register(control, select.EPOLLIN)
        self._accept_if_possible()
        with self._epoll:
            while self._serving:
                for descriptor, _events in self._epoll.poll(self._patience()):
                    if descriptor in self._leases:
                        self._ended(descriptor)
                    elif descriptor in self._listening:
                        self._take(descriptor)
                    elif descriptor == control:
                        self._obey()
                    else:
                        self._forward_held()
                if self._resume and time.monotonic() >= self._resume:
                    self._resume = 0.0
                    self._accept_if_possible()
        if self._held is not None:
            self._held.close()
        return process.EXIT_OK

    def _patience(self) -> float | None:
        return max(0.0, self._resume - time.monotonic()) if self._resume else None

    # ------------------------------------------------------------------ accepting

    def _accept_if_possible(self) -> None:
        """Watch the listening sockets, or leave connections in the backlog."""
        possible = self._held is None and not self._resume
        if possible is self._accepting:
            return
        self._accepting = possible
        for descriptor in self._listening:
            if possible:
                self._epoll.register(descriptor, select.EPOLLIN)
            else:
                self._epoll.unregister(descriptor)

    def _pause(self) -> None:
        self._resume = time.monotonic() + PAUSE
        self._accept_if_possible()

    def _take(self, descriptor: int) -> None:
        """Accept what waits on a listening socket."""
        index, listening = self._listening[descriptor]
        for _ in range(BATCH):
            if not self._accepting:
                return
            try:
                connection, address = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._exhausted(error)
                return
            self._admit(index, connection, address)

    def _exhausted(self, error: OSError) -> None:
        if error.errno not in _EXHAUSTED:
            return  # the client had gone already (accept(2))
        self._log.rarely(
            Level.ERROR,
            f"cannot accept: {error.strerror}; raise the limit of open files (ulimit -n,"
            " LimitNOFILE=) or lower login.maximum_connections",
            time.monotonic(),
        )
        self._pause()

    def _admit(self, index: int, connection: socket.socket, address: object) -> None:
        peer = peer_text(address)
        refusal = self._ledger.admit(peer)
        if refusal is not None:
            self._refuse(connection, refusal)
            return
        try:
            watched, travelling = lease.grant()
        except OSError as error:
            self._ledger.end(peer)
            connection.close()
            self._exhausted(error)
            return
        self._leases[watched] = peer
        self._epoll.register(watched, 0)  # a hang-up is always reported
        port = address[1] if isinstance(address, tuple) else 0
        message = Admitted(index, port, time.monotonic(), peer).pack()
        self._forward(Held(message, connection.detach(), travelling))

    def _refuse(self, connection: socket.socket, refusal: Refusal) -> None:
        self._log.rarely(
            Level.NOTICE,
            f"refused a connection: admission.{refusal.rule} is reached",
            time.monotonic(),
        )
        if self._reply:
            with contextlib.suppress(OSError):
                connection.send(f"-ERR [SYS/TEMP] {refusal.text}\r\n".encode(), socket.MSG_DONTWAIT)
        connection.close()

    def _ended(self, descriptor: int) -> None:
        """The last holder of a lease has gone."""
        os.close(descriptor)  # nobody else has this end, so epoll forgets it too
        self._ledger.end(self._leases.pop(descriptor))

    # ------------------------------------------------------------------ passing on

    def _forward(self, held: Held) -> None:
        try:
            channel.send(self._login, held.message, (held.connection, held.lease), wait=False)
        except BlockingIOError:
            self._held = held
            self._epoll.register(self._login.fileno(), select.EPOLLOUT)
            self._accept_if_possible()
            return
        except OSError as error:
            self._log.rarely(
                Level.ERROR,
                f"a connection was lost: login cannot be reached: {error.strerror}",
                time.monotonic(),
            )
            self._pause()
        else:
            self._accepted += 1
            self._slot.sessions(self._accepted)
        held.close()

    def _forward_held(self) -> None:
        """There is room in login's queue."""
        held, self._held = self._held, None
        if held is not None:
            self._epoll.unregister(self._login.fileno())
            self._forward(held)
            self._accept_if_possible()

    # ------------------------------------------------------------------ orders

    def _obey(self) -> None:
        """Carry out what the master says; nothing more will come when its channel has ended."""
        try:
            got = channel.receive_any(self._control, wait=False)
        except BlockingIOError:
            return
        except channel.MessageError as error:
            self._log.error(f"orders from the master: {error}")
            return
        if got is None:
            self._serving = False
            return
        message, descriptors = got
        try:
            orders = Orders.unpack(message)
            if len(descriptors) != 1 + len(orders.listeners):
                raise channel.MessageError(f"{len(descriptors)} descriptors")
        except channel.MessageError as error:
            channel.close_all(descriptors)
            self._log.error(f"orders from the master: {error}")
            return
        self._change(orders, [socket.socket(fileno=descriptor) for descriptor in descriptors])

    def _change(self, orders: Orders, sockets: list[socket.socket]) -> None:
        """Put orders in force: limits, where to listen, where admitted connections go."""
        admission = orders.admission
        self._ledger.limit(instances=admission.instances, per_source=admission.per_source)
        self._reply = admission.refusal == "reply"
        held, self._held = self._held, None
        if held is not None:
            self._epoll.unregister(self._login.fileno())
        self._listen_on(list(zip(orders.listeners, sockets[1:], strict=True)))
        self._login.close()
        self._login = sockets[0]
        if held is not None:
            self._forward(held)
        self._accept_if_possible()

    def _listen_on(self, listening: Sequence[tuple[int, socket.socket]]) -> None:
        """Give the listening sockets up for others, or for the same again under other numbers."""
        for descriptor, (_index, sock) in self._listening.items():
            if self._accepting:
                self._epoll.unregister(
                    descriptor
                )  # the master has it open, so closing is not enough
            sock.close()
        self._accepting = False
        self._listening = {sock.fileno(): (index, sock) for index, sock in listening}
