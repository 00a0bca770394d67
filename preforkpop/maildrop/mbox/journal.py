"""The journal of an update: its plan, and the octets that are being moved, window by window.

Run by a worker as the mailbox's user. The file lies in the user's state directory under the name
that ``mark`` speaks of. It is written whole under another name, made durable and renamed, so a
journal that can be found is complete: that rename is the moment from which the update will happen.
Behind the head (``plan``) come two slots, each with room for a window and its record; one if one
window is enough. Windows take turns in them, so while one is being written the one before it is
whole. What the steps are, and why, is told in ``update``.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from preforkpop.maildrop.mbox import mark
from preforkpop.maildrop.mbox.plan import CUTTING_AT, TOKEN, DamagedJournal, Plan, Range
from preforkpop.maildrop.mbox.plan import decode as decode_plan
from preforkpop.maildrop.mbox.plan import encode as encode_plan
from preforkpop.system.durable import replace_file

WINDOW = 16777216
"""Octets that move between two fsyncs of spool and journal, which takes room for twice as many. A
disk that writes 150 MB/s then spends nine tenths of the time on writing."""

PIECE: Final = 1048576
"""Octets that are in memory at once."""

_RECORD: Final = struct.Struct(f"=QQ{TOKEN}sI")
_CHECKSUM: Final = struct.Struct("=I")
_RECORD_SIZE: Final = _RECORD.size + _CHECKSUM.size
_CUTTING: Final = b"CUTTING\n"
_NOT_A_FILE: Final = (errno.ELOOP, errno.EISDIR, errno.ENXIO)
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Pieces = Callable[[Range], Iterator[bytes]]
"""Gives octets of those that move, taken as one string, in pieces of at most PIECE."""


class _Record(NamedTuple):
    """Stands behind a slot and says what is in it."""

    window: int
    length: int
    token: bytes
    checksum: int


class Journal:
    """A journal that can be found, and so an update that will happen."""

    def __init__(self, state: str) -> None:
        """Open the journal in a state directory; OSError, DamagedJournal."""
        self._state = state
        try:
            self._descriptor = os.open(f"{state}/{mark.NAME}", _FLAGS)
        except OSError as error:
            if error.errno in _NOT_A_FILE:
                raise DamagedJournal("it is not a file") from error
            raise
        try:
            self.plan, self._window, self._slots_at = decode_plan(self._read)
        except BaseException:
            self.close()
            raise
        self.windows = -(-self.plan.length // self._window)

    @classmethod
    def commit(cls, state: str, plan: Plan, pieces: Pieces) -> Journal:
        """Write a journal with its first windows, durable when this returns; OSError."""
        window = _window_size(plan.length)
        replace_file(f"{state}/{mark.NAME}", _parts(plan, pieces, window), sync=True)
        return cls(state)

    def close(self) -> None:
        """Close it; the file stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """The update is done: leave an empty file in the journal's place, a mark. OSError."""
        replace_file(f"{self._state}/{mark.NAME}", (), sync=False)

    def span(self, window: int) -> Range:
        """Which of the octets that move a window holds."""
        return _span(self.plan.length, self._window, window)

    def logged(self) -> list[int]:
        """The windows that are in the slots, whole; in order."""
        return sorted(filter(self._is_whole, map(self._window_in, range(min(2, self.windows)))))

    def log(self, window: int, pieces: Iterator[bytes]) -> None:
        """Put a window into its slot, durable when this returns; OSError."""
        position = self._slot(window)
        length = checksum = 0
        for piece in pieces:
            write(self._descriptor, piece, position + length)
            length += len(piece)
            checksum = zlib.crc32(piece, checksum)
        record = _packed(_Record(window, length, self.plan.token, checksum))
        write(self._descriptor, record, position + self._window)
        os.fdatasync(self._descriptor)

    def octets(self, window: int) -> Iterator[bytes]:
        """The octets of a window that is in its slot, in pieces."""
        position, left = self._slot(window), self.span(window).length
        while left:
            piece = self._read(position, min(PIECE, left))
            if not piece:
                raise DamagedJournal("it is too short")
            yield piece
            position += len(piece)
            left -= len(piece)

    def begin_cutting(self) -> None:
        """Record that everything is in place, durable when this returns; OSError."""
        write(self._descriptor, _CUTTING + self.plan.token, CUTTING_AT)
        os.fdatasync(self._descriptor)

    def is_cutting(self) -> bool:
        """Whether that is recorded."""
        record = _CUTTING + self.plan.token
        return self._read(CUTTING_AT, len(record)) == record

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def _slot(self, window: int) -> int:
        return self._slots_at + window % 2 * (self._window + _RECORD_SIZE)

    def _window_in(self, slot: int) -> int:
        """The window that a slot's record names, or -1."""
        octets = self._read(self._slot(slot) + self._window, _RECORD_SIZE)
        if octets[_RECORD.size :] != _CHECKSUM.pack(zlib.crc32(octets[: _RECORD.size])):
            return -1
        record = _Record._make(_RECORD.unpack_from(octets))
        sound = record.token == self.plan.token and record.window % 2 == slot
        return record.window if sound and record.window < self.windows else -1

    def _is_whole(self, window: int) -> bool:
        if window < 0:
            return False
        checksum = length = 0
        for piece in self.octets(window):
            checksum = zlib.crc32(piece, checksum)
            length += len(piece)
        found = self._read(self._slot(window) + self._window, _RECORD_SIZE)
        return found == _packed(_Record(window, length, self.plan.token, checksum))


def write(descriptor: int, octets: bytes, position: int) -> None:
    """Write all octets; OSError."""
    view = memoryview(octets)
    while view:
        done = os.pwrite(descriptor, view, position)
        view = view[done:]
        position += done


def _window_size(length: int) -> int:
    """All in one window, or in two of equal size, or in as many as it takes."""
    return length if length <= WINDOW else min(-(-length // 2), WINDOW)


def _span(length: int, size: int, window: int) -> Range:
    return Range(window * size, min(size, length - window * size))


def _packed(record: _Record) -> bytes:
    fields = _RECORD.pack(*record)
    return fields + _CHECKSUM.pack(zlib.crc32(fields))


def _parts(plan: Plan, pieces: Pieces, size: int) -> Iterator[bytes]:
    """The octets of a new journal."""
    yield encode_plan(plan, size)
    for window in range(min(2, -(-plan.length // size))):
        span = _span(plan.length, size, window)
        checksum = 0
        for piece in pieces(span):
            checksum = zlib.crc32(piece, checksum)
            yield piece
        yield bytes(size - span.length)
        yield _packed(_Record(window, span.length, plan.token, checksum))
