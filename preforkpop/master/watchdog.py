"""Workers that take too much memory or make no progress.

Run by the master (root when started as root), which alone imports psutil. A worker that has grown
is asked to leave after its session. One that is at work and makes no progress is told to write its
Python stack to the log, and killed a while later if it still makes none.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable

import psutil

from preforkpop.ipc.scoreboard import BUSY, IDLE, WAITING, Entry
from preforkpop.master import workers
from preforkpop.master.settings import Pool
from preforkpop.system.log import Log, escape

GAP = 2.0  # seconds between the stack and the kill: time for the stack to be written


class Watchdog:
    """Looks at the workers of one generation after another."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._told: dict[tuple[int, float], float] = {}  # pid and its progress: when it was told

    def look(self, entries: Iterable[Entry], settings: Pool, now: float) -> None:
        """Deal with every worker that needs it."""
        for entry in entries:
            if entry.state == BUSY:
                self._watch_progress(entry, settings.stuck_after, now)
            if entry.state in (BUSY, IDLE, WAITING):
                self._watch_memory(entry, settings.maximum_worker_memory)
        self._told = {key: when for key, when in self._told.items() if now - when < 2 * GAP + 60}

    def _watch_progress(self, entry: Entry, limit: float, now: float) -> None:
        key = (entry.pid, entry.progress)
        told = self._told.get(key)
        if told is None:
            if now - entry.progress < limit:
                return
            self._told[key] = now
            self._log.error(
                f"worker {entry.pid} of {escape(entry.user)} is stuck in"
                f" {escape(entry.command) or 'login'} for {now - entry.progress:.0f} s; its stack"
                " follows, then it is ended (pool.stuck_after)"
            )
            workers.send(entry.pid, signal.SIGUSR2)
        elif now - told >= GAP:
            workers.send(entry.pid, signal.SIGKILL)

    def _watch_memory(self, entry: Entry, limit: int) -> None:
        try:
            resident = psutil.Process(entry.pid).memory_info().rss
        except (psutil.Error, ValueError):
            return
        if resident > limit:
            self._log.notice(
                f"worker {entry.pid} has {resident >> 20} MiB and leaves after its session"
                " (pool.maximum_worker_memory)"
            )
            workers.send(entry.pid, signal.SIGUSR1)
