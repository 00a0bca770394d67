"""How the server ends, in three steps: wait, ask, kill.

Run by the master (root when started as root). When the stop begins nothing is accepted any more and
every stage sees the end of its input when the stage before it has finished, so most processes end
by themselves. Sessions may go on for the grace; then workers are asked to end between two commands
(never within an update), and what is left a while later is killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from preforkpop.supervision.children import Children

ASKED = 5.0  # seconds between SIGTERM and SIGKILL
LAST = 2.0  # seconds the logger has for the last lines


class Shutdown:
    """The state of the stop."""

    def __init__(self, children: Children, kill_workers: Callable[[], None]) -> None:
        """``kill_workers``: those whose nursery could not end them."""
        self._children = children
        self._kill_workers = kill_workers
        self._ask_at: float | None = None
        self._kill_at = 0.0
        self._asked = False

    @property
    def begun(self) -> bool:
        """Whether the server is stopping."""
        return self._ask_at is not None

    def begin(self, now: float, grace: float) -> None:
        """Start to stop, or shorten the grace of a stop that goes on."""
        if self._ask_at is None:
            self._children.signal(signal.SIGTERM, "login")  # clients before login are sent away
            self._ask_at = now + grace
        self._ask_at = min(self._ask_at, now + grace)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Do what is due."""
        assert self._ask_at is not None
        if not self._asked and now >= self._ask_at:
            self._asked = True
            self._kill_at = now + ASKED
            self._children.signal(signal.SIGTERM, "nursery", "auth")
        if self._asked and now >= self._kill_at:
            self._kill_workers()
            self._children.signal(signal.SIGKILL, "nursery", "auth", "login", "listener")

    def finished(self) -> bool:
        """Whether all but the logger have ended."""
        others = len(self._children) - len(self._children.of("logger"))
        return self.begun and others == 0

    def last(self, role: str) -> None:
        """Wait for the process that ends last, and not for ever."""
        deadline = time.monotonic() + LAST
        for child in self._children.of(role):
            while os.waitpid(child.pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
                    break
                time.sleep(0.01)
