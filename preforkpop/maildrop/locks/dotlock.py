"""The dot-lock: a file SPOOL.lock beside the spool, as liblockfile, procmail and Qpopper make it.

Run by a worker as the mailbox's user, who needs a spool directory that its group may write to
(root:mail, mode 2775) or that is sticky (mode 1777).

- **Taking it** is link(2) of a file that is complete already, which is atomic on NFS too. The file
  has no name before (O_TMPFILE), so that kill -9 leaves nothing; file systems without that (NFS)
  get a name of their own, file systems without link(2) an exclusive create.
- **Content**: ``PID\\n``, which liblockfile (``dotlockfile -p``, maillock(3)) checks for a living
  process, then seven digits of the kernel's boot id. Never more than 15 octets: liblockfile 1.17
  reads 16 and writes a NUL behind them, one octet past the end of its buffer.
- **Stale** is a lock that nobody has touched for 300 s, liblockfile's and Qpopper's rule, by the
  clock of the file system: a fresh file of ours tells the time, so that an NFS server may have
  another clock. A pid in it proves nothing (it may be of another host, or of another container) and
  is not judged. But a lock with the boot id of this kernel had a flock(2) on it for as long as its
  maker lived: when that can be had the maker is dead, and nobody has to wait for 300 s.
- **Breaking** a lock is not taking it: the next attempt comes a moment later, so that two agents
  that found it stale together do not remove each other's new locks.
- **Keeping it**: ``refresh`` touches it, ``verify`` finds out whether the name is still our file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import stat
from typing import Final, NamedTuple

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.locks.errors import Maillock, cannot_create, failed, lost

STALE_AFTER: Final = 300  # seconds
_MARK: Final = 7  # octets: with a pid of seven digits and a line end 15
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMELESS: Final = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC
_EXAMINE: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_NAMELESS: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_NO_LINK: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Obstacle(NamedTuple):
    """Why an attempt did not take the lock."""

    text: str
    removed: bool = False  # it was stale and is gone: the next attempt has a chance


@functools.cache
def mark() -> bytes:
    """What tells this run of the kernel from others; empty when it is not known."""
    try:
        with open(_BOOT_ID, "rb") as file:
            return file.read(_MARK)
    except OSError:
        return b""


class DotLock:
    """The dot-lock of one spool."""

    __slots__ = ("_descriptor", "_directory", "_spool", "path")

    def __init__(self, spool: str) -> None:
        self._spool = spool
        self._directory = os.path.dirname(spool) or "."
        self._descriptor = -1
        self.path = spool + ".lock"

    def attempt(self) -> Obstacle | None:
        """Take the lock (None), or say what is in the way; MaildropError when waiting is no use."""
        descriptor, name = self._prepare()
        taken = False
        try:
            _fill(descriptor, self._spool)
            taken = self._link(descriptor, name)
            if taken:
                self._descriptor = descriptor
                return None
            return self._examine(os.fstat(descriptor).st_mtime_ns)
        finally:
            if name:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
            if not taken:
                os.close(descriptor)

    def verify(self) -> None:
        """Raise LockLost unless the lock's name still is the file that we made."""
        if not self._ours():
            raise lost(self._spool, f"{self.path} was removed or replaced by another program")

    def refresh(self) -> None:
        """Verify the lock and make it young, by the clock of the file system."""
        self.verify()
        os.utime(self._descriptor)

    def release(self) -> bool:
        """Remove the lock if it is still ours; whether it was. Safe to call twice."""
        if self._descriptor < 0:
            return True
        ours = self._ours()
        if ours:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        os.close(self._descriptor)
        self._descriptor = -1
        return ours

    def _prepare(self) -> tuple[int, str]:
        """A new file in the directory of the spool, and its name if it needs one."""
        try:
            return os.open(self._directory, _NAMELESS, 0o600), ""
        except OSError as error:
            if error.errno not in _NO_NAMELESS:
                raise cannot_create(error, self._spool) from error
        name = f"{self._directory}/.lk{os.getpid()}.{os.urandom(8).hex()}"
        try:
            return os.open(name, _CREATE, 0o600), name
        except OSError as error:
            raise cannot_create(error, self._spool) from error

    def _link(self, descriptor: int, name: str) -> bool:
        """Give our file the lock's name; False when the name is taken."""
        try:
            if name:
                os.link(name, self.path, follow_symlinks=False)
            else:  # with a directory descriptor os.link is linkat(2), which can follow /proc
                os.link(f"/proc/self/fd/{descriptor}", self.path, src_dir_fd=descriptor)
        except FileExistsError:
            # An NFS server that did it and whose answer was lost says so when it is asked again.
            return bool(name) and os.fstat(descriptor).st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise cannot_create(error, self._spool) from error
            return self._create(descriptor)
        return True

    def _create(self, descriptor: int) -> bool:
        """Take the lock where there is no link(2); our file takes the descriptor's place."""
        try:
            made = os.open(self.path, _CREATE, 0o600)
        except FileExistsError:
            return False
        except OSError as error:
            raise cannot_create(error, self._spool) from error
        os.dup2(made, descriptor, inheritable=False)
        os.close(made)
        try:
            _fill(descriptor, self._spool)
        except MaildropError:
            os.unlink(self.path)
            raise
        return True

    def _examine(self, now: int) -> Obstacle:
        """Say who is in the way, or remove a lock that is stale at ``now`` (nanoseconds)."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return Obstacle(f"{self.path} has just gone")
        if not stat.S_ISREG(found.st_mode):
            raise failed(Maillock.OTHER, self._spool, f"{self.path} is not a file: remove it")
        age = (now - found.st_mtime_ns) // 1_000_000_000
        if self._left_behind(found):
            reason = f"{self.path} was left by a session that is dead"
        elif age > STALE_AFTER:
            reason = f"{self.path} had not been touched for {age} s"
        else:
            return Obstacle(f"{self.path} of uid {found.st_uid} is held, {age} s old")
        self._break(found)
        return Obstacle(f"{reason}; removed it", removed=True)

    def _left_behind(self, found: os.stat_result) -> bool:
        """Whether a dead process of this server made the lock, on this machine, since it booted."""
        if found.st_uid != os.geteuid() or not mark():
            return False
        try:
            descriptor = os.open(self.path, _EXAMINE)
        except OSError:
            return False
        try:
            if not os.path.samestat(os.fstat(descriptor), found):
                return False
            _, _, found_mark = os.pread(descriptor, 64, 0).partition(b"\n")
            if found_mark != mark():
                return False
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _break(self, found: os.stat_result) -> None:
        try:
            if os.path.samestat(os.lstat(self.path), found):
                os.unlink(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            reason = f"{self.path} is stale and cannot be removed: {error.strerror}"
            raise failed(Maillock.OTHER, self._spool, reason) from error

    def _ours(self) -> bool:
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(self._descriptor))
        except OSError:
            return False


def _fill(descriptor: int, spool: str) -> None:
    """Write the content; the mark only under the flock(2) that it speaks of.

    A full disk must not keep anybody from removing mail: the content is for others to read, the
    lock is the name.
    """
    content = b"%d\n" % os.getpid()
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content += mark()
    try:
        os.write(descriptor, content)
    except OSError as error:
        if error.errno not in _FULL:
            raise failed(Maillock.WRITE, spool, f"{error.strerror}") from error
