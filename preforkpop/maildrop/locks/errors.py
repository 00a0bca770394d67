"""What can go wrong with a lock on a spool, with Qpopper's numbers, which log readers know.

Run by a worker as the mailbox's user.
"""

from __future__ import annotations

import enum
import errno
import os

from preforkpop.maildrop.base import MaildropError


class Maillock(enum.Enum):
    """Qpopper's maillock errors: number and text."""

    NAME_TOO_LONG = (1, "User name too long")
    CREATE = (2, "Unable to create lockfile")
    WRITE = (3, "Unable to write pid into lockfile")
    BUSY = (4, "Max tries exceeded")
    OTHER = (5, "Other lock error")
    LOST = (6, "Unable to lock lockfile")


class LockLost(MaildropError):  # noqa: N818 - said as what has happened, as in Qpopper's log
    """The dot-lock is no longer ours: whoever took it may be writing to the spool."""


def failed(kind: Maillock, spool: str, reason: str) -> MaildropError:
    """The error for a lock that could not be taken."""
    busy = kind is Maillock.BUSY
    text = "The maildrop is locked by another program" if busy else "The maildrop cannot be locked"
    return MaildropError("SYS/TEMP", f"{text}, try again later", _line(kind, spool, reason))


def lost(spool: str, reason: str) -> LockLost:
    """The error for a lock that was taken away."""
    text = "The lock on the maildrop was lost, try again later"
    return LockLost("SYS/TEMP", text, _line(Maillock.LOST, spool, reason))


def cannot_create(error: OSError, spool: str) -> MaildropError:
    """The error for a directory that takes no dot-lock, with what cures it."""
    directory = os.path.dirname(spool) or "."
    if isinstance(error, PermissionError):
        reason = (
            f"{error.strerror}: uid {os.geteuid()} cannot create files in {directory}; make it"
            " writable for service.mail_group (root:mail, mode 2775), or take dotlock out of"
            " maildrop.locks"
        )
        return failed(Maillock.CREATE, spool, reason)
    kind = Maillock.NAME_TOO_LONG if error.errno == errno.ENAMETOOLONG else Maillock.CREATE
    return failed(kind, spool, f"{error.strerror} in {directory}")


def _line(kind: Maillock, spool: str, reason: str) -> str:
    number, text = kind.value
    return f"maillock error '{text}' ({number}) on '{spool}': {reason}"
