"""What an update is going to do to a spool, and how that is written at the head of its journal.

Pure; run by a worker as the mailbox's user.

    0     numbers, with checksums
    512   zeros: the journal records here that everything is in place
    1024  the ranges of the spool that move; the index as it will be
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

TOKEN: Final = 16
CUTTING_AT: Final = 512
_BODY_AT: Final = 1024
_GUARD: Final = 4096  # octets whose checksum tells whether this is the spool that was planned for
_LARGEST: Final = 1 << 32

_MAGIC: Final = 0x1B0A314A706F7070  # read in another byte order it is another number
_VERSION: Final = 1
_HEAD: Final = struct.Struct("=QIIQQQQQ16sIII")
_CHECKSUM: Final = struct.Struct("=I")
_RANGE: Final = struct.Struct("=QQ")


class DamagedJournal(Exception):  # noqa: N818
    """A journal that is not what was written."""


class Range(NamedTuple):
    """Octets of a file."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset behind them."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Plan:
    """What an update does: ``ranges`` of the spool move together from ``start`` on, in order."""

    inode: int
    start: int  # octets in front of it stay where they are
    end: int  # size of the spool when the update began
    ranges: tuple[Range, ...]
    token: bytes  # random; stands behind the moved octets when all are in place
    before: int  # checksum of the octets in front of ``start``
    foot: int  # checksum of the last octets, which nothing is moved over
    index: bytes  # the index that describes the spool when it is done

    @property
    def length(self) -> int:
        """Octets that move."""
        return sum(length for _, length in self.ranges)

    @property
    def final(self) -> int:
        """Size of the spool when it is done."""
        return self.start + self.length


def before_of(start: int) -> Range:
    """The octets that ``Plan.before`` is about."""
    return Range(max(0, start - _GUARD), min(start, _GUARD))


def foot_of(final: int, end: int) -> Range:
    """The octets that ``Plan.foot`` is about; the token has room in front of them.

    What is removed is a From_ line at least, 27 octets, so there are some.
    """
    first = max(final + TOKEN, end - _GUARD)
    return Range(first, end - first)


def encode(plan: Plan, window: int) -> bytes:
    """The head of a journal whose slots take ``window`` octets."""
    body = b"".join(_RANGE.pack(*one) for one in plan.ranges) + plan.index
    head = _HEAD.pack(
        _MAGIC,
        _VERSION,
        len(plan.ranges),
        plan.inode,
        plan.start,
        plan.end,
        window,
        len(plan.index),
        plan.token,
        plan.before,
        plan.foot,
        zlib.crc32(body),
    )
    return (head + _CHECKSUM.pack(zlib.crc32(head))).ljust(_BODY_AT, b"\0") + body


def decode(read: Callable[[int, int], bytes]) -> tuple[Plan, int, int]:
    """The plan in a journal, the octets that a slot takes, where the slots begin."""
    octets = read(0, _HEAD.size + _CHECKSUM.size)
    head = octets[: _HEAD.size]
    if octets[_HEAD.size :] != _CHECKSUM.pack(zlib.crc32(head)):
        raise DamagedJournal("the checksum of its head is wrong")
    magic, version, count, inode, start, end, window, size, token, before, foot, checksum = (
        _HEAD.unpack(head)
    )
    if magic != _MAGIC or version != _VERSION:
        raise DamagedJournal("it is of another version or machine")
    length = count * _RANGE.size + size
    if length > _LARGEST:
        raise DamagedJournal("its head is wrong")
    body = read(_BODY_AT, length)
    if zlib.crc32(body) != checksum or len(body) != length:
        raise DamagedJournal("the checksum of its plan is wrong")
    ranges = tuple(map(Range._make, _RANGE.iter_unpack(body[: count * _RANGE.size])))
    index = body[count * _RANGE.size :]
    plan = Plan(inode, start, end, ranges, token, before, foot, index)
    if not window or not plan.length or plan.final + TOKEN >= end:
        raise DamagedJournal("its plan is wrong")
    return plan, window, _BODY_AT + length
