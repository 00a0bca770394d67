"""One POP session for each maildrop (RFC 1939 section 4, RFC 2449's [IN-USE]).

Run by a worker as the mailbox's user, on every login. The lock is a kernel lock on a file in the
user's own state directory, so it goes with the process that holds it, even by kill -9. The file
stays: one that is never removed cannot be removed under somebody who has just opened it. Its first
line says who holds the lock since when, for the session that is turned away; its second one which
maildrop it is about, for who repairs what a session left that died.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from typing import Final, NoReturn

from preforkpop.maildrop.base import MaildropError

NAME: Final = "session"
_RECORD: Final = 128  # octets of the first line; always overwritten whole
_LONGEST: Final = 4096  # octets of a path (PATH_MAX)
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNAVAILABLE: Final = "The maildrop is not available, try again later"


class SessionLock:
    """The right to be the only session on a maildrop, until ``release``."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, state: str, peer: str, now: float, maildrop: str = "") -> SessionLock:
        """Take the lock or raise MaildropError; ``now`` in seconds of the calendar clock.

        ``maildrop`` is the path of the spool or Maildir.
        """
        path = f"{state}/{NAME}"
        try:
            descriptor = os.open(path, _FLAGS, 0o600)
        except OSError as error:
            raise _unavailable(f"{path}: cannot be opened: {error.strerror}") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                raise _unavailable(f"{path} is not a file of uid {os.geteuid()}: remove it")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _refuse(descriptor, path)
            record = f"{os.getpid()} {int(now)} {peer or '-'}".encode("ascii", "replace")
            line = record[: _RECORD - 1].ljust(_RECORD - 1)
            os.pwrite(descriptor, b"%b\n%b\n" % (line, os.fsencode(maildrop)), 0)
        except OSError as error:
            os.close(descriptor)
            raise _unavailable(f"{path}: cannot be locked: {error.strerror}") from error
        except MaildropError:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Give up the lock; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def last_maildrop(state: str) -> str:
    """The path of the maildrop that the last session was about; "" when there is none."""
    try:
        descriptor = os.open(f"{state}/{NAME}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        line, end, _ = os.pread(descriptor, _LONGEST, _RECORD).partition(b"\n")
    finally:
        os.close(descriptor)
    return os.fsdecode(line) if end and line.startswith(b"/") else ""


def _unavailable(detail: str) -> MaildropError:
    return MaildropError("SYS/TEMP", _UNAVAILABLE, detail)


def _refuse(descriptor: int, path: str) -> NoReturn:
    """Say who holds the lock, as far as the file tells."""
    pid, since, peer = _holder(os.pread(descriptor, _RECORD, 0))
    raise MaildropError(
        "IN-USE",
        f"Maildrop is locked by another session{since}{' from ' + peer if peer else ''}",
        f"{path} is held by {pid}{since}{' from ' + peer if peer else ''}",
    )


def _holder(record: bytes) -> tuple[str, str, str]:
    """Pid, " since HH:MM:SS" and address in words; the last two empty where nothing is known."""
    fields = record.decode("ascii", "replace").split()
    if len(fields) != 3 or not fields[0].isdecimal() or not fields[1].isdecimal():
        return "another process", "", ""
    pid, since, peer = fields
    clock = time.strftime(" since %H:%M:%S", time.localtime(min(int(since), 1 << 40)))
    return f"process {pid}", clock, "" if peer == "-" or not peer.isprintable() else peer
