"""The index of a Maildir: what a login needs, ready-made, in one file of the state directory.

Run by a worker as the mailbox's user. A header says for which state of new/ and cur/ it holds; the
sections behind it are read when they are asked for, so that a poll reads a few thousand octets and
a login to 50,000 messages no more than the client does. Each has its checksum. Nothing in the file
is believed before it was checked, and an index that is missing, damaged, foreign or stale is made
anew from the Maildir: it costs time, never correctness.

A directory that changes twice within one tick of the file system's clock looks unchanged the second
time. So an index that was made within ``SETTLED`` of the last change is marked: what it knows of
each message is used, but the directories are read again.
"""

from __future__ import annotations

import os
import struct
from array import array
from binascii import crc32
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from preforkpop.maildrop.maildir.folder import SUBDIRECTORIES, Stamp, Stamps

SETTLED: Final = 2_000_000_000  # nanoseconds: FAT counts in steps of two seconds
_MAGIC: Final = b"PFPMDIR1"
_HEAD: Final = struct.Struct("=8sB4q4qQQ8QI")  # ends with the checksum of what is before it
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FIRST_READ: Final = 65536  # the whole index of some 500 messages
_SCAN, _UNIQUE_IDS, _NUMBERS, _NAMES = range(4)
_COLUMNS: Final = 4 * 8  # octets for each message in the section of numbers


class DamagedError(Exception):
    """The index does not say what was written to it."""


@dataclass(slots=True)
class Table:
    """A row for each message, in the order of delivery; row 0 is message 1.

    ``names``: NEW or CUR, then the name of the file. ``octets`` are those transmitted, counted
    where ``exact`` is 1; else stated by the name, or guessed as the file could not be read.
    """

    names: list[bytes]
    sizes: array[int]  # of the file
    modified: array[int]  # of the file, nanoseconds
    octets: array[int]
    exact: array[int]

    @classmethod
    def empty(cls) -> Self:
        return cls([], *(array("q") for _ in range(4)))

    def add(self, name: bytes, size: int, modified: int, octets: int, exact: int) -> None:
        """Append a message."""
        self.names.append(name)
        self.sizes.append(size)
        self.modified.append(modified)
        self.octets.append(octets)
        self.exact.append(exact)

    def pick(self, rows: Iterable[int]) -> Self:
        """A table of these rows, in their order."""
        rows = list(rows)
        columns = (self.sizes, self.modified, self.octets, self.exact)
        return type(self)(
            [self.names[row] for row in rows],
            *(array("q", map(column.__getitem__, rows)) for column in columns),
        )


class Index:
    """An index that was read or has just been made."""

    __slots__ = (
        "_checks",
        "_data",
        "_descriptor",
        "_lengths",
        "count",
        "octets",
        "settled",
        "stamps",
    )

    def __init__(self, data: bytes, descriptor: int = -1) -> None:
        """Take the first octets, and the open file if there are more; DamagedError."""
        if len(data) < _HEAD.size:
            raise DamagedError
        magic, settled, *numbers, check = _HEAD.unpack_from(data)
        if magic != _MAGIC or crc32(data[: _HEAD.size - 4]) != check:
            raise DamagedError
        self.stamps = Stamps(Stamp(*numbers[:4]), Stamp(*numbers[4:8]))
        self.settled = bool(settled)
        self.count: int = numbers[8]
        self.octets: int = numbers[9]
        self._lengths = numbers[10:14]
        self._checks = numbers[14:18]
        self._data = data
        self._descriptor = descriptor

    @classmethod
    def load(cls, path: str) -> Index | None:
        """Read the index in a file; None when there is none that is of any use."""
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError:
            return None
        try:
            data = os.read(descriptor, _FIRST_READ)
            index = cls(data)
            total = _HEAD.size + sum(index._lengths)
            if total > len(data):
                if os.fstat(descriptor).st_size != total:
                    return None
                index._descriptor = descriptor
                descriptor = -1
        except (OSError, DamagedError):
            return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return index

    @classmethod
    def make(
        cls, stamps: Stamps, settled: bool, table: Table, unique_ids: Sequence[bytes]
    ) -> Index:
        """Make an index of a table."""
        sections = (
            b"".join([b"%d %d\r\n" % row for row in enumerate(table.octets, 1)]),
            b"".join([b"%d %b\r\n" % row for row in enumerate(unique_ids, 1)]),
            b"".join(
                column.tobytes()
                for column in (table.sizes, table.modified, table.octets, table.exact)
            ),
            b"/".join(table.names),
        )
        head = _HEAD.pack(
            _MAGIC,
            settled,
            *stamps.new,
            *stamps.cur,
            len(table.names),
            sum(table.octets),
            *map(len, sections),
            *map(crc32, sections),
            0,
        )[:-4]
        return cls(b"".join((head, struct.pack("=I", crc32(head)), *sections)))

    @property
    def data(self) -> bytes:
        """What to write to the file, of an index that was made."""
        return self._data

    def close(self) -> None:
        """Close the file, if it is open. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def scan_listings(self) -> bytes:
        """All scan listings as they are sent; DamagedError."""
        return self._section(_SCAN)

    def unique_id_listings(self) -> bytes:
        """All unique-id listings as they are sent; DamagedError."""
        return self._section(_UNIQUE_IDS)

    def unique_ids(self) -> list[bytes]:
        """The unique-ids of all messages; DamagedError."""
        lines = self.unique_id_listings().split(b"\r\n")
        if len(lines) != self.count + 1:
            raise DamagedError
        return [line.partition(b" ")[2] for line in lines[:-1]]

    def table(self) -> Table:
        """The rows of all messages; DamagedError."""
        numbers = self._section(_NUMBERS)
        blob = self._section(_NAMES)
        names = blob.split(b"/") if blob else []
        if len(names) != self.count or len(numbers) != self.count * _COLUMNS:
            raise DamagedError
        if not {name[:1] for name in names} <= SUBDIRECTORIES.keys():
            raise DamagedError
        columns = []
        for start in range(0, len(numbers), len(numbers) // 4) if numbers else range(4):
            column = array("q")
            column.frombytes(numbers[start : start + len(numbers) // 4])
            columns.append(column)
        return Table(names, *columns)

    def _section(self, number: int) -> bytes:
        start = _HEAD.size + sum(self._lengths[:number])
        length = self._lengths[number]
        section = self._data[start : start + length]
        if len(section) < length and self._descriptor >= 0:
            try:
                section = os.pread(self._descriptor, length, start)
            except OSError as error:
                raise DamagedError from error
        if len(section) != length or crc32(section) != self._checks[number]:
            raise DamagedError
        return section
