"""The UPDATE state of an mbox (RFC 1939 section 6): messages are cut from the spool in place.

Run by a worker as the mailbox's user, under the session lock and the spool's locks.

Theory of operation
===================

The spool keeps its inode: delivery agents that wait for the lock have it open, and programs that
watch for new mail look at it. So it cannot be replaced by a new file in one step; what is kept is
moved towards the front, over what is removed, and the rest is cut off. Three cases need no more
than one truncation, which a file system does or does not do: everything is removed, only the last
messages are, nothing is.

Otherwise let P be what lies in front of the first removed message, K what is kept behind it, D what
is removed there, E the end of the spool. K moves in windows of up to 16 MiB. A window is in the
journal, durable, before the first of its octets goes into the spool, and it is durable in the spool
before its slot in the journal is used again. Windows are moved in order, each to a lower offset
than it came from, so octets that have not been in the journal yet are never written over.

    step                     durable when it ends                           done by
    1  settle                (nothing is written)                           ``settle.settle``
    2  commit                journal: plan, new index, first two windows    ``_commit``
    3  move the windows      spool: P K rest; behind K, in the rest, a      ``_move``
                             token of 16 random octets
    4  begin to cut          journal: "everything is in place"              ``_cut``
    5  cut                   spool: P K                                     ``_cut``
    6  finish                index; no journal                              ``_finish``

The rest has as many octets as D, at least the 27 of a From_ line, so there is room for the token.

After kill -9 or a power cut the next session (``recovery``) finds one of these:

    journal          spool                   meaning              recovery
    none             as it was               died before step 2   none needed
    empty (a mark)   as it was, or           died in step 1, or   gives the lock back, if it was
                     truncated               in a truncation      left, and removes the mark
    moving           anything from the old   died in step 2 or 3  moves the windows that are in the
                     octets to P K rest,                          journal (again), then those behind
                     E octets or more                             them, and goes on with step 4
    cutting          token behind K          died before step 5   step 5
    cutting          no token behind K       died in step 5 or 6  step 6
    none             P K                     it is done           none needed

Moving a window again is harmless: it writes the octets that are there, or should be. A journal
whose slot was being overwritten is told by its checksum; then the window in front of it, in the
other slot, is whole, and the octets behind that one still lie where the plan says.

**Mail that is added meanwhile.** Our locks are dead or, when they got old, broken by a delivery
agent. Agents write at the end. As long as the spool is not cut, that is behind E, so in states
"moving" and "token" everything behind E is such mail, N. It is kept: when K is in place a new plan,
which moves N to the end of K, takes the journal's place in one rename, and the steps go on with it
from step 3. When the spool is cut, N lies behind K, where it belongs. The two must not be mixed up,
and sizes do not tell: a mail of as many octets as D makes P K N as long as P K rest, and if it is
a copy of the last message it may even look the same. That is what the token is for: it is in the
spool if, and only if, the spool is in place and has not been cut, and an agent cannot write it.

**Another program that rewrites the spool meanwhile** breaks what the plan relies on. Before
anything is moved again, recovery compares the inode, the size, and the octets at two places that no
step touches. If they differ it leaves the spool as it is, keeps the journal under another name (a
torn window may have octets of a message that the spool has lost) and says so in the log.

**Errors.** Until the rename in step 2 every error leaves the old state. In-place writes need no
room, so a full disk or quota is met in step 2; what fails behind it (an I/O error, a copy-on-write
file system without room, the loss of the dot-lock) leaves the journal, the client is told that the
messages were not removed, and the next login completes it.
"""

from __future__ import annotations

import errno
import os
import time
import zlib
from collections.abc import Iterator
from typing import Final

from preforkpop.maildrop.base import Place
from preforkpop.maildrop.locks.spool import SpoolLock
from preforkpop.maildrop.mbox import index, mark
from preforkpop.maildrop.mbox.held import beat_of, held
from preforkpop.maildrop.mbox.index import Index
from preforkpop.maildrop.mbox.journal import PIECE, WINDOW, Journal, write
from preforkpop.maildrop.mbox.plan import TOKEN, DamagedJournal, Plan, Range, before_of, foot_of
from preforkpop.maildrop.mbox.settle import kept_ranges, settle
from preforkpop.maildrop.mbox.spool import Spool, changed, unwritable
from preforkpop.maildrop.mbox.table import Table

_COMPLETED_LATER: Final = "the next login completes the update"


def remove_messages(
    place: Place,
    spool: Spool,
    table: Table,
    deleted: frozenset[int],
    notes: list[str],
) -> None:
    """Remove messages that ``table`` numbers, all of them or MaildropError."""
    seen = spool.status
    try:
        with held(place, spool, notes) as lock:
            if not spool.writable:
                raise PermissionError(errno.EACCES, "it may only be read")
            update = Update(place, spool, lock, notes)
            table, deleted = settle(spool, seen, table, deleted, update.beat)
            if deleted:
                lock.verify()
                update.remove(table, deleted)
    except (OSError, DamagedJournal) as error:
        raise unwritable(spool.path, error, _outcome(place)) from error


def _outcome(place: Place) -> str:
    """What becomes of an update that failed: that is decided by there being a journal."""
    try:
        if mark.is_journal(place.state):
            return _COMPLETED_LATER
    except OSError:
        return _COMPLETED_LATER
    return f"nothing was removed (the journal needs up to {2 * WINDOW >> 20} MiB in {place.state})"


class Update:
    """One update of a spool that is held; every step raises OSError, MaildropError or
    DamagedJournal, and what has become of the spool then is told above."""

    def __init__(self, place: Place, spool: Spool, lock: SpoolLock, notes: list[str]) -> None:
        self._place = place
        self._spool = spool
        self._lock = lock
        self._notes = notes
        self.beat = beat_of(place, lock)
        self.unstored: Index | None = None
        """The new index, if it could not be stored and the spool could not give it again."""

    def remove(self, table: Table, deleted: frozenset[int]) -> None:
        """Steps 2 to 6 for messages of a table that is what the spool holds."""
        start = table.row(min(deleted)).offset
        ranges = kept_ranges(table, deleted)
        after = table.without(deleted)
        if not ranges:
            self._truncate(start)
            self._remember(after, certain=True)
            return
        new_index = Index(after, index.nowhere(after.end), certain=False)
        journal = self._commit(start, table.end, ranges, b"".join(index.encode(new_index)))
        try:
            self.complete(journal, certain=True)
        finally:
            journal.close()

    def complete(self, journal: Journal, *, certain: bool) -> None:
        """Steps 3 to 6."""
        self._move(journal)
        self.complete_cut(journal, certain=certain)

    def complete_cut(self, journal: Journal, *, certain: bool) -> None:
        """Steps 4 to 6, which go back to step 3 when mail was added meanwhile."""
        plan = journal.plan
        size = self._spool.fstat().st_size
        if size > plan.end:
            added = Range(plan.end, size - plan.end)
            with_added = self._commit(plan.final, size, (added,), plan.index)
            try:
                self.complete(with_added, certain=certain)
            finally:
                with_added.close()
            return
        if size < plan.final + TOKEN:
            raise changed(self._spool.path)
        self._lock.verify()
        journal.begin_cutting()
        if self._spool.fstat().st_size != size:  # a disk so slow that the lock grew stale meanwhile
            self.complete_cut(journal, certain=certain)
            return
        self._lock.verify()
        self._truncate(plan.final)
        self.finish(journal, certain=certain)

    def finish(self, journal: Journal, *, certain: bool) -> None:
        """Step 6. ``certain``: the spool is known to be what the new index describes.

        The journal becomes a mark, not nothing: the locks are still held. It stays where it holds
        unique-ids that are recorded nowhere else.
        """
        try:
            table = index.decode(journal.plan.index).table
        except index.Damaged:  # the journal of an earlier version
            index.forget(self._place.state)
        else:
            if not self._remember(table, certain=certain) and table.durable:
                self.unstored = Index(table, index.nowhere(table.end), certain=False)
                return
        try:
            journal.discard()
        except OSError as error:  # the next login will find everything done, and discard it
            self._notes.append(f"{self._place.state}: the journal stays: {error.strerror}")

    def _commit(self, start: int, end: int, ranges: tuple[Range, ...], new_index: bytes) -> Journal:
        """Step 2; from its end on the update will happen."""
        final = start + sum(length for _, length in ranges)
        plan = Plan(
            inode=self._spool.fstat().st_ino,
            start=start,
            end=end,
            ranges=ranges,
            token=os.urandom(TOKEN),
            before=self.checksum(before_of(start)),
            foot=self.checksum(foot_of(final, end)),
            index=new_index,
        )
        return Journal.commit(self._place.state, plan, lambda span: self._pieces(ranges, span))

    def checksum(self, where: Range) -> int:
        """Checksum of octets of the spool."""
        return zlib.crc32(self._spool.read(*where))

    def _move(self, journal: Journal) -> None:
        """Step 3: first the windows that are in the journal, then those behind them."""
        plan = journal.plan
        logged = journal.logged()
        if not logged:
            raise DamagedJournal("no window in it is whole")
        for window in range(logged[0], journal.windows):
            self._lock.look()  # between two windows there is an fsync, which may take its time
            span = journal.span(window)
            if window not in logged:
                journal.log(window, self._pieces(plan.ranges, span))
            position = plan.start + span.offset
            for piece in journal.octets(window):
                self.beat()
                write(self._spool.descriptor, piece, position)
                position += len(piece)
            if window == journal.windows - 1:
                write(self._spool.descriptor, plan.token, plan.final)
            os.fdatasync(self._spool.descriptor)

    def _pieces(self, ranges: tuple[Range, ...], span: Range) -> Iterator[bytes]:
        """The octets that ``span`` says of all that move, from where they lay at the start."""
        gathered: list[bytes] = []
        size = 0
        begin = 0  # of a range, within what moves
        for offset, length in ranges:
            position = max(span.offset, begin)
            end = min(span.end, begin + length)
            while position < end:
                self.beat()
                wanted = min(end - position, PIECE - size)
                octets = self._spool.read(offset + position - begin, wanted)
                if len(octets) < wanted:
                    raise changed(self._spool.path)
                gathered.append(octets)
                size += wanted
                position += wanted
                if size == PIECE:
                    yield b"".join(gathered)
                    gathered, size = [], 0
            begin += length
        if gathered:
            yield b"".join(gathered)

    def _truncate(self, size: int) -> None:
        os.ftruncate(self._spool.descriptor, size)
        os.fsync(self._spool.descriptor)

    def _remember(self, table: Table, *, certain: bool) -> bool:
        state = self._place.state
        if not table.count:
            index.forget(state)
            return True
        if not certain:
            found = Index(table, index.nowhere(table.end), certain=False)
            return index.remember(state, found, self._notes)
        status, stamped = index.stamp(self._spool.descriptor, time.time_ns())
        if status.st_size == table.end:
            found = Index(table, index.packed(status), stamped)
        else:
            found = Index(table, index.before_growth(status, table.end), certain=False)
        return index.remember(state, found, self._notes)
