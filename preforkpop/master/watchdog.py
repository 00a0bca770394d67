"""Workers that take too much memory or make no progress.

Run by the master (root when started as root), which alone imports psutil. A worker that has grown
is asked to leave after its session. One that is at work and makes no progress is told to write its
Python stack to the log, and killed a while later if it still makes none.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil

from preforkpop.ipc.scoreboard import BUSY, IDLE, WAITING, Entry
from preforkpop.master.pools import WorkerPool
from preforkpop.system.log import Log, escape

GAP = 2.0  # seconds between the stack and the kill: time for the stack to be written


class Watchdog:
    """Looks at the workers of one pool after another."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._told: dict[tuple[int, float], float] = {}  # pid and its progress: when it was told

    def look(self, pool: WorkerPool, now: float) -> None:
        """Deal with every worker of the pool that needs it."""
        alive = set()
        for entry in _living(pool):
            alive.add(entry.pid)
            if entry.state == BUSY:
                self._watch_progress(entry, pool.settings.stuck_after, now)
            if entry.state in (BUSY, IDLE, WAITING):
                self._watch_memory(entry, pool.settings.maximum_worker_memory)
        self._told = {key: when for key, when in self._told.items() if key[0] in alive}

    def _watch_progress(self, entry: Entry, limit: float, now: float) -> None:
        key = (entry.pid, entry.progress)
        told = self._told.get(key)
        if told is None:
            if now - entry.progress < limit:
                return
            self._told[key] = now
            self._log.error(
                f"worker {entry.pid} of {escape(entry.user)} is stuck in {entry.command or 'login'}"
                f" for {now - entry.progress:.0f} s; its stack follows, then it is ended"
                " (pool.stuck_after)"
            )
            os.kill(entry.pid, signal.SIGUSR2)
        elif now - told >= GAP:
            os.kill(entry.pid, signal.SIGKILL)

    def _watch_memory(self, entry: Entry, limit: int) -> None:
        try:
            resident = psutil.Process(entry.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return
        if resident > limit:
            self._log.notice(
                f"worker {entry.pid} has {resident >> 20} MiB and leaves after its session"
                " (pool.maximum_worker_memory)"
            )
            os.kill(entry.pid, signal.SIGUSR1)


def _living(pool: WorkerPool) -> Iterator[Entry]:
    """The slots of the pool whose process lives: not reaped, so the pid is nobody else's."""
    for slot, pid in pool.kind.living.items():
        entry = pool.kind.board.read(slot)
        if entry.pid == pid:
            yield entry
