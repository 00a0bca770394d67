"""Opening a maildrop, whatever its format.

Run by a worker as the mailbox's user. The stores are imported when they are needed; ``prepare``
imports the one that is configured before workers are forked, so that no session pays for it.
"""

from __future__ import annotations

import time

from preforkpop.maildrop.base import OpenMaildrop, Place
from preforkpop.maildrop.session_lock import SessionLock


def prepare(maildrop_format: str) -> None:
    """Import the store for a format."""
    if maildrop_format == "maildir":
        import preforkpop.maildrop.maildir.store
    else:
        import preforkpop.maildrop.mbox.mailbox  # noqa: F401


def open_maildrop(place: Place) -> OpenMaildrop:
    """Take the session lock and open the maildrop; MaildropError, and then nothing is held."""
    session = SessionLock.take(place.state, place.peer, time.time(), place.path)
    try:
        if place.format == "maildir":
            from preforkpop.maildrop.maildir.store import open_maildir

            return open_maildir(place, session)
        from preforkpop.maildrop.mbox.mailbox import open_mbox

        return open_mbox(place, session)
    except BaseException:
        session.release()
        raise


def repair_maildrop(place: Place) -> list[str]:
    """Put right what a session left that died; a line for each thing that was done.

    Raises MaildropError when that fails, or IN-USE when a session has the maildrop: then it was
    repaired already. A Maildir has nothing that a session could leave half done. When there is
    nothing to do nothing is locked, as the user may be about to log in again.
    """
    if not repair_plan(place):
        return []
    from preforkpop.maildrop.mbox.recovery import recover

    session = SessionLock.take(place.state, place.peer, time.time(), place.path)
    notes: list[str] = []
    try:
        recover(place, notes)
    finally:
        session.release()
    return notes


def repair_plan(place: Place) -> list[str]:
    """What ``repair_maildrop`` would do, a line each; changes nothing."""
    if place.format != "mbox":
        return []
    from preforkpop.maildrop.mbox.recovery import plan

    return plan(place)
