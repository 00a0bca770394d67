"""The way to the log: its socket pair, its file, and the logger process.

Run by the master (root when started as root), which alone can open a log file. A new target, or the
same file opened anew, means a new logger; it shares the queue with the old one, so no line is lost
between them.
"""

from __future__ import annotations

import os
import signal

from preforkpop.config.settings import Settings
from preforkpop.ipc.scoreboard import Scoreboard
from preforkpop.master import births
from preforkpop.supervision.children import Children
from preforkpop.supervision.pools import FixedPool, Kind
from preforkpop.system.log import Level, Log
from preforkpop.system.sockets import pair

SYSLOG, STDERR = -1, 2
LEVELS = {level.name.lower(): level for level in Level}


def open_target(target: str) -> int:
    """The descriptor lines are written to, SYSLOG for syslog; OSError for a file that cannot be."""
    if target == "syslog":
        return SYSLOG
    if target == "stderr":
        return STDERR
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(target, flags, 0o600)


class Logs:
    """Both ends of the way from any process to the logger, and the logger."""

    def __init__(self, settings: Settings) -> None:
        """OSError when the log file cannot be opened."""
        self.settings = settings
        self._target = open_target(settings.logging.target)
        self.send, self.receive = pair()
        self.stacks, self.stacks_in = os.pipe2(os.O_CLOEXEC)
        self.log = Log(self.send, "master", LEVELS[settings.logging.level])

    def start(self, common: births.Common, children: Children, now: float) -> None:
        """Fork the logger."""
        self._children = children
        board = Scoreboard(1)

        def run(slot: int) -> int:
            ends = (self.receive, self.stacks, self._target)
            return births.logger(common, self.settings, *ends, board.slot(slot))

        self._pool = FixedPool(Kind("logger", run, board, 0, 1, children, self.log))
        self._pool.refill(now)

    def refill(self, now: float) -> float:
        """Fork the logger if there is none."""
        return self._pool.refill(now)

    def change(self, settings: Settings, target: int) -> None:
        """Write to ``target``, which ``open_target`` gave, from now on."""
        old, self._target = self._target, target
        self.settings = settings
        if old > STDERR:
            os.close(old)
        self._pool.kind.told = True
        self._children.signal(signal.SIGTERM, "logger")

    def close(self) -> None:
        """Give up the master's ends; the logger ends when no other process holds one."""
        self.send.close()
        os.close(self.stacks_in)
        self._pool.kind.closed = True
