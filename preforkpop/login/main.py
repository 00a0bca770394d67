"""PROCESS login: the parent that holds the keys, and the login processes it forks.

The parent starts as root when the server does: it reads the private keys and makes the TLS context,
so that a session that began in one process is resumed in another; then it changes its root to an
empty directory, becomes the login user for good, and forks. It never touches a client. Its children
serve clients (``server``); one that dies is replaced, one that ends by itself is not, because then
there is nothing left to serve.

How the children are told what to do is a pipe, the lifeline, whose writing end the parent alone
holds: an octet in it, which nobody reads, means stop; its end means that the parent has gone, and
that no more clients come.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from OpenSSL import SSL

from preforkpop.config.settings import Settings
from preforkpop.ipc.scoreboard import Scoreboard
from preforkpop.login.server import Server, Wiring
from preforkpop.system import privileges, process
from preforkpop.system.log import Log
from preforkpop.system.signals import SignalPipe, as_child
from preforkpop.tls import context as tls

EARLY = 1.0  # seconds; when a process dies younger than this, its successor waits as long
STOP = b"s"


@dataclass(frozen=True, slots=True)
class Duty:
    """What the parent is made with."""

    settings: Settings
    admitted: socket.socket
    attempts: socket.socket
    verdicts: Sequence[socket.socket]  # one for each login process
    board: Scoreboard  # login processes have its first slots
    jail: str  # an empty directory that becomes the root; "" when not started as root
    uid: int
    gid: int
    host: str  # for APOP's stamp


def run(duty: Duty, log: Log) -> int:
    """Read the keys, give up all rights, fork and watch; the exit status."""
    pairs = tls_pairs(duty.settings)
    try:
        context = (
            tls.make(pairs, duty.settings.tls.minimum_version, duty.settings.tls.ciphers)
            if pairs
            else None
        )
    except tls.TlsError as error:
        log.error(str(error))
        return process.EXIT_CONFIG
    if duty.jail:
        privileges.confine(duty.jail)
        privileges.become(duty.uid, duty.gid)
    privileges.no_new_privileges()
    privileges.hide_memory()
    gc.collect()
    gc.freeze()
    return Parent(duty, context, log).run()


def tls_pairs(settings: Settings) -> list[tls.Pair]:
    """The configured certificates, the default one first; empty without TLS."""
    section = settings.tls
    if not section.certificate:
        return []
    others = [tls.Pair(one.certificate, one.private_key, one.name) for one in section.names]
    return [tls.Pair(section.certificate, section.private_key), *others]


class Parent:
    """Forks the login processes and replaces those that die."""

    def __init__(self, duty: Duty, context: SSL.Context | None, log: Log) -> None:
        self._duty = duty
        self._context = context
        self._log = log
        self._children: dict[int, tuple[int, float]] = {}  # pid: index and time of birth
        self._due: dict[int, float] = {}  # index: when its successor may be forked
        self._life, self._lifeline = os.pipe2(os.O_CLOEXEC)
        self._signals = SignalPipe((signal.SIGTERM, signal.SIGCHLD))
        self._stopping = False

    def run(self) -> int:
        """Watch until every child has ended by itself."""
        process.title("login, parent")
        for index in range(len(self._duty.verdicts)):
            self._fork(index)
        poller = select.poll()
        poller.register(self._signals.fileno(), select.POLLIN)
        while self._children or self._due:
            poller.poll(self._patience())
            if signal.SIGTERM in self._signals.take() and not self._stopping:
                self._stopping = True
                os.write(self._lifeline, STOP)
            self._reap()
            self._replace(time.monotonic())
        return process.EXIT_OK

    def _patience(self) -> float | None:
        """Milliseconds until a successor is due."""
        if not self._due:
            return None
        return max(0.0, min(self._due.values()) - time.monotonic()) * 1000

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            index, born = self._children.pop(pid)
            self._duty.board.clear(index)
            if status == 0 or self._stopping:
                continue
            self._log.error(f"a login process ({pid}) ended by {process.death_text(status)}")
            now = time.monotonic()
            self._due[index] = now + EARLY if now - born < EARLY else now

    def _replace(self, now: float) -> None:
        if self._stopping:
            self._due.clear()
        for index, due in list(self._due.items()):
            if due <= now:
                del self._due[index]
                self._fork(index)

    def _fork(self, index: int) -> None:
        born = time.monotonic()
        self._duty.board.reserve(index, born)
        pid = process.fork(lambda: self._serve(index), self._log.error)
        self._children[pid] = (index, born)

    def _serve(self, index: int) -> int:
        """In the child: serve clients."""
        duty = self._duty
        self._signals.close()
        as_child()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent passes it on by the lifeline
        os.close(self._lifeline)
        for number, sock in enumerate(duty.verdicts):
            if number != index:
                sock.close()
        process.title("login")
        wiring = Wiring(
            admitted=duty.admitted,
            attempts=duty.attempts,
            verdicts=duty.verdicts[index],
            lifeline=self._life,
            number=index,
            host=duty.host,
            crowd=lambda: duty.board.clients(0, len(duty.verdicts)),
        )
        slot = duty.board.slot(index)
        return Server(wiring, duty.settings, self._context, slot, self._log).run()
