"""PROCESS worker: one session at a time, as the mailbox's user.

With system users a worker is root until auth hands it a session; then it makes the user's state
directory, becomes the user for good, and only then reads the first octet from the client; it serves
that one session and ends. With virtual users it becomes the account that owns the mail at its start
and serves many sessions. Idle workers of a pool all block in the same receive; the kernel picks
one.

A worker leaves when no auth process is left that could hand it a session, when the master asks one
idle worker to (a RETIRE message, which takes its turn in the queue like a session), or after its
last session; a session that was handed over is always served.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import time
from dataclasses import dataclass

from preforkpop.ipc import channel
from preforkpop.ipc.messages import RETIRE, Grant
from preforkpop.ipc.scoreboard import IDLE, Scoreboard, Slot
from preforkpop.system import privileges, process
from preforkpop.system.log import Log, escape
from preforkpop.system.sockets import adopt
from preforkpop.worker import state
from preforkpop.worker.session import Session, StoppedError
from preforkpop.worker.settings import Maildrop


@dataclass(frozen=True, slots=True)
class Duty:
    """What a worker is made with."""

    jobs: socket.socket  # where grants come from
    wake: int  # written to when spare workers run low, so that the master looks at once
    stacks: int  # where the interpreter's stack goes when the worker is stuck
    state_dir: str
    maildrop: Maildrop
    sessions: int  # how many to serve; 0 is no limit
    jitter: int  # up to so many more, drawn by each worker
    becomes_user: bool  # system users: one session, as the user the grant names
    first_slot: int  # the workers' slots in the scoreboard, to count idle ones
    last_slot: int
    minimum_spare: int
    mechanisms: tuple[str, ...]  # those that send a password: USER, PLAIN
    statistics: bool
    version: str


class Worker:
    """The loop of one worker."""

    def __init__(self, duty: Duty, board: Scoreboard, slot: Slot, log: Log) -> None:
        self._duty = duty
        self._board = board
        self._slot = slot
        self._log = log
        self._served = 0
        self._limit = duty.sessions and duty.sessions + _drawn(duty.jitter)
        self._retire = False
        self._session: Session | None = None

    def run(self) -> int:
        """Serve sessions until there is a reason to leave; the exit status."""
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGUSR1, self._recycle)
        faulthandler.register(signal.SIGUSR2, file=self._duty.stacks, all_threads=False)
        self._slot.begin(os.getpid())
        while True:
            process.title("worker, idle")
            try:
                got = channel.receive(self._duty.jobs, 2, bare=RETIRE)
            except channel.MessageError as error:
                self._log.error(f"auth sent {error}")
                continue
            if got is None:
                return process.EXIT_OK
            message, descriptors = got
            if not descriptors:
                return process.EXIT_OK
            try:
                self._serve(message, descriptors)
            finally:
                channel.close_all(descriptors)
            self._served += 1
            self._slot.idle(self._served)
            if self._retire or self._duty.becomes_user or self._served == self._limit:
                self._slot.retiring()
                return process.EXIT_OK

    def _serve(self, message: bytes, descriptors: channel.Descriptors) -> None:
        try:
            grant = Grant.unpack(message)
        except channel.MessageError as error:
            self._log.error(f"auth sent {error}")
            return
        duty = self._duty
        now = time.monotonic()
        self._slot.session(grant.user, grant.peer, tls=grant.tls, now=now)
        self._call_for_spares()
        stream = adopt(descriptors.pop(0))
        session = Session(
            stream,
            grant,
            duty.maildrop,
            self._slot,
            self._log,
            mechanisms=duty.mechanisms if grant.passwords else (),
            statistics=duty.statistics,
            version=duty.version,
        )
        try:
            if now > grant.deadline:
                session.refuse("All workers are busy, try again later", "SYS/TEMP")
                self._log.warning("no worker was free in time: raise pool.maximum_workers")
                return
            self._session = session
            session.run(self._prepare(grant))
        except state.StateError as error:
            session.refuse("Your mail is not available, try again later", "SYS/TEMP")
            self._log.error(f"{escape(grant.user)}: {error}")
        finally:
            self._session = None
            stream.close()

    def _prepare(self, grant: Grant) -> str:
        """Make the user's directory and become the user; the directory's path."""
        directory = state.ensure(self._duty.state_dir, grant.user, grant.uid, grant.gid)
        if self._duty.becomes_user:
            privileges.become(grant.uid, grant.gid, grant.groups)
        return directory

    def _call_for_spares(self) -> None:
        duty = self._duty
        idle = self._board.states(duty.first_slot, duty.last_slot).count(IDLE)
        if idle < duty.minimum_spare:
            try:
                os.write(duty.wake, b".")
            except OSError:
                return

    def _terminate(self, _number: int, _frame: object) -> None:
        """SIGTERM: at once when idle, between two commands when serving, never in an update."""
        session = self._session
        if session is None:
            os._exit(process.EXIT_OK)
        session.stopping = True
        if session.waiting:
            session.waiting = False
            raise StoppedError

    def _recycle(self, _number: int, _frame: object) -> None:
        """SIGUSR1: leave after the session."""
        self._retire = True


def _drawn(most: int) -> int:
    """A number up to this one, at random. (The module random would do work after every fork.)"""
    return int.from_bytes(os.urandom(4), "big") % (most + 1) if most else 0
