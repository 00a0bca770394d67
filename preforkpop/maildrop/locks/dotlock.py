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
_PIN: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
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
        """Say who is in the way, or remove a lock that is stale at ``now`` (nanoseconds).

        An open descriptor keeps the number of the inode from being given to a new lock before the
        name is looked at again.
        """
        try:
            pinned = os.open(self.path, _PIN)
        except FileNotFoundError:
            return Obstacle(f"{self.path} has just gone")
        except OSError as error:
            raise failed(Maillock.OTHER, self._spool, f"{self.path}: {error.strerror}") from error
        dead = -1
        try:
            found = os.fstat(pinned)
            if not stat.S_ISREG(found.st_mode):
                raise failed(Maillock.OTHER, self._spool, f"{self.path} is not a file: remove it")
            age = (now - found.st_mtime_ns) // 1_000_000_000
            dead = self._lock_of_the_dead(found)
            if dead < 0 and age <= STALE_AFTER:
                return Obstacle(f"{self.path} of uid {found.st_uid} is held, {age} s old")
            self._break(found)
        finally:
            os.close(pinned)
            if dead >= 0:
                os.close(dead)
        why = "was left by a session that is dead" if dead >= 0 else f"was untouched for {age} s"
        return Obstacle(f"{self.path} {why}; removed it", removed=True)

    def _lock_of_the_dead(self, found: os.stat_result) -> int:
        """Lock the lock file of a dead process of this server on this machine since it booted.

        Gives -1 unless it is one; else the descriptor, to be closed when the file is gone: nobody
        else can find the same out meanwhile.
        """
        if found.st_uid != os.geteuid() or not mark():
            return -1
        try:
            descriptor = os.open(self.path, _EXAMINE)
        except OSError:
            return -1
        try:
            same = os.path.samestat(os.fstat(descriptor), found)
            if same and os.pread(descriptor, 64, 0).partition(b"\n")[2] == mark():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
        except OSError:
            pass
        os.close(descriptor)
        return -1

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
