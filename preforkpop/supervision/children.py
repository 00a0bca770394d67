"""The children of a process: who they are, and what became of them.

Run by the master and the nursery (root when started as root).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from preforkpop.system import process


@dataclass(frozen=True, slots=True)
class Child:
    """A process that was forked."""

    pid: int
    role: str
    born: float  # monotonic seconds
    ended: Callable[[Child, int, float], None]  # told the wait status and the time


class Children:
    """All children by pid."""

    def __init__(
        self,
        on_fault: Callable[[str], None],
        fork: Callable[[Callable[[], int], Callable[[str], None]], int] = process.fork,
    ) -> None:
        self._by_pid: dict[int, Child] = {}
        self._on_fault = on_fault
        self._fork = fork

    def __len__(self) -> int:
        return len(self._by_pid)

    def bear(
        self,
        role: str,
        run: Callable[[], int],
        ended: Callable[[Child, int, float], None],
        now: float,
    ) -> Child:
        """Fork a child; ``ended`` is called when it has died."""
        pid = self._fork(run, self._on_fault)
        child = Child(pid, role, now, ended)
        self._by_pid[pid] = child
        return child

    def reap(self, now: float) -> None:
        """Take note of all deaths so far."""
        while self._by_pid:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._by_pid.pop(pid, None)
            if child is not None:
                child.ended(child, status, now)

    def of(self, *roles: str) -> list[Child]:
        """The living children of these kinds."""
        return [child for child in self._by_pid.values() if child.role in roles]

    def signal(self, number: int, *roles: str) -> None:
        """Send a signal to all children of these kinds; none are reaped meanwhile, so no pid is
        another process's by now."""
        for child in self.of(*roles):
            os.kill(child.pid, number)
