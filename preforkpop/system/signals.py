"""Signals: what each process does with them, and how a loop learns of them.

Used by every process. The master and the event-driven processes get their signals as octets in a
pipe that their loop watches (handlers only enqueue); workers, which block, decide by flags.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable


def _nothing(_number: int, _frame: object) -> None:
    """A handler must exist for the wakeup descriptor to be written to."""


class SignalPipe:
    """Signals as readable octets: ``fileno`` for a poll, ``take`` for what has come."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _nothing)

    def fileno(self) -> int:
        """The descriptor that becomes readable when a signal has come."""
        return self._read

    def take(self) -> list[signal.Signals]:
        """The signals since the last call, in their order, each as often as it was seen."""
        try:
            octets = os.read(self._read, 4096)
        except BlockingIOError:
            return []
        return [signal.Signals(octet) for octet in octets]

    def close(self) -> None:
        """In a child after the fork: forget the parent's pipe."""
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)


def as_child() -> None:
    """The dispositions every child starts with.

    A terminal's Ctrl-C and a hang-up reach the whole process group; what they mean is for the
    master to decide, so children ignore them.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
