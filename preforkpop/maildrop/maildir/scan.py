"""Reading a Maildir: which messages there are, and how long each is as transmitted.

Run by a worker as the mailbox's user when the index does not tell. What the index knew of a message
stays known while the file's name is the same, so this costs in proportion to what was delivered
since; listing the names is all that is done for the rest.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from preforkpop.maildrop.maildir import names
from preforkpop.maildrop.maildir.folder import CUR, NEW, SUBDIRECTORIES, Folder, Stamps
from preforkpop.maildrop.maildir.index import Table
from preforkpop.system.log import escape

CHUNK: Final = 262144  # octets read at once; a message of one chunk is always counted
_TRIES: Final = 3  # when other programs move files while we look


class Listing(NamedTuple):
    """What new/ and cur/ hold, and the state of the Maildir that this is from."""

    files: list[bytes]  # NEW or CUR, then the name
    stamps: Stamps
    steady: bool  # nothing was moved meanwhile


class Measure(NamedTuple):
    """What is to be known of a message file."""

    size: int
    modified: int
    octets: int
    exact: int


def list_files(folder: Folder) -> Listing:
    """List new/ and then cur/, again when files were moved meanwhile.

    In this order a file that moves from new/ to cur/ is seen twice rather than not at all.
    """
    for _ in range(_TRIES):
        stamps = folder.stamps()
        files = folder.names(NEW) + folder.names(CUR)
        steady = folder.stamps() == stamps
        if steady:
            break
    return Listing(files, stamps, steady)


class Scan:
    """A table and its unique-ids on the way from what was known to what is there."""

    __slots__ = ("_folder", "_others", "_tick", "_unreadable", "ids", "table")

    def __init__(
        self, folder: Folder, table: Table, ids: list[bytes], tick: Callable[[], None]
    ) -> None:
        """Start from what is known; both may be changed. ``tick`` is called for each message."""
        self._folder = folder
        self._tick = tick
        self._unreadable: list[bytes] = []
        self._others: list[bytes] = []
        self.table = table
        self.ids = ids

    def take(self, files: list[bytes]) -> None:
        """Make the table that of these files, in the order of delivery."""
        known = set(self.table.names)
        added = set(files) - known
        gone = known.difference(files)
        if gone:
            self._follow(gone, added)
        if added:
            self._add(sorted(added, key=_order))

    def notes(self) -> list[str]:
        """What the administrator should know: a line for each kind of trouble."""
        told = []
        if self._unreadable:
            told.append(self._note(self._unreadable, "cannot be read; listed, but not sent"))
        if self._others:
            told.append(self._note(self._others, "are not files; they are not messages"))
        return told

    def _follow(self, gone: set[bytes], added: set[bytes]) -> None:
        """Find the names that files have now, and drop the rows of those that have none."""
        moved = {names.base(file[1:]): file for file in added}
        table = self.table
        kept = []
        for row, file in enumerate(table.names):
            if file in gone:
                now = moved.pop(names.base(file[1:]), None)
                if now is None:
                    continue
                added.remove(now)
                table.names[row] = now
            kept.append(row)
        if len(kept) < len(table.names):
            self.table = table.pick(kept)
            self.ids = [self.ids[row] for row in kept]

    def _add(self, files: list[bytes]) -> None:
        """Add files, which are in order; mostly they are younger than all that are known."""
        table, ids = self.table, self.ids
        last = table.names[-1] if table.names else None
        rows = dict(zip(ids, range(len(ids)), strict=True))
        for file in files:
            self._tick()
            value = names.unique_id(file[1:])
            if value in rows and self._is_another_name(rows[value], file):
                continue
            measure = self._measure(file)
            if measure is None:
                continue
            ordinal = 0
            while value in rows:
                value = names.other_unique_id(file[1:], ordinal)
                ordinal += 1
            rows[value] = len(ids)
            ids.append(value)
            table.add(file, *measure)
        if last is not None and _order(files[0]) < _order(last):
            self._sort()

    def _sort(self) -> None:
        keys = [_order(file) for file in self.table.names]
        rows = sorted(range(len(keys)), key=keys.__getitem__)
        self.table = self.table.pick(rows)
        self.ids = [self.ids[row] for row in rows]

    def _is_another_name(self, row: int, file: bytes) -> bool:
        """Whether a file is one that we have: it was moved while we looked, or has two names."""
        mine = self.table.names[row]
        if names.base(mine[1:]) != names.base(file[1:]):
            return False
        try:
            status = self._folder.status(file[:1], file[1:])
        except OSError:
            return True  # it has gone where it was seen the other time
        try:
            return os.path.samestat(self._folder.status(mine[:1], mine[1:]), status)
        except OSError:
            self.table.names[row] = file
            return True

    def _measure(self, file: bytes) -> Measure | None:
        """Measure a message; None when it has gone or is none."""
        where, name = file[:1], file[1:]
        try:
            status = self._folder.status(where, name)
            if not stat.S_ISREG(status.st_mode):
                self._others.append(file)
                return None
            descriptor, status = self._folder.open(where, name)
        except FileNotFoundError:
            return None
        except OSError:
            return self._guess(file, status)
        try:
            octets, exact = _stated_or_counted(descriptor, name, status.st_size)
        except OSError:
            return self._guess(file, status)
        finally:
            os.close(descriptor)
        return Measure(status.st_size, status.st_mtime_ns, octets, exact)

    def _guess(self, file: bytes, status: os.stat_result) -> Measure:
        """A message that cannot be read must not keep the others from being listed."""
        self._unreadable.append(file)
        octets = names.stated_octets(file[1:], status.st_size) or status.st_size
        return Measure(status.st_size, status.st_mtime_ns, octets, 0)

    def _note(self, files: list[bytes], what: str) -> str:
        first = f"{SUBDIRECTORIES[files[0][:1]]}/{escape(files[0][1:])}"
        return f"{escape(self._folder.path, 512)}: {len(files)} entries such as {first} {what}"


def _order(file: bytes) -> tuple[int, bytes, bytes]:
    return names.order(file[1:])


def _stated_or_counted(descriptor: int, name: bytes, size: int) -> tuple[int, int]:
    """Octets as transmitted, and whether they were counted.

    Where a message is larger than a chunk its name may state them. That is taken for the listing
    when the file looks like one with LF line ends and a last one, which is what such names are
    right about; before the message is sent it is counted.
    """
    if size > CHUNK:
        stated = names.stated_octets(name, size)
        if stated is not None:
            looks = os.pread(descriptor, 4096, 0) + os.pread(descriptor, 2, size - 2)
            if looks.endswith(b"\n") and b"\r\n" not in looks:
                return stated, 0
    return count(descriptor, size), 1


def count(descriptor: int, size: int) -> int:
    """Octets of a file as transmitted: every LF is two, a missing last one is added."""
    done = 0
    line_ends = 0
    piece = b"\n"
    while done < size:
        piece = os.pread(descriptor, min(CHUNK, size - done), done)
        if not piece:
            raise OSError(0, "is shorter than it was")
        done += len(piece)
        line_ends += piece.count(b"\n")
    return size + line_ends + (0 if piece.endswith(b"\n") else 2)
