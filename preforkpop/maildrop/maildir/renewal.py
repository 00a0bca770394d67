"""The index that holds for a Maildir as it is now: the one in the state directory, or a new one.

Run by a worker as the mailbox's user, at each login.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

from preforkpop.maildrop.base import Place
from preforkpop.maildrop.maildir import scan
from preforkpop.maildrop.maildir.folder import Folder, Stamp, Stamps
from preforkpop.maildrop.maildir.index import SETTLED, DamagedError, Index, Table
from preforkpop.system.durable import remove_leftovers, replace_file
from preforkpop.system.log import escape

NAME: Final = "maildir.index"
_NOTHING: Final = Index.make(Stamps(Stamp(0, 0, 0, 0), Stamp(0, 0, 0, 0)), True, Table.empty(), ())


def current(place: Place, stamps: Stamps | None, now: int, notes: list[str]) -> Index:
    """The index for a Maildir that looks like this at ``now`` (nanoseconds); MaildropError."""
    if stamps is None:
        return _NOTHING
    index = Index.load(f"{place.state}/{NAME}")
    if index is not None and index.settled and index.stamps == stamps:
        return index
    try:
        return renewed(place, stamps, index, now, notes)
    finally:
        if index is not None:
            index.close()


def renewed(place: Place, stamps: Stamps, old: Index | None, now: int, notes: list[str]) -> Index:
    """Read the Maildir with what the old index knows, and write the new one; MaildropError."""
    folder = Folder(place.path, stamps)
    try:
        listing = scan.list_files(folder)
        reading = scan.Scan(folder, *_known(old), ticker(place))
        reading.take(listing.files)
    finally:
        folder.close()
    notes += reading.notes()
    settled = listing.steady and now - listing.stamps.youngest > SETTLED
    index = Index.make(listing.stamps, settled, reading.table, reading.ids)
    save(place, index, notes)
    return index


def save(place: Place, index: Index, notes: list[str]) -> None:
    """Write the index for the next session, which can do without it."""
    path = f"{place.state}/{NAME}"
    try:
        remove_leftovers(path)
        replace_file(path, (index.data,), sync=False)
    except OSError as error:
        notes.append(f"{escape(path, 512)}: cannot be written: {error.strerror}; logins are slower")


def ticker(place: Place) -> Callable[[], None]:
    """What is called for each message, and tells the place of the progress now and then."""
    ticks = itertools.count(1)

    def tick() -> None:
        if next(ticks) % place.mail_lock_check == 0:
            place.progress()

    return tick


def _known(index: Index | None) -> tuple[Table, list[bytes]]:
    try:
        if index is not None:
            return index.table(), index.unique_ids()
    except DamagedError:
        pass
    return Table.empty(), []
