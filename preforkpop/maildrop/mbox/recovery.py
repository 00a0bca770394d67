"""Putting right what a session left that died: completing its update, giving back its locks.

Run by a worker as the mailbox's user: at every login that finds something, before anything of the
spool is read, and when the master has a maildrop repaired. The states and what becomes of them are
the table in ``update``.
"""

from __future__ import annotations

import os
import time

from preforkpop.maildrop.base import Place
from preforkpop.maildrop.mbox import mark
from preforkpop.maildrop.mbox.held import held
from preforkpop.maildrop.mbox.index import Index
from preforkpop.maildrop.mbox.journal import Journal
from preforkpop.maildrop.mbox.plan import DamagedJournal, Plan, before_of, foot_of
from preforkpop.maildrop.mbox.spool import Spool, unrepaired
from preforkpop.maildrop.mbox.update import Update


def recover(place: Place, notes: list[str]) -> Index | None:
    """Put a maildrop right; the caller holds the session lock. MaildropError when that fails.

    ``notes`` gets a line for everything that an administrator should know of. Gives the index if it
    could not be stored and has to be known.
    """
    mark.sweep(place.state)
    if not mark.found(place.state):
        return None
    spool = Spool(place)
    try:
        with held(place, spool, notes) as lock:
            update = Update(place, spool, lock, notes)
            if mark.is_journal(place.state):
                _complete(place, spool, update, notes)
            return update.unstored
    except OSError as error:
        raise unrepaired(spool.path, error) from error
    finally:
        spool.close()


def plan(place: Place) -> list[str]:
    """What ``recover`` would do, a line each; changes nothing."""
    if not mark.found(place.state):
        return []
    if not mark.is_journal(place.state):
        return [f"{place.path}: give back the locks of a session that died"]
    try:
        journal = Journal(place.state)
    except (OSError, DamagedJournal) as error:
        return [f"{place.path}: put a journal aside that cannot be used: {error}"]
    try:
        what = journal.plan
        removed = what.end - what.final
        step = "cut off" if journal.is_cutting() else f"move {what.length} octets and cut off"
        return [f"{place.path}: complete an update: {step} {removed} octets of removed messages"]
    finally:
        journal.close()


def _complete(place: Place, spool: Spool, update: Update, notes: list[str]) -> None:
    try:
        journal = Journal(place.state)
    except DamagedJournal as damage:
        notes.append(_put_aside(place, f"the journal of an update is damaged: {damage}"))
        return
    try:
        if journal.is_cutting():
            if _has_token(spool, journal.plan):
                update.complete_cut(journal, certain=False)
            else:
                update.finish(journal, certain=False)
        elif _is_planned_for(spool, journal.plan, update):
            update.complete(journal, certain=False)
        else:
            reason = "another program has rewritten it while an update of it was unfinished"
            notes.append(_put_aside(place, reason))
            return
        notes.append(f"{place.path}: completed the update of a session that died")
    except DamagedJournal as damage:
        notes.append(_put_aside(place, f"the journal of an update is damaged: {damage}"))
    finally:
        journal.close()


def _has_token(spool: Spool, plan: Plan) -> bool:
    """Whether the spool is in place and has not been cut."""
    return spool.descriptor >= 0 and spool.read(plan.final, len(plan.token)) == plan.token


def _is_planned_for(spool: Spool, plan: Plan, update: Update) -> bool:
    """Whether the spool is the one of the plan and nobody else has rewritten it since."""
    if spool.descriptor < 0:
        return False
    status = spool.fstat()
    return (
        status.st_ino == plan.inode
        and status.st_size >= plan.end
        and update.checksum(before_of(plan.start)) == plan.before
        and update.checksum(foot_of(plan.final, plan.end)) == plan.foot
    )


def _put_aside(place: Place, reason: str) -> str:
    """Keep a journal that cannot be used under another name; the line for the administrator."""
    aside = f"{place.state}/{mark.NAME}.aside.{time.time_ns()}"
    os.rename(f"{place.state}/{mark.NAME}", aside)
    return (
        f"{place.path}: {reason}; the spool is left as it is, compare it with {aside}, which has"
        " octets of messages that were being moved, and remove that file then"
    )
