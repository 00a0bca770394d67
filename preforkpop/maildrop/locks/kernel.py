"""Kernel locks on the spool file itself: "fcntl" (record locks) and "flock".

Run by a worker as the mailbox's user. On Linux the two do not see each other. The record lock
belongs to the descriptor (F_OFD_SETLK), not to the process: it excludes the record locks of
procmail, Postfix and Dovecot, but it is not lost when another descriptor of the spool is closed,
the old trap of fcntl(2).
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from typing import Final

_WHOLE_FILE: Final = struct.Struct("hhqqi0q")  # struct flock: type, whence, start, length, pid


def try_fcntl(descriptor: int) -> bool:
    """Take the record lock on a whole file, open for writing; False when it is held."""
    return _record_lock(descriptor, fcntl.F_WRLCK)


def release_fcntl(descriptor: int) -> None:
    """Give up the record lock."""
    _record_lock(descriptor, fcntl.F_UNLCK)


def try_flock(descriptor: int) -> bool:
    """Take the lock of flock(2); False when it is held."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def release_flock(descriptor: int) -> None:
    """Give up the lock of flock(2)."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def _record_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE.pack(kind, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as fcntl(2) has it
        return False
    return True


KINDS: Final[dict[str, tuple[Callable[[int], bool], Callable[[int], None]]]] = {
    "fcntl": (try_fcntl, release_fcntl),
    "flock": (try_flock, release_flock),
}
