"""The directories new/ and cur/ of a Maildir: opened without following links, and checked.

Run by a worker as the mailbox's user. A poll on an unchanged Maildir takes the three ``lstat`` of
``look`` and opens nothing.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Final, NamedTuple, NoReturn

from preforkpop.maildrop.base import MaildropError

NEW: Final = b"n"
CUR: Final = b"c"
SUBDIRECTORIES: Final = {NEW: "new", CUR: "cur"}
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MESSAGE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNAVAILABLE: Final = "The maildrop is not available, ask the postmaster"


class Stamp(NamedTuple):
    """Which directory it is and when it changed; ``utime`` cannot set the change time back."""

    device: int
    inode: int
    modified: int  # nanoseconds
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


class Stamps(NamedTuple):
    """Both directories: while they are as they were, they hold the same files."""

    new: Stamp
    cur: Stamp

    @property
    def youngest(self) -> int:
        """When either changed last, nanoseconds."""
        return max(*self.new[2:], *self.cur[2:])


def look(path: str, owner: int) -> Stamps | None:
    """Check the Maildir and give its stamps; None where the user has none yet.

    Raises MaildropError when it is of another owner, a link or not a Maildir.
    """
    try:
        root = os.lstat(path)
    except FileNotFoundError:
        _check_parent(path)
        return None
    except OSError as error:
        _refuse("SYS/PERM", f"{path}: {error.strerror}; uid {os.geteuid()} has to reach it")
    _check(path, root, owner)
    found = []
    for name in SUBDIRECTORIES.values():
        try:
            status = os.lstat(f"{path}/{name}")
        except OSError as error:
            _refuse("SYS/PERM", f"{path}/{name}: {error.strerror}; {path} has to be a Maildir")
        _check(f"{path}/{name}", status, owner)
        found.append(Stamp.of(status))
    return Stamps(*found)


def _check_parent(path: str) -> None:
    parent = os.path.dirname(path) or "."
    if not os.path.isdir(parent):
        _refuse("SYS/TEMP", f"{parent} is missing: make it, mount it or check maildrop.path")


def _check(path: str, status: os.stat_result, owner: int) -> None:
    if stat.S_ISLNK(status.st_mode):
        _refuse("SYS/PERM", f"{path} is a symbolic link: name its target in maildrop.path")
    if not stat.S_ISDIR(status.st_mode):
        _refuse("SYS/PERM", f"{path} is not a directory: move it away")
    if status.st_uid != owner:
        _refuse("SYS/PERM", f"{path} is of uid {status.st_uid}: chown it to uid {owner}")


def _refuse(code: str, detail: str) -> NoReturn:
    raise MaildropError(code, _UNAVAILABLE, detail)


class Folder:
    """Open descriptors of new/ and cur/; ``where`` is NEW or CUR."""

    __slots__ = ("_descriptors", "path")

    def __init__(self, path: str, stamps: Stamps) -> None:
        """Open the directories that ``look`` has seen, and no others."""
        self.path = path
        self._descriptors: dict[bytes, int] = {}
        try:
            root = os.open(path, _DIRECTORY)
            try:
                for where, stamp in zip(SUBDIRECTORIES, stamps, strict=True):
                    descriptor = os.open(SUBDIRECTORIES[where], _DIRECTORY, dir_fd=root)
                    self._descriptors[where] = descriptor
                    if Stamp.of(os.fstat(descriptor))[:2] != stamp[:2]:
                        _refuse("SYS/TEMP", f"{path}/{SUBDIRECTORIES[where]} was replaced")
            finally:
                os.close(root)
        except OSError as error:
            self.close()
            _refuse("SYS/PERM", f"{path} cannot be read: {error.strerror}")
        except MaildropError:
            self.close()
            raise

    def close(self) -> None:
        """Close the directories; safe to call twice."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def stamps(self) -> Stamps:
        """What the directories are now."""
        return Stamps(*(Stamp.of(os.fstat(each)) for each in self._descriptors.values()))

    def names(self, where: bytes) -> list[bytes]:
        """The names in a directory, each behind ``where``; those with a dot are not messages."""
        names = [name for name in os.listdir(self._descriptors[where]) if not name.startswith(".")]
        prefix = os.fsdecode(where)
        # One string is encoded much faster than its 50,000 parts; no name has a slash.
        return os.fsencode(prefix + f"/{prefix}".join(names)).split(b"/") if names else []

    def status(self, where: bytes, name: bytes) -> os.stat_result:
        """The status of a message file."""
        return os.stat(name, dir_fd=self._descriptors[where], follow_symlinks=False)

    def open(self, where: bytes, name: bytes) -> tuple[int, os.stat_result]:
        """Open a message file for reading; what is no file raises IsADirectoryError."""
        descriptor = os.open(name, _MESSAGE, dir_fd=self._descriptors[where])
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise IsADirectoryError(0, "is not a file")
        return descriptor, status

    def unlink(self, where: bytes, name: bytes) -> None:
        """Remove a message file."""
        os.unlink(name, dir_fd=self._descriptors[where])

    def move_to_cur(self, name: bytes, target: bytes) -> bool:
        """Move a file from new/ to cur/ under another name; False when that name is taken."""
        new, cur = self._descriptors[NEW], self._descriptors[CUR]
        with contextlib.suppress(FileNotFoundError):
            os.stat(target, dir_fd=cur, follow_symlinks=False)
            return False
        os.rename(name, target, src_dir_fd=new, dst_dir_fd=cur)
        return True

    def sync(self) -> None:
        """Make removals survive a power cut."""
        for descriptor in self._descriptors.values():
            os.fsync(descriptor)
