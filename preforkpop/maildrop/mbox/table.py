"""The messages of an mbox as one piece of octets: what the index keeps and a session works from.

Pure; run by a worker as the mailbox's user. A table is two listings that are ready to be sent (scan
listings and unique-id listings, a line a message) and a row for each message. Nothing is taken
apart when a table is made from the index, so 50,000 messages cost a poll no more than fifty do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from preforkpop.maildrop.mbox import header
from preforkpop.maildrop.mbox.scan import Scanned

HONOURED: Final = 0xFFFFFFFF
"""In place of an ordinal: the unique-id is the one that the message brought with it."""

_ROW: Final = struct.Struct(f"=QQQHI{header.DIGEST}s")
ROW: Final = _ROW.size


class Row(NamedTuple):
    """One message; ``separator``, ``length`` and ``octets`` are said at ``scan.Scanned``."""

    offset: int
    length: int
    octets: int
    separator: int
    ordinal: int  # which one of the messages with this digest it is, or HONOURED
    digest: bytes

    @property
    def content(self) -> int:
        """Where the message begins, behind its From_ line."""
        return self.offset + self.separator


class Named(NamedTuple):
    """A message of a scan with its unique-id."""

    message: Scanned
    unique_id: bytes
    ordinal: int


class Table:
    """Messages 1 to ``count``; immutable.

    ``end`` is the size of the spool that it describes. ``durable`` says that some of its unique-ids
    could not be found out from the spool again, so that they have to survive a power cut.
    """

    __slots__ = (
        "_names",
        "_raw",
        "_rows",
        "_scan",
        "_unique_ids",
        "count",
        "durable",
        "end",
        "octets",
    )

    def __init__(
        self,
        raw: bytes,
        start: int,
        *,
        count: int,
        octets: int,
        scan_size: int,
        unique_id_size: int,
        end: int,
        durable: bool,
    ) -> None:
        self._names: list[bytes] | None = None
        self._raw = raw
        self._scan = start
        self._unique_ids = start + scan_size
        self._rows = start + scan_size + unique_id_size
        self.count = count
        self.octets = octets
        self.end = end
        self.durable = durable

    def scan_listings(self) -> bytes:
        """All scan listings."""
        return self._raw[self._scan : self._unique_ids]

    def unique_id_listings(self) -> bytes:
        """All unique-id listings."""
        return self._raw[self._unique_ids : self._rows]

    def unique_ids(self) -> list[bytes]:
        """The unique-ids of all messages in order."""
        lines = self.unique_id_listings().split(b"\r\n")
        return [line.partition(b" ")[2] for line in lines[:-1]]

    def unique_id(self, number: int) -> bytes:
        """The unique-id of a message."""
        if self._names is None:
            self._names = self.unique_ids()  # once for a client that asks for each by itself
        return self._names[number - 1]

    def row(self, number: int) -> Row:
        """The row of a message."""
        assert 0 < number <= self.count
        return Row._make(_ROW.unpack_from(self._raw, self._rows + ROW * (number - 1)))

    def rows(self) -> Iterator[Row]:
        """The rows of all messages in order."""
        return map(Row._make, _ROW.iter_unpack(self._row_octets()))

    def region_end(self, number: int) -> int:
        """Where the next message begins, or the file ends."""
        return self.row(number + 1).offset if number < self.count else self.end

    def parts(self) -> tuple[bytes, bytes, bytes]:
        """The octets of the table; joined they are what ``raw`` was."""
        return self.scan_listings(), self.unique_id_listings(), bytes(self._row_octets())

    def sizes(self) -> tuple[int, int]:
        """Octets of the scan listings and of the unique-id listings."""
        return self._unique_ids - self._scan, self._rows - self._unique_ids

    def followed_by(
        self, last: Scanned | None, more: Iterable[Named], end: int, *, durable: bool
    ) -> Table:
        """This table with further messages.

        ``last`` is its last message as it lies there now: it may have got its last LF since.
        """
        builder = Builder()
        builder.take_over(self)
        if last is not None:
            builder.replace_last(self.row(self.count), last)
        for named in more:
            builder.add(named)
        return builder.table(end, durable=durable or self.durable)

    def without(self, deleted: frozenset[int]) -> Table:
        """The table that describes the spool from which the deleted messages have been cut."""
        builder = Builder()
        unique_ids = self.unique_ids()
        moved = 0
        cut: set[bytes] = set()
        kept: set[bytes] = set()
        for number, row in enumerate(self.rows(), 1):
            if number in deleted:
                moved += self.region_end(number) - row.offset
                cut.add(row.digest)
            else:
                kept.add(row.digest)
                builder.keep(row._replace(offset=row.offset - moved), unique_ids[number - 1])
        return builder.table(self.end - moved, durable=self.durable or not cut.isdisjoint(kept))

    def _row_octets(self) -> memoryview:
        return memoryview(self._raw)[self._rows : self._rows + ROW * self.count]


class Builder:
    """Makes a table message by message."""

    def __init__(self) -> None:
        self._scan = bytearray()
        self._unique_ids = bytearray()
        self._rows = bytearray()
        self._count = 0
        self._octets = 0

    def take_over(self, table: Table) -> None:
        """Begin with the messages of a table."""
        scan, unique_ids, rows = table.parts()
        self._scan += scan
        self._unique_ids += unique_ids
        self._rows += rows
        self._count = table.count
        self._octets = table.octets

    def replace_last(self, row: Row, found: Scanned) -> None:
        """Put the row of the last message anew; what it is and how it is listed stay."""
        del self._rows[-ROW:]
        self._rows += _ROW.pack(*row._replace(length=found.length, separator=found.separator))

    def add(self, named: Named) -> None:
        """Add a message."""
        message, unique_id, ordinal = named
        self.keep(
            Row(
                message.offset,
                message.length,
                message.octets,
                message.separator,
                ordinal,
                message.digest,
            ),
            unique_id,
        )

    def keep(self, row: Row, unique_id: bytes) -> None:
        """Add a message as it lies in the spool."""
        self._line(row.octets, unique_id)
        self._rows += _ROW.pack(*row)

    def table(self, end: int, *, durable: bool) -> Table:
        """Give the table."""
        return Table(
            b"".join((self._scan, self._unique_ids, self._rows)),
            0,
            count=self._count,
            octets=self._octets,
            scan_size=len(self._scan),
            unique_id_size=len(self._unique_ids),
            end=end,
            durable=durable,
        )

    def _line(self, octets: int, unique_id: bytes) -> None:
        self._count += 1
        self._octets += octets
        self._scan += b"%d %d\r\n" % (self._count, octets)
        self._unique_ids += b"%d %b\r\n" % (self._count, unique_id)
