"""The spool file: opened with every check, read with every error named.

Run by a worker as the mailbox's user. Whoever owns the spool directory can put anything at the
spool's name, so it is opened first, never through a link, and judged by what was opened.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from preforkpop.maildrop.base import MaildropError, Place

_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NOT_WRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_NOT_A_FILE: Final = (errno.EISDIR, errno.ENXIO, errno.ENODEV)

UNAVAILABLE: Final = "The maildrop is not available"
_REASONS: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file may not be so large",
    errno.EACCES: "the maildrop may not be changed",
    errno.EPERM: "the maildrop may not be changed",
    errno.EROFS: "the maildrop may not be changed",
}


class Spool:
    """An open spool. ``descriptor`` is -1 when there is no file, and after ``close``."""

    __slots__ = ("_place", "descriptor", "status", "writable")

    def __init__(self, place: Place) -> None:
        self._place = place
        self.descriptor = -1
        self.writable = False
        self.status: os.stat_result | None = None
        """What fstat(2) said when it was opened; None when there is no file."""
        self.open()

    @property
    def path(self) -> str:
        """Where it is."""
        return self._place.path

    def open(self) -> None:
        """Open what is at the spool's name now, or find that there is nothing; MaildropError."""
        self.close()
        try:
            self.descriptor = self._opened()
        except FileNotFoundError as error:
            self._expect_directory(error)
            self.status = None
            return
        try:
            self.status = os.fstat(self.descriptor)
            self._judge(self.status)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it; safe to call twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def read(self, offset: int, size: int) -> bytes:
        """Octets at an offset; fewer than asked for only at the end of the file."""
        try:
            octets = os.pread(self.descriptor, size, offset)
            while len(octets) < size:  # a read of more than 2 GB, or one that a signal cut short
                more = os.pread(self.descriptor, size - len(octets), offset + len(octets))
                if not more:
                    break
                octets += more
        except OSError as error:
            raise unreadable(self.path, error) from error
        return octets

    def fstat(self) -> os.stat_result:
        """Its status now."""
        try:
            return os.fstat(self.descriptor)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def is_in_place(self) -> bool:
        """Whether the spool's name still is the file that is open."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return self.descriptor < 0
        return self.descriptor >= 0 and os.path.samestat(found, os.fstat(self.descriptor))

    def _opened(self) -> int:
        path = self.path
        try:
            try:
                descriptor = os.open(path, os.O_RDWR | _FLAGS)
                self.writable = True
            except OSError as error:
                if error.errno not in _NOT_WRITABLE:
                    raise
                descriptor = os.open(path, os.O_RDONLY | _FLAGS)
                self.writable = False
        except FileNotFoundError:
            raise
        except PermissionError as error:
            what = f"{error.strerror} for uid {os.geteuid()}; it must be able to read and write it"
            raise _refused(path, what) from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                what = "it is a symbolic link; put the mail file itself there"
                raise _refused(path, what) from error
            if error.errno in _NOT_A_FILE:
                raise _refused(path, "it is not a file; move it away") from error
            raise unreadable(path, error) from error
        return descriptor

    def _judge(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise _refused(self.path, "it is not a file; move it away")
        if status.st_uid != self._place.owner:
            what = f"it belongs to uid {status.st_uid}, not to uid {self._place.owner}; chown it"
            raise _refused(self.path, f"{what}, or check maildrop.path")
        if status.st_nlink != 1:
            what = f"it has {status.st_nlink} names (hard links); remove the others"
            raise _refused(self.path, what)

    def _expect_directory(self, error: FileNotFoundError) -> None:
        directory = os.path.dirname(self.path) or "."
        if not os.path.isdir(directory):
            detail = f"{directory} does not exist; make it, or check maildrop.path"
            raise MaildropError("SYS/TEMP", f"{UNAVAILABLE}, try again later", detail) from error


def _refused(path: str, what: str) -> MaildropError:
    return MaildropError("SYS/PERM", f"{UNAVAILABLE}: ask your administrator", f"{path}: {what}")


def unreadable(path: str, error: OSError) -> MaildropError:
    """The error for a spool that cannot be read."""
    text = f"{UNAVAILABLE}, try again later"
    return MaildropError("SYS/TEMP", text, f"{path}: cannot be read: {error.strerror}")


def unrepaired(path: str, error: OSError) -> MaildropError:
    """The error for an update of a dead session that could not be completed."""
    text = f"{UNAVAILABLE}, try again later"
    detail = f"{path}: the update of a session that died cannot be completed: {error.strerror}"
    return MaildropError("SYS/TEMP", text, detail)


def unwritable(path: str, error: Exception, outcome: str) -> MaildropError:
    """The error for an update that could not be made; ``outcome`` says what has become of it."""
    number = error.errno if isinstance(error, OSError) else None
    said = error.strerror if isinstance(error, OSError) else str(error)
    reason = _REASONS.get(number or 0, "the maildrop cannot be changed")
    code = "SYS/PERM" if number in _NOT_WRITABLE else "SYS/TEMP"
    return MaildropError(code, reason, f"{path}: {said}; {outcome}")


def changed(path: str) -> MaildropError:
    """The error for a spool that another program has changed otherwise than by adding mail."""
    text = "The maildrop was changed by another program, log in again"
    detail = f"{path} was changed by another program during the session; the next login reads it"
    return MaildropError("SYS/TEMP", text, f"{detail} anew")
