"""What each process is doing: shared memory that the master made before the forks.

One slot for each process, one writer for each slot; ``who``, ``status``, the pools, the watch for
stuck workers and inetd mode read it, and nothing ever waits for it. A reader can catch a slot half
way through a change; every reader tolerates that, because it looks again.

The states of all slots stand together at the beginning, one octet each, so that counting the idle
workers is one pass over a few hundred octets.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from typing import Final

FREE: Final = ord(".")
STARTING: Final = ord("S")
IDLE: Final = ord("_")
BUSY: Final = ord("W")  # at work for a client
WAITING: Final = ord("C")  # for the client's next command
RETIRING: Final = ord("R")

_SLOT = struct.Struct("<IB3xdddQQQI8s64s48s")
_SIZE = 256
_PID = struct.Struct("<I")
_TLS = 4
_STARTED, _SINCE, _PROGRESS, _SESSIONS, _FAILURES, _CLIENTS = 8, 16, 24, 32, 40, 48
_MESSAGE = 56
_DOUBLE = struct.Struct("<d")
_COUNT = struct.Struct("<Q")
_WORKING = struct.Struct("<I8s")
_SESSION = struct.Struct("<I8s64s48s")


@dataclass(frozen=True, slots=True)
class Entry:
    """One slot as a reader saw it; times are monotonic seconds."""

    slot: int
    state: int
    pid: int
    tls: bool
    started: float
    since: float  # of the session
    progress: float  # last sign of progress
    sessions: int
    failures: int
    clients: int  # of a login process: clients before login that it holds
    message: int
    command: str
    user: str
    peer: str


class Scoreboard:
    """All slots; made once, by the master."""

    def __init__(self, slots: int, descriptor: int = -1) -> None:
        """A new scoreboard, or the one whose memory a descriptor of another process leads to."""
        self.slots = slots
        self._base = (slots + 63) // 64 * 64
        size = self._base + slots * _SIZE
        new = descriptor < 0
        self.descriptor = os.memfd_create("scoreboard", os.MFD_CLOEXEC) if new else descriptor
        if new:
            os.ftruncate(self.descriptor, size)
        self.memory = mmap.mmap(self.descriptor, size)
        if new:
            self.memory[:slots] = bytes((FREE,)) * slots

    def close(self) -> None:
        """Give up the descriptor; the memory stays while it is used."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def forget(self) -> None:
        """Unmap the memory; nothing may use the scoreboard any more in this process."""
        self.close()
        self.memory.close()

    def slot(self, number: int) -> Slot:
        """The writer's view of a slot; only the process the slot belongs to may hold it."""
        return Slot(self.memory, number, self._base + number * _SIZE)

    def state(self, number: int) -> int:
        """The state of one slot."""
        return self.memory[number]

    def states(self, first: int, last: int) -> bytes:
        """The states of slots ``first`` up to but without ``last``, one octet each."""
        return self.memory[first:last]

    def clients(self, first: int, last: int) -> int:
        """Clients before login in the slots ``first`` up to but without ``last``."""
        at = self._base + first * _SIZE + _CLIENTS
        end = self._base + last * _SIZE
        memory = self.memory
        return int(sum(_COUNT.unpack_from(memory, one)[0] for one in range(at, end, _SIZE)))

    def clear(self, number: int) -> None:
        """Give a slot back whose process has ended (master only)."""
        at = self._base + number * _SIZE
        self.memory[number] = FREE
        self.memory[at : at + _SIZE] = bytes(_SIZE)

    def reserve(self, number: int, now: float) -> None:
        """Mark a slot as taken by a process about to start (master only, before the fork)."""
        self.clear(number)
        at = self._base + number * _SIZE
        _DOUBLE.pack_into(self.memory, at + _STARTED, now)
        _DOUBLE.pack_into(self.memory, at + _PROGRESS, now)
        self.memory[number] = STARTING

    def read(self, number: int) -> Entry:
        """A slot's contents."""
        at = self._base + number * _SIZE
        state = self.memory[number]
        (pid, tls, started, since, progress, sessions, failures, clients, message,
         command, user, peer) = _SLOT.unpack_from(self.memory, at)  # fmt: skip
        return Entry(
            number,
            state,
            pid,
            bool(tls),
            started,
            since,
            progress,
            sessions,
            failures,
            clients,
            message,
            command.rstrip(b"\0").decode("ascii", "replace"),
            user.rstrip(b"\0").decode("utf-8", "replace"),
            peer.rstrip(b"\0").decode("ascii", "replace"),
        )


class Slot:
    """The writer's view of one slot."""

    __slots__ = ("_at", "_memory", "_number")

    def __init__(self, memory: mmap.mmap, number: int, at: int) -> None:
        self._memory = memory
        self._number = number
        self._at = at

    def begin(self, pid: int) -> None:
        """The process lives and waits for work."""
        _PID.pack_into(self._memory, self._at, pid)
        self._memory[self._number] = IDLE

    def session(self, user: str, peer: str, *, tls: bool, now: float) -> None:
        """A session begins."""
        memory, at = self._memory, self._at
        memory[at + _TLS] = tls
        _DOUBLE.pack_into(memory, at + _SINCE, now)
        _DOUBLE.pack_into(memory, at + _PROGRESS, now)
        _SESSION.pack_into(memory, at + _MESSAGE, 0, b"", user.encode(), peer.encode())
        memory[self._number] = BUSY

    def working(self, command: bytes, message: int, now: float) -> None:
        """A command is being carried out."""
        _DOUBLE.pack_into(self._memory, self._at + _PROGRESS, now)
        _WORKING.pack_into(self._memory, self._at + _MESSAGE, message, command)
        self._memory[self._number] = BUSY

    def progress(self, now: float) -> None:
        """Octets went out, or another message was done."""
        _DOUBLE.pack_into(self._memory, self._at + _PROGRESS, now)

    def waiting(self) -> None:
        """Everything is answered; the client is to speak."""
        self._memory[self._number] = WAITING

    def idle(self, sessions: int) -> None:
        """The session has ended; ``sessions`` were served so far."""
        _COUNT.pack_into(self._memory, self._at + _SESSIONS, sessions)
        self._memory[self._number] = IDLE

    def retiring(self) -> None:
        """The process takes no more work and ends when its clients have gone."""
        self._memory[self._number] = RETIRING

    def clients(self, count: int) -> None:
        """Clients before login that a login process holds."""
        _COUNT.pack_into(self._memory, self._at + _CLIENTS, count)

    def sessions(self, count: int) -> None:
        """Sessions passed on so far (listener, login, auth)."""
        _COUNT.pack_into(self._memory, self._at + _SESSIONS, count)

    def failures(self, count: int) -> None:
        """Logins refused so far (auth)."""
        _COUNT.pack_into(self._memory, self._at + _FAILURES, count)
