"""What a spool holds now, with as little reading as that takes.

Run by a worker as the mailbox's user, who holds the spool's locks (``verified`` needs none).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.mbox import header
from preforkpop.maildrop.mbox.index import Index
from preforkpop.maildrop.mbox.naming import Namer
from preforkpop.maildrop.mbox.scan import NotMbox, Read, Scanned, Shrunk, identify, scan
from preforkpop.maildrop.mbox.spool import UNAVAILABLE, Spool, changed
from preforkpop.maildrop.mbox.table import Builder, Row, Table

Beat = Callable[[], None]
"""Called for each message and each block that is read."""

_T = TypeVar("_T")


def current(spool: Spool, status: os.stat_result, known: Index | None, beat: Beat) -> Table:
    """What the spool holds, which has this status; MaildropError."""
    if known is not None and known.may_have_grown(status):
        try:
            table = grown(spool.read, status.st_size, known.table, beat)
        except Shrunk as error:
            raise changed(spool.path) from error
        if table is not None:
            return table
    return anew(spool, status, known and known.table, beat)


def anew(spool: Spool, status: os.stat_result, known: Table | None, beat: Beat) -> Table:
    """What the spool holds, with the unique-ids that are known; MaildropError."""
    try:
        return whole(spool.read, status.st_size, known, beat)
    except NotMbox as error:
        raise MaildropError(
            "SYS/PERM",
            f"{UNAVAILABLE}: it is no mbox",
            f"{spool.path}: its first line is no From_ line with a date, such as"
            ' "From fred@example.org Wed Dec  2 05:53:22 1992"; correct that line',
        ) from error
    except Shrunk as error:
        raise changed(spool.path) from error


def whole(read: Read, end: int, known: Table | None, beat: Beat) -> Table:
    """Read all of the spool; messages that ``known`` records keep their unique-ids.

    Raises NotMbox and Shrunk.
    """
    namer = Namer()
    if known is not None:
        namer.recall(known, present=False)
    builder = Builder()
    for named in namer.name(_beating(scan(_beating_read(read, beat), 0, end), beat)):
        builder.add(named)
    return builder.table(end, durable=namer.durable)


def grown(read: Read, end: int, known: Table, beat: Beat) -> Table | None:
    """Read what was added behind the messages of ``known``, and the last of these.

    None when that one is not where it was, or not what it was: then other programs have changed
    the spool in another way. Changes in front of it that leave it in its place are not found here;
    nothing is sent and nothing is cut without a look at the message itself (``verified``).
    """
    if not known.count:
        return None
    last = known.row(known.count)
    if last.offset > 1 and read(last.offset - 2, 2) != b"\n\n":
        return None
    try:
        first, *more = _beating(scan(_beating_read(read, beat), last.offset, end), beat)
    except (NotMbox, ValueError):
        return None
    if first.digest != last.digest or first.octets != last.octets:
        return None
    return _followed(known, first, more, end)


def added(read: Read, end: int, known: Table, beat: Beat) -> Table | None:
    """Read what was added, when it is known to begin a message of its own.

    For a last message that is about to be cut: mail that an agent appended to it without the blank
    line between them is a message as soon as it is gone. None when it does not begin one.
    """
    if not known.count or known.end == end or not verified(read, known, known.count):
        return None
    try:
        more = list(_beating(scan(_beating_read(read, beat), known.end, end), beat))
    except NotMbox:
        return None
    return _followed(known, None, more, end)


def _followed(known: Table, last: Scanned | None, more: list[Scanned], end: int) -> Table:
    namer = Namer()
    if more:
        namer.recall(known, present=True)
    named = list(namer.name(more))
    return known.followed_by(last, named, end, durable=namer.durable)


def verified(read: Read, table: Table, number: int, begins: bytes | None = None) -> bool:
    """Whether a message is where the table says: its From_ line, its header, what comes behind it.

    ``begins``: its first octets, LIMIT of a header or the message, when they were read already.
    """
    row = table.row(number)
    if row.content + row.length > table.end:
        return False
    before = min(row.offset, 2)
    front = read(row.offset - before, before + row.separator)
    if not front.startswith(b"\n\n"[:before]) or len(front) < before + row.separator:
        return False
    if begins is None:
        begins = read(row.content, min(row.length, header.LIMIT))
    lines = front[before:] + begins[: header.end(begins, 0, len(begins))]
    complete = number < table.count or _complete(read, row, begins or front)
    if identify(lines, row.separator + row.length, complete=complete)[0] != row.digest:
        return False
    if number < table.count:
        return read(table.row(number + 1).offset - 1, 6) == b"\nFrom "
    return True


def _complete(read: Read, row: Row, begins: bytes) -> bool:
    """Whether the last message ends in an LF; one without octets has that of its From_ line."""
    end = row.content + row.length
    return (read(end - 1, 1) if len(begins) < row.length else begins).endswith(b"\n")


def _beating(items: Iterable[_T], beat: Beat) -> Iterator[_T]:
    for item in items:
        beat()
        yield item


def _beating_read(read: Read, beat: Beat) -> Read:
    def beaten(offset: int, size: int) -> bytes:
        beat()
        return read(offset, size)

    return beaten
