"""PROCESS listener: accepts connections, applies the admission rules, passes them to login.

One process, without privileges: it runs as the login user in an empty root directory. It holds the
listening sockets, the sending end of the login processes' queue and one lease for each session
(how it learns of their ends). It never reads from a client.

When login's queue is full the listener stops accepting: clients then wait in the kernel's backlog,
where they cost nothing. When the master has gone, its control channel ends, and the listener ends
too; the rest of the pipeline follows when its sessions are done.
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

from preforkpop.ipc import channel, lease
from preforkpop.ipc.messages import Admitted
from preforkpop.ipc.scoreboard import Slot
from preforkpop.listener.admission import Ledger, Refusal
from preforkpop.listener.settings import Admission
from preforkpop.system import process
from preforkpop.system.log import Log
from preforkpop.system.sockets import peer_text

BATCH = 64  # connections accepted in one turn, so that ended leases are noticed in between
PAUSE = 0.5  # seconds without accepting when descriptors have run out
LOGIN = b"login"  # with one descriptor: the queue of the new generation of login processes


@dataclass(slots=True)
class Held:
    """An admitted connection that waits for room in login's queue."""

    message: bytes
    connection: int
    lease: int


class Listener:
    """The event loop over listening sockets, leases and the master's channel."""

    def __init__(
        self,
        listening: Sequence[tuple[int, socket.socket]],
        control: socket.socket,
        login: socket.socket,
        admission: Admission,
        slot: Slot,
        log: Log,
    ) -> None:
        self._listening = {sock.fileno(): (index, sock) for index, sock in listening}
        self._control = control
        self._login = login
        self._ledger = Ledger(instances=admission.instances, per_source=admission.per_source)
        self._reply = admission.refusal == "reply"
        self._slot = slot
        self._log = log
        self._leases: dict[int, str] = {}
        self._held: Held | None = None
        self._resume = 0.0
        self._accepted = 0
        self._refused: dict[str, int] = {}
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._accepting = False
        self._accept(True)

    def run(self) -> int:
        """Serve until the master says stop or has gone."""
        control = self._control.fileno()
        while True:
            for descriptor, _events in self._epoll.poll(self._timeout()):
                if descriptor in self._leases:
                    self._ended(descriptor)
                elif descriptor in self._listening:
                    self._take(descriptor)
                elif descriptor == control:
                    if not self._command():
                        return process.EXIT_OK
                else:
                    self._forward_held()
            if self._resume and time.monotonic() >= self._resume:
                self._resume = 0.0
                self._accept(self._held is None)
            self._report_refusals()

    def _timeout(self) -> float | None:
        return max(0.0, self._resume - time.monotonic()) if self._resume else None

    def _accept(self, on: bool) -> None:
        """Watch the listening sockets, or leave connections in the backlog."""
        if on == self._accepting:
            return
        self._accepting = on
        for descriptor in self._listening:
            if on:
                self._epoll.register(descriptor, select.EPOLLIN)
            else:
                self._epoll.unregister(descriptor)

    def _take(self, descriptor: int) -> None:
        index, listening = self._listening[descriptor]
        for _ in range(BATCH):
            if not self._accepting:
                return
            try:
                connection, address = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._accept_failed(error)
                return
            self._admit(index, connection, address)

    def _accept_failed(self, error: OSError) -> None:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            return  # the client had gone already (accept(2))
        self._log.warning(
            f"cannot accept: {error.strerror}; raise the limit of open files (ulimit -n,"
            " LimitNOFILE=) or lower login.maximum_connections"
        )
        self._pause()

    def _pause(self) -> None:
        self._resume = time.monotonic() + PAUSE
        self._accept(False)

    def _admit(self, index: int, connection: socket.socket, address: tuple[str, int]) -> None:
        peer = peer_text(address)
        refusal = self._ledger.admit(peer)
        if refusal is not None:
            self._refuse(connection, refusal)
            return
        try:
            watch, travelling = lease.grant()
        except OSError as error:
            self._ledger.end(peer)
            connection.close()
            self._accept_failed(error)
            return
        self._leases[watch] = peer
        self._epoll.register(watch, 0)  # a hang-up is always reported
        message = Admitted(index, address[1], time.monotonic(), peer).pack()
        self._forward(Held(message, connection.detach(), travelling))

    def _refuse(self, connection: socket.socket, refusal: Refusal) -> None:
        self._refused[refusal.rule] = self._refused.get(refusal.rule, 0) + 1
        if self._reply:
            with contextlib.suppress(OSError):
                connection.send(f"-ERR [SYS/TEMP] {refusal.text}\r\n".encode(), socket.MSG_DONTWAIT)
        connection.close()

    def _report_refusals(self) -> None:
        for rule, count in self._refused.items():
            self._log.notice(f"refused {count} connections: admission.{rule} is reached")
        self._refused.clear()

    def _forward(self, held: Held) -> None:
        try:
            channel.send(self._login, held.message, (held.connection, held.lease), wait=False)
        except BlockingIOError:
            self._held = held
            self._accept(False)
            self._epoll.register(self._login.fileno(), select.EPOLLOUT)
            return
        except OSError as error:
            self._log.warning(f"a connection was lost: login cannot be reached: {error.strerror}")
            self._pause()
        else:
            self._accepted += 1
            self._slot.sessions(self._accepted)
        os.close(held.connection)
        os.close(held.lease)

    def _forward_held(self) -> None:
        self._epoll.unregister(self._login.fileno())
        held, self._held = self._held, None
        if held is not None:
            self._forward(held)
        self._accept(self._held is None and not self._resume)

    def _ended(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)
        os.close(descriptor)
        self._ledger.end(self._leases.pop(descriptor))

    def _command(self) -> bool:
        """Carry out what the master says; False when it is to end."""
        message, descriptors, _flags, _address = socket.recv_fds(self._control, 64, 1)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if message == LOGIN and descriptors:
            self._replace_login(socket.socket(fileno=descriptors[0]))
            return True
        return False

    def _replace_login(self, login: socket.socket) -> None:
        if self._held is not None:
            self._epoll.unregister(self._login.fileno())
        self._login.close()
        self._login = login
        if self._held is not None:
            held, self._held = self._held, None
            self._forward(held)
            self._accept(self._held is None and not self._resume)
