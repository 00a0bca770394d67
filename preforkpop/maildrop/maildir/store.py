"""A Maildir as a maildrop.

Run by a worker as the mailbox's user. What happens to the files:

- Opening changes nothing. A message is known by its name without the flags, so other programs may
  move it from new/ to cur/ and change its flags during the session; it is looked for again when it
  is not where it was.
- A message that is changed in place, which nobody should do, is not sent: its listing would be
  wrong. The next session lists it as it is then.
- QUIT removes the deleted messages; one that another program has removed meanwhile counts as
  removed. It then moves those that were read to their end from new/ to cur/ with the flag S, as
  Courier and Dovecot do: what a mail reader shows as new is what no client has fetched. The flags
  of messages in cur/ are the mail reader's and stay. tmp/ is the delivery agents'.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from preforkpop.maildrop.base import MaildropError, Place
from preforkpop.maildrop.maildir import renewal
from preforkpop.maildrop.maildir.access import Files
from preforkpop.maildrop.maildir.folder import Folder, look
from preforkpop.maildrop.maildir.index import DamagedError, Index, Table
from preforkpop.maildrop.maildir.scan import CHUNK
from preforkpop.maildrop.session_lock import SessionLock
from preforkpop.system.log import escape

_T = TypeVar("_T")


def open_maildir(
    place: Place, session: SessionLock, now: Callable[[], int] = time.time_ns
) -> Maildir:
    """Open the Maildir of a place whose session lock is held; MaildropError.

    ``now`` gives nanoseconds of the clock that also stamps the files.
    """
    notes: list[str] = []
    started = now()
    index = renewal.current(place, look(place.path, place.owner), started, notes)
    return Maildir(place, session, index, started, notes)


class Maildir:
    """An open Maildir: what its index says, and the files where that is not enough."""

    __slots__ = (
        "_files",
        "_folder",
        "_index",
        "_opened",
        "_place",
        "_read",
        "_session",
        "_table",
        "_unique_ids",
        "count",
        "notes",
        "octets",
    )

    def __init__(
        self, place: Place, session: SessionLock, index: Index, opened: int, notes: list[str]
    ) -> None:
        self._place = place
        self._session = session
        self._index = index
        self._opened = opened
        self._table: Table | None = None
        self._unique_ids: list[bytes] | None = None
        self._folder: Folder | None = None
        self._files: Files | None = None
        self._read: set[int] = set()  # numbers of messages that were read to their end
        self.count = index.count
        self.octets = index.octets
        self.notes = notes

    def size(self, number: int) -> int:
        """Octets of a message as transmitted."""
        return self._rows().octets[number - 1]

    def unique_id(self, number: int) -> bytes:
        """The unique-id of a message."""
        return self._ids()[number - 1]

    def scan_listings(self) -> bytes:
        """All scan listings, a line a message in order."""
        return self._from_index(Index.scan_listings)

    def unique_id_listings(self) -> bytes:
        """All unique-id listings, a line a message in order."""
        return self._from_index(Index.unique_id_listings)

    def chunks(self, number: int) -> Iterator[bytes]:
        """The octets of a message's file."""
        descriptor = self._open_files().open(number - 1)
        left = self._rows().sizes[number - 1]
        try:
            while left:
                piece = os.read(descriptor, min(left, CHUNK))
                if not piece:
                    raise OSError(0, "is shorter than it was")
                left -= len(piece)
                yield piece
        except OSError as error:
            reason = f"message {number} in {escape(self._place.path, 512)}: {error.strerror}"
            raise MaildropError("SYS/TEMP", f"Message {number} cannot be read", reason) from error
        finally:
            os.close(descriptor)
        self._read.add(number)

    def update(self, deleted: frozenset[int]) -> None:
        """Remove the messages, then move what was read to cur/; MaildropError."""
        if not deleted and not self._read:
            return
        files = self._open_files()
        tick = renewal.ticker(self._place)
        failures: list[OSError] = []
        for number in sorted(deleted):
            tick()
            try:
                files.remove(number - 1)
            except OSError as error:
                failures.append(error)
        for number in sorted(self._read - deleted):
            tick()
            self._settle(files, number)
        if deleted:
            self._sync()
        if failures:
            raise _not_removed(self._place.path, failures, len(deleted))

    def close(self) -> None:
        """Give up the session lock and every descriptor. Safe to call twice."""
        if self._files is not None and (self._files.learned or self._files.amendments):
            self._amend(self._files)
        self._files = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None
        self._index.close()
        self._session.release()

    def _rows(self) -> Table:
        if self._table is None:
            self._table = self._from_index(Index.table)
        return self._table

    def _ids(self) -> list[bytes]:
        if self._unique_ids is None:
            self._unique_ids = self._from_index(Index.unique_ids)
        return self._unique_ids

    def _open_files(self) -> Files:
        if self._files is None:
            table = self._rows()
            self._folder = Folder(self._place.path, self._index.stamps)
            self._files = Files(self._folder, table)
        return self._files

    def _from_index(self, read: Callable[[Index], _T]) -> _T:
        """Read something from the index; from a new one when it turns out to be damaged."""
        try:
            return read(self._index)
        except DamagedError:
            old = self._index
        new = renewal.renewed(self._place, old.stamps, old, self._opened, self.notes)
        old.close()
        self._index = new
        what = f"the index of {escape(self._place.path, 512)} was damaged; it was made anew"
        if (new.stamps, new.count, new.octets) != (old.stamps, self.count, self.octets):
            raise MaildropError("SYS/TEMP", "The maildrop has changed, log in again", what)
        self.notes.append(what)
        return read(new)

    def _settle(self, files: Files, number: int) -> None:
        try:
            files.settle(number - 1)
        except OSError as error:
            path = escape(self._place.path, 512)
            self.notes.append(f"{path}: cannot move a message to cur/: {error.strerror}")

    def _sync(self) -> None:
        assert self._folder is not None
        try:
            self._folder.sync()
        except OSError as error:
            path = escape(self._place.path, 512)
            self.notes.append(f"{path}: removals may not survive a power cut: {error.strerror}")

    def _amend(self, files: Files) -> None:
        """Let the next session know what was found out about messages when they were read."""
        table = self._rows()
        for row, measure in files.amendments.items():
            table.sizes[row], table.modified[row], table.octets[row], table.exact[row] = measure
        index = self._index
        amended = Index.make(index.stamps, index.settled, table, self._ids())
        renewal.save(self._place, amended, self.notes)


def _not_removed(path: str, failures: list[OSError], asked: int) -> MaildropError:
    first = failures[0]
    code = "SYS/PERM" if isinstance(first, PermissionError) else "SYS/TEMP"
    count = f"{len(failures)} of {asked}"
    reason = f"{escape(path, 512)}: {count} messages cannot be removed: {first.strerror}"
    return MaildropError(code, f"{count} are still there", reason)
