"""The index: what was found in a spool, kept in the user's state directory for the next session.

Run by a worker as the mailbox's user. The file is a header (which spool, in which state, checksums)
and a table. A poll reads it in one read and compares the header with the spool's status; nothing
else of it is looked at before it is asked for. An index that is missing, damaged, of another
machine or of another state of the spool costs time, never correctness.

**When a status proves that the spool is unchanged.** Device, inode, size, mtime and ctime are those
of the moment at which the spool was read under its locks. That is not enough if the spool can
change once more without any of them changing: file systems count time in ticks (1 to 10 ms on
Linux, 1 or 2 s on some), so a program that ignores the locks and writes as many octets as before,
within the tick in which the spool was last changed, leaves no trace. So an index is ``certain``
only when the tick was over when the spool was read: ``settled`` wants its times a margin in the
past. Our own update would fail that always; it sets the mtime to a moment within the tick, which no
later write can produce (``stamp``). An index that is not certain is used as if the spool had grown
by nothing: under the lock, with a look at its last message, and becomes certain then. One hole is
left: a program that takes no lock and hangs within write(2) has set the time and not the octets.
What it makes of a message is noticed when that message is asked for.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from typing import Final, NamedTuple

from preforkpop.maildrop.mbox.table import ROW, Table
from preforkpop.system.durable import replace_file

NAME: Final = "index"
_READ: Final = 32768  # octets of the first read: some 350 messages
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAGIC: Final = 0x1B0A3149706F7070  # read in another byte order it is another number
_VERSION: Final = 1
_CERTAIN: Final = 1
_DURABLE: Final = 2
_STATUS: Final = struct.Struct("=QQQqq")  # device, inode, size, mtime, ctime
_HEADER: Final = struct.Struct("=QII40sQQQQI")
_CHECKED: Final = _HEADER.size - 4  # octets of the header in front of its own checksum
HEADER: Final = _HEADER.size

_TICK: Final = 50_000_000  # ns; the longest tick of Linux is 10 ms
_COARSE_TICK: Final = 2_100_000_000  # FAT counts 2 s, some file servers 1 s


class Damaged(Exception):  # noqa: N818
    """The index is not what was written."""


class Index(NamedTuple):
    """A table and the state of the spool that it was made from."""

    table: Table
    status: bytes
    certain: bool

    def describes(self, status: os.stat_result) -> bool:
        """Whether the spool is the one that the table was made from, and unchanged for certain."""
        return self.certain and self.status == packed(status)

    def may_have_grown(self, status: os.stat_result) -> bool:
        """Whether it is the same file, with more octets or in the same, uncertain, state.

        As many octets at another time were written in place: then nothing of the table holds.
        """
        device, inode, size, _, _ = _STATUS.unpack(self.status)
        if (device, inode) != (status.st_dev, status.st_ino):
            return False
        return size < status.st_size or self.status == packed(status)


def packed(status: os.stat_result) -> bytes:
    """What tells one state of a file from another."""
    return _STATUS.pack(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def nowhere(size: int) -> bytes:
    """The status of no spool: an index with it is good for its unique-ids only."""
    return _STATUS.pack(0, 0, size, 0, 0)


def before_growth(status: os.stat_result, size: int) -> bytes:
    """The status of a file that may have grown, or changed, since it had that size."""
    return _STATUS.pack(status.st_dev, status.st_ino, size, 0, 0)


def settled(status: os.stat_result, now_ns: int) -> bool:
    """Whether any later change of the file must show in its status; ``now_ns``: the real time."""
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    coarse = status.st_mtime_ns % 1_000_000_000 == 0
    return now_ns - changed > (_COARSE_TICK if coarse else _TICK)


def stamp(descriptor: int, now_ns: int) -> tuple[os.stat_result, bool]:
    """Give a file that we have just written an mtime that no write can give it again.

    The status then, and whether that worked: the file system may count in seconds, the file may
    not be ours.
    """
    status = os.fstat(descriptor)
    try:
        os.utime(descriptor, ns=(status.st_atime_ns, now_ns))
    except OSError:
        return status, False
    status = os.fstat(descriptor)
    return status, status.st_mtime_ns == now_ns


def load(state: str) -> Index | None:
    """The index in a state directory, None if there is none; Damaged."""
    try:
        descriptor = os.open(f"{state}/{NAME}", _FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(error.strerror) from error
    try:
        raw = os.read(descriptor, _READ)
        if len(raw) == _READ:
            size = HEADER + _table_size(_header(raw))
            if size != os.fstat(descriptor).st_size:
                raise Damaged("its length is wrong")
            raw = os.pread(descriptor, size, 0)  # again from the start: not twice in memory
    except OSError as error:
        raise Damaged(error.strerror) from error
    finally:
        os.close(descriptor)
    return decode(raw)


def store(state: str, found: Index) -> None:
    """Put an index in the place of the one that is there; OSError."""
    replace_file(f"{state}/{NAME}", encode(found), sync=found.table.durable)


def remember(state: str, found: Index, notes: list[str]) -> bool:
    """Store an index; where that fails a note says so, and the next login takes longer."""
    try:
        store(state, found)
    except OSError as error:
        notes.append(f"{state}/{NAME} cannot be written: {error.strerror}; logins are slow")
        return False
    return True


def forget(state: str) -> None:
    """Remove the index of a spool that is empty."""
    with contextlib.suppress(OSError):
        os.unlink(f"{state}/{NAME}")


def encode(found: Index) -> tuple[bytes, ...]:
    """The octets of an index, in parts."""
    table, status, certain = found
    flags = certain * _CERTAIN | table.durable * _DURABLE
    values = (_MAGIC, _VERSION, flags, status, table.count, table.octets, *table.sizes())
    parts = table.parts()
    checksum = zlib.crc32(_HEADER.pack(*values, 0)[:_CHECKED])
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return _HEADER.pack(*values, checksum), *parts


def decode(raw: bytes) -> Index:
    """The index in the octets of one; Damaged."""
    header = _header(raw)
    if len(raw) != HEADER + _table_size(header):
        raise Damaged("its length is wrong")
    view = memoryview(raw)
    if zlib.crc32(view[HEADER:], zlib.crc32(view[:_CHECKED])) != header.checksum:
        raise Damaged("its checksum is wrong")
    table = Table(
        raw,
        HEADER,
        count=header.messages,
        octets=header.octets,
        scan_size=header.scan_size,
        unique_id_size=header.unique_id_size,
        end=_STATUS.unpack(header.status)[2],
        durable=bool(header.flags & _DURABLE),
    )
    return Index(table, header.status, bool(header.flags & _CERTAIN))


class _Header(NamedTuple):
    magic: int
    version: int
    flags: int
    status: bytes
    messages: int
    octets: int
    scan_size: int
    unique_id_size: int
    checksum: int


def _header(raw: bytes) -> _Header:
    if len(raw) < HEADER:
        raise Damaged("it is too short")
    header = _Header._make(_HEADER.unpack_from(raw))
    if header.magic != _MAGIC or header.version != _VERSION:
        raise Damaged("it is of another program, version or machine")
    return header


def _table_size(header: _Header) -> int:
    return header.scan_size + header.unique_id_size + header.messages * ROW
