"""The message files of an open Maildir: found, verified, removed, moved to cur/.

Run by a worker as the mailbox's user, only in sessions that read or remove something.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.maildir import names
from preforkpop.maildrop.maildir.folder import CUR, NEW, SUBDIRECTORIES, Folder
from preforkpop.maildrop.maildir.index import Table
from preforkpop.maildrop.maildir.scan import Measure, count
from preforkpop.system.log import escape

_T = TypeVar("_T")
_TRIES: Final = 3  # when another program renames a file again and again


class GoneError(Exception):
    """Another program has removed the message."""


class Files:
    """Rows are those of the table.

    ``amendments`` are what it says wrongly of some: this session goes on with its own listing, the
    next one will know better. ``learned``: there is something new in the table for the next one.
    """

    __slots__ = ("_folder", "_table", "amendments", "learned")

    def __init__(self, folder: Folder, table: Table) -> None:
        self._folder = folder
        self._table = table
        self.amendments: dict[int, Measure] = {}
        self.learned = False

    def open(self, row: int) -> int:
        """Open a message that is what its listing says; MaildropError."""
        try:
            descriptor, status = self._reach(row, self._folder.open)
        except GoneError:
            raise _fault(
                "SYS/TEMP", row, "was removed by another program", self._path(row)
            ) from None
        except OSError as error:
            reason = f"{self._path(row)}: {error.strerror}"
            raise _fault("SYS/PERM", row, "cannot be read", reason) from error
        try:
            self._verify(row, descriptor, status)
        except OSError as error:
            os.close(descriptor)
            reason = f"{self._path(row)}: {error.strerror}"
            raise _fault("SYS/TEMP", row, "cannot be read", reason) from error
        except MaildropError:
            os.close(descriptor)
            raise
        return descriptor

    def remove(self, row: int) -> None:
        """Remove a message; it does not matter who does it first. OSError."""
        try:
            self._reach(row, self._folder.unlink)
        except GoneError:
            return

    def settle(self, row: int) -> None:
        """Move a message that was read from new/ to cur/, if it is still there. OSError."""
        file = self._table.names[row]
        if file[:1] == NEW:
            target = names.seen(file[1:])
            try:
                if self._folder.move_to_cur(file[1:], target):
                    self._table.names[row] = CUR + target
            except FileNotFoundError:
                return

    def _path(self, row: int) -> str:
        file = self._table.names[row]
        return (
            f"{escape(self._folder.path, 512)}/{SUBDIRECTORIES[file[:1]]}/{escape(file[1:], 255)}"
        )

    def _verify(self, row: int, descriptor: int, status: os.stat_result) -> None:
        """Count the octets again unless nothing has happened to the file since that was done."""
        table = self._table
        size, modified = status.st_size, status.st_mtime_ns
        unchanged = size == table.sizes[row] and modified == table.modified[row]
        if unchanged and table.exact[row]:
            return
        octets = count(descriptor, size)
        if octets != table.octets[row]:
            self.amendments[row] = Measure(size, modified, octets, 1)
            raise _fault(
                "SYS/TEMP",
                row,
                "is not as long as it was listed, log in again",
                f"{self._path(row)} was changed, or its name states a wrong size",
            )
        table.sizes[row], table.modified[row], table.exact[row] = size, modified, 1
        self.learned = True

    def _reach(self, row: int, call: Callable[[bytes, bytes], _T]) -> _T:
        """Call with the place of a message, looking for it where it may have been moved to."""
        for _ in range(_TRIES):
            file = self._table.names[row]
            try:
                return call(file[:1], file[1:])
            except FileNotFoundError:
                self._search(row)
        raise GoneError

    def _search(self, row: int) -> None:
        """Find all messages again, as a program that renames one has mostly renamed more."""
        current = self._table.names
        files = {file for where in SUBDIRECTORIES for file in self._folder.names(where)}
        renamed = {names.base(file[1:]): file for file in files.difference(current)}
        for other, file in enumerate(current):
            if file not in files:
                current[other] = renamed.pop(names.base(file[1:]), file)
        if current[row] in files:
            return
        part = names.unique(current[row][1:])
        same = [file for file in renamed.values() if names.unique(file[1:]) == part]
        if len(same) != 1 or not self._is_like(row, same[0]):
            raise GoneError
        current[row] = same[0]

    def _is_like(self, row: int, file: bytes) -> bool:
        """Whether a file whose name states another size now has the size and age of the message."""
        try:
            status = self._folder.status(file[:1], file[1:])
        except OSError:
            return False
        stamp = (self._table.sizes[row], self._table.modified[row])
        return (status.st_size, status.st_mtime_ns) == stamp


def _fault(code: str, row: int, text: str, detail: str) -> MaildropError:
    return MaildropError(code, f"Message {row + 1} {text}", detail)
