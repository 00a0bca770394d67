"""PROCESS nursery: forks the workers, counts them, and repairs what a dead one left.

A program of its own, executed by the master, as what it has in its memory is what every fork and
every session of a system user pays for, page by page: no configuration reader, no psutil, nothing
but what workers need. What does not differ between workers (signals, descriptors, privileges that
nobody needs) is settled here, once.

With system users it is root, as its workers become whoever logs in; with virtual users it becomes
the owner of all mail before it forks. It reads no octet from the network: its inputs are signals,
deaths and two pipes. When its lifeline ends it forks no more, and ends with its last worker.
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from preforkpop.ipc import channel
from preforkpop.ipc.messages import RETIRE
from preforkpop.ipc.nursing import Nursing
from preforkpop.ipc.scoreboard import BUSY, WAITING, Scoreboard
from preforkpop.maildrop.open import prepare as prepare_store
from preforkpop.nursery.repairs import Repairs
from preforkpop.supervision.children import Child, Children
from preforkpop.supervision.pools import Kind, WorkerPool
from preforkpop.system import privileges, process
from preforkpop.system.log import Level, Log, escape
from preforkpop.system.memory import keep_freed_memory
from preforkpop.system.signals import SignalPipe, as_child
from preforkpop.worker.main import Duty, Worker
from preforkpop.worker.repair import Repair

SIGNALS = (signal.SIGTERM, signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU)
TICK = 1.0  # seconds between two looks at the pool
_FIRST, _ABOVE = 3, 64


def main(descriptor: int) -> int:
    """Read what is to be done from a pipe, and do it."""
    with open(descriptor, "rb") as pipe:
        nursing = Nursing.unpack(pipe.read())
    as_child()
    keep_freed_memory()
    prepare_store(nursing.maildrop.format)
    privileges.no_new_privileges()
    if not nursing.system:
        privileges.become(*nursing.mail)
    nursery = Nursery(nursing, Scoreboard(nursing.slots, nursing.board))
    gc.collect()
    gc.freeze()
    if nursing.system:
        gc.disable()  # a worker of one session has no time to make garbage
    return nursery.run()


@dataclass(frozen=True, slots=True)
class Ends:
    """The descriptors, workers' first, so that a child closes the others in one call."""

    grants: int
    log: int
    stacks: int
    wake: int
    asks: int
    lifeline: int
    woken: int

    @classmethod
    def arrange(cls, nursing: Nursing) -> Ends:
        """Give them the lowest numbers and close all else."""
        woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        order = (
            nursing.grants,
            nursing.log,
            nursing.stacks,
            wake,
            nursing.asks,
            nursing.lifeline,
            woken,
        )
        return cls(*_lowest(order))

    @property
    def private(self) -> int:
        """The first descriptor that no worker may have."""
        return self.asks


def _is_worker(pid: int) -> bool:
    """Whether a process lives that is a worker, as its title says."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as title:
            return title.read(32).startswith(b"preforkpop: worker")
    except OSError:
        return False


def _lowest(order: Sequence[int]) -> list[int]:
    high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for one in order]
    os.closerange(_FIRST, _ABOVE)
    for number, one in enumerate(high, _FIRST):
        os.dup2(one, number, inheritable=False)
        os.close(one)
    return list(range(_FIRST, _FIRST + len(high)))


class Nursery:
    """The loop."""

    def __init__(self, nursing: Nursing, board: Scoreboard) -> None:
        self._nursing = nursing
        self._board = board
        self._ends = ends = Ends.arrange(nursing)
        self._limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        log = Log(socket.socket(fileno=ends.log), "nursery", Level(nursing.level))
        self._log = log
        self._worker_log = log.as_role("worker")
        self._asks = socket.socket(fileno=ends.asks)
        self._signals = SignalPipe(SIGNALS)
        self._children = Children(log.error, process.fork_lean)
        self._duty = self._make_duty()
        kind = Kind(
            "worker",
            self._work,
            board,
            nursing.first_slot,
            nursing.count,
            self._children,
            log,
            dead=self._died,
        )
        self._pool = WorkerPool(kind, nursing.pool, self._retire_one)
        self._repair = Repair(nursing.state_dir, nursing.maildrop, nursing.groups)
        self._repairs = Repairs(nursing.state_dir, self._children, self._put_right)
        self._stopping = False
        self._orphans: dict[int, int] = {}  # slot and pid of workers of a nursery that died

    def _make_duty(self) -> Duty:
        nursing, ends = self._nursing, self._ends
        pool = nursing.pool
        return Duty(
            jobs=socket.socket(fileno=ends.grants),
            wake=ends.wake,
            stacks=ends.stacks,
            state_dir=nursing.state_dir,
            maildrop=nursing.maildrop,
            sessions=1 if nursing.system else pool.sessions_per_worker,
            jitter=0 if nursing.system else pool.sessions_jitter,
            becomes_user=nursing.system,
            first_slot=nursing.first_slot,
            last_slot=nursing.first_slot + nursing.count,
            minimum_spare=pool.minimum_spare,
            mechanisms=nursing.mechanisms,
            statistics=nursing.statistics,
            version=nursing.version,
        )

    def run(self) -> int:
        """Fork and watch until no worker is wanted and the last has ended."""
        process.title("nursery")
        self._board.slot(self._nursing.slot).begin(os.getpid())
        kind = self._pool.kind
        now = time.monotonic()
        self._adopt()
        self._pool.start(now)
        self._repairs.after_a_start(now)
        poller = select.poll()
        for descriptor in (self._signals.fileno(), self._ends.woken, self._ends.lifeline):
            poller.register(descriptor, select.POLLIN)
        patience = TICK
        ticked = now
        while not kind.closed or len(self._children) or self._orphans:
            for descriptor, _events in poller.poll(patience * 1000):
                if descriptor == self._ends.woken:
                    os.read(descriptor, 4096)
                elif descriptor == self._ends.lifeline:
                    poller.unregister(descriptor)
                    self._close()
            self._heed_signals()
            now = time.monotonic()
            self._children.reap(now)
            patience = self._pool.refill(now) or TICK
            if now - ticked >= TICK:
                ticked = now
                self._tick()
        return process.EXIT_OK

    def _heed_signals(self) -> None:
        for number in self._signals.take():
            match number:
                case signal.SIGTERM:
                    self._stopping = True
                    self._close()
                    self._end_workers()
                case signal.SIGTTIN:
                    self._pool.resize(1)
                case signal.SIGTTOU:
                    self._pool.resize(-1)

    def _tick(self) -> None:
        self._look_at_orphans()
        if self._stopping:  # one that was just being born may have missed it
            self._end_workers()
        self._pool.shrink()

    def _end_workers(self) -> None:
        self._children.signal(signal.SIGTERM, "worker")
        for pid in self._orphans.values():
            os.kill(pid, signal.SIGTERM)

    def _adopt(self) -> None:
        """Leave the workers of a nursery that died in their slots; they serve on."""
        kind = self._pool.kind
        for slot in kind.slots():
            pid = self._board.read(slot).pid
            if pid:
                self._orphans[slot] = pid
                kind.living[slot] = pid
            else:  # the nursery died before it had forked, or the worker before it was at work
                self._board.clear(slot)
        self._look_at_orphans()

    def _look_at_orphans(self) -> None:
        """Do for those that have ended what is done for children."""
        for slot, pid in list(self._orphans.items()):
            if _is_worker(pid):
                continue
            del self._orphans[slot]
            del self._pool.kind.living[slot]
            entry = self._board.read(slot)
            if entry.user and entry.state in (BUSY, WAITING):
                self._repairs.after_a_death(entry.user, time.monotonic())
            self._board.clear(slot)

    def _close(self) -> None:
        """Fork no more; workers see the end of their input when auth has gone, too."""
        self._pool.kind.closed = True
        self._asks.close()

    def _retire_one(self) -> None:
        try:
            channel.send(self._asks, RETIRE, wait=False)
        except OSError:
            return  # so many sessions wait that nobody is idle

    def _work(self, slot: int) -> int:
        """In a child: be a worker."""
        os.closerange(self._ends.private, self._limit)
        process.title("worker, idle")  # before its pid stands in the scoreboard
        return Worker(self._duty, self._board, self._board.slot(slot), self._worker_log).run()

    def _put_right(self, user: str) -> int:
        """In a child: repair a maildrop."""
        os.closerange(self._ends.private, self._limit)
        process.title(f"repair, {escape(user)}")
        return self._repair.run(user, self._log.as_role("repair"))

    def _died(self, slot: int, child: Child, status: int) -> None:
        """A worker has ended; by a fault, its user's maildrop may need care."""
        entry = self._board.read(slot)
        if not status or not entry.user or entry.pid != child.pid:
            return
        if not self._stopping:
            self._repairs.after_a_death(entry.user, time.monotonic())
        if entry.state in (BUSY, WAITING):
            self._log.error(
                f"worker {entry.pid} died in a session of {escape(entry.user)}"
                f" from {escape(entry.peer)} [{escape(entry.command)}]"
            )
