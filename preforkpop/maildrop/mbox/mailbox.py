"""An mbox as a maildrop: opened, read and updated in place (RFC 1939 sections 4 to 6).

Run by a worker as the mailbox's user. Nothing is copied at the start and no lock but the session
lock is held while a client is served: a session is a table of where messages lie, and an open
descriptor. A spool that is unchanged since the index was written costs a poll one open, one fstat
and one read of the index.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

from preforkpop.maildrop.base import Place
from preforkpop.maildrop.mbox import header, index, mark, survey
from preforkpop.maildrop.mbox.held import beat_of, held, status_between_writes
from preforkpop.maildrop.mbox.index import Index
from preforkpop.maildrop.mbox.recovery import recover
from preforkpop.maildrop.mbox.spool import Spool, changed, unreadable
from preforkpop.maildrop.mbox.table import Table
from preforkpop.maildrop.mbox.update import remove_messages
from preforkpop.maildrop.session_lock import SessionLock

PIECE: Final = 262144
"""Octets of a message that are read at once: a message up to that size leaves in one write."""

_EMPTY: Final = Table(
    b"", 0, count=0, octets=0, scan_size=0, unique_id_size=0, end=0, durable=False
)


def open_mbox(place: Place, session: SessionLock) -> Mbox:
    """Open the mbox at a place, after what a dead session left has been put right.

    MaildropError leaves the session lock to the caller; otherwise ``close`` gives it up.
    """
    notes: list[str] = []
    known = recover(place, notes) if mark.found(place.state) else None
    spool = Spool(place)
    try:
        table = _table(place, spool, known, notes)
    except BaseException as error:
        spool.close()
        if isinstance(error, OSError):
            raise unreadable(place.path, error) from error
        raise
    return Mbox(place, session, spool, table, notes)


def _table(place: Place, spool: Spool, known: Index | None, notes: list[str]) -> Table:
    status = spool.status
    if status is None or not status.st_size:
        return _EMPTY
    known = known or _known(place, notes)
    if known is not None and known.describes(status):
        return known.table
    with held(place, spool, notes) as lock:
        status = spool.status = os.fstat(spool.descriptor) if spool.descriptor >= 0 else None
        if status is None:
            return _EMPTY
        now = time.time_ns()
        table = survey.current(spool, status, known, beat_of(place, lock))
        certain = index.settled(status, now)
        index.remember(place.state, Index(table, index.packed(status), certain), notes)
        return table


def _known(place: Place, notes: list[str]) -> Index | None:
    try:
        return index.load(place.state)
    except index.Damaged as damage:
        notes.append(f"{place.state}/{index.NAME} is damaged ({damage}): made anew from the spool")
        return None


class Mbox:
    """An open mbox; the methods are said at ``pop3.transaction.Maildrop``."""

    __slots__ = (
        "_place",
        "_session",
        "_size",
        "_spool",
        "_table",
        "_time",
        "count",
        "notes",
        "octets",
    )

    def __init__(
        self, place: Place, session: SessionLock, spool: Spool, table: Table, notes: list[str]
    ) -> None:
        self._place = place
        self._session = session
        self._spool = spool
        self._table = table
        self._size = spool.status.st_size if spool.status else 0
        self._time = spool.status.st_mtime_ns if spool.status else 0
        self.count = table.count
        self.octets = table.octets
        self.notes = notes

    def size(self, number: int) -> int:
        return self._table.row(number).octets

    def unique_id(self, number: int) -> bytes:
        return self._table.unique_id(number)

    def scan_listings(self) -> bytes:
        return self._table.scan_listings()

    def unique_id_listings(self) -> bytes:
        return self._table.unique_id_listings()

    def chunks(self, number: int) -> Iterator[bytes]:
        row = self._table.row(number)
        read = self._spool.read
        self._expect_unchanged()
        position, end = row.content, row.content + row.length
        piece = read(position, min(PIECE, row.length))
        if not survey.verified(read, self._table, number, piece[: header.LIMIT]):
            self._distrust_index()
            raise changed(self._spool.path)
        while True:
            if len(piece) < min(PIECE, end - position):
                raise changed(self._spool.path)
            yield piece
            position += len(piece)
            if position == end:
                return
            self._expect_unchanged()
            piece = read(position, min(PIECE, end - position))

    def update(self, deleted: frozenset[int]) -> None:
        if deleted:
            remove_messages(self._place, self._spool, self._table, deleted, self.notes)

    def close(self) -> None:
        self._spool.close()
        self._session.release()

    def _expect_unchanged(self) -> None:
        """Raise MaildropError unless nothing has happened to the spool but mail being added.

        More octets are added mail, whatever the time says: both may fall into one tick of the
        clock. As many octets as before at another time have been written by somebody else, unless
        an agent has begun to write and not come to the size yet.
        """
        status = self._spool.fstat()
        if self._is_rewritten(status):
            between = status_between_writes(self._place, self._spool, self.notes)
            if between is None:
                return
            status = between
        if self._is_rewritten(status) or status.st_size < self._size or not status.st_nlink:
            raise changed(self._spool.path)
        self._size, self._time = status.st_size, status.st_mtime_ns

    def _is_rewritten(self, status: os.stat_result) -> bool:
        return status.st_size == self._size and status.st_mtime_ns != self._time

    def _distrust_index(self) -> None:
        """See to it that the next login reads the whole spool, and keeps the unique-ids."""
        found = Index(self._table, index.nowhere(self._table.end), certain=False)
        index.remember(self._place.state, found, self.notes)
