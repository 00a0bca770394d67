"""The locks on a spool: those that are configured, in their order, all of them or none.

Run by a worker as the mailbox's user, while it reads the tail of the spool and while it updates.
An attempt takes what it can get without waiting and gives everything back when one is held: agents
that take them in another order cannot wait for us while we wait for them, and nobody is kept out
by a lock that waits for the next.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

from preforkpop.maildrop.locks import kernel
from preforkpop.maildrop.locks.dotlock import DotLock, Obstacle
from preforkpop.maildrop.locks.errors import LockLost, Maillock, failed

__all__ = ["LockLost", "SpoolLock"]

REFRESH_AFTER: Final = 60.0  # seconds; others call a dot-lock stale at 120 (Dovecot) and 300
FIRST_PAUSE: Final = 0.01  # seconds between two attempts, doubled up to the longest
LONGEST_PAUSE: Final = 1.0


def uptime() -> float:
    """Seconds that no administrator sets, and that go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SpoolLock:
    """``notes`` say what the administrator should know: stale locks that were removed."""

    __slots__ = (
        "_check_every",
        "_clock",
        "_descriptor",
        "_dotlock",
        "_held",
        "_methods",
        "_path",
        "_refreshed",
        "_sleep",
        "_ticks",
        "_timeout",
        "notes",
    )

    def __init__(
        self,
        path: str,
        methods: tuple[str, ...],
        timeout: float,
        *,
        check_every: int,
        clock: Callable[[], float] = uptime,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._methods = methods
        self._timeout = timeout
        self._check_every = check_every
        self._clock = clock
        self._sleep = sleep
        self._dotlock = DotLock(path)
        self._held: list[str] = []
        self._descriptor = -1
        self._refreshed = 0.0
        self._ticks = 0
        self.notes: list[str] = []

    def acquire(self, descriptor: int) -> None:
        """Take the locks; ``descriptor`` is the spool, open for reading and writing.

        Raises MaildropError, and holds nothing, when they cannot be had in time.
        """
        assert not self._held
        deadline = self._clock() + self._timeout
        pause = FIRST_PAUSE
        while (obstacle := self._attempt(descriptor)) is not None:
            left = deadline - self._clock()
            if obstacle.removed:
                self.notes.append(obstacle.text)
            elif left <= 0:
                reason = f"{obstacle.text}; waited {self._timeout:g} s (maildrop.lock_timeout)"
                raise failed(Maillock.BUSY, self._path, reason)
            self._sleep(min(pause, max(left, FIRST_PAUSE)))
            pause = min(pause * 2, LONGEST_PAUSE)
        self._refreshed = self._clock()

    def tick(self) -> None:
        """Count a message, and ``look`` every so many."""
        self._ticks += 1
        if self._ticks >= self._check_every:
            self.look()

    def look(self) -> None:
        """Look at the clock, and refresh the dot-lock when it is due.

        Raises LockLost when the dot-lock is not ours any more. Before and after what may take long
        by itself, such as fsync(2) of megabytes.
        """
        self._ticks = 0
        if "dotlock" not in self._held:
            return
        now = self._clock()
        if now - self._refreshed < REFRESH_AFTER:
            self._dotlock.verify()
        else:
            self._dotlock.refresh()
            self._refreshed = now

    def verify(self) -> None:
        """Raise LockLost when the dot-lock is not ours any more."""
        if "dotlock" in self._held:
            self._dotlock.verify()

    def release(self) -> None:
        """Give up what is held, the last one first. Safe to call twice."""
        while self._held:
            method = self._held.pop()
            if method != "dotlock":
                with contextlib.suppress(OSError):  # NFS: it goes when the descriptor is closed
                    kernel.KINDS[method][1](self._descriptor)
            elif not self._dotlock.release():
                self.notes.append(f"{self._dotlock.path} was taken away by another program")

    def _attempt(self, descriptor: int) -> Obstacle | None:
        self._descriptor = descriptor
        try:
            for method in self._methods:
                obstacle = self._take(method, descriptor)
                if obstacle is not None:
                    self.release()
                    return obstacle
                self._held.append(method)
        except BaseException:
            self.release()
            raise
        return None

    def _take(self, method: str, descriptor: int) -> Obstacle | None:
        if method == "dotlock":
            return self._dotlock.attempt()
        try:
            taken = kernel.KINDS[method][0](descriptor)
        except OSError as error:
            raise failed(Maillock.OTHER, self._path, f"{method}: {error.strerror}") from error
        return None if taken else Obstacle(f"another program holds the {method} lock")
