"""A spool held under its locks, so that nobody who takes locks writes to it.

Run by a worker as the mailbox's user. While the locks are held a mark lies in the state directory:
whoever finds it later knows that a session died here and may have left a lock behind.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Final

from preforkpop.maildrop.base import MaildropError, Place
from preforkpop.maildrop.locks.spool import SpoolLock
from preforkpop.maildrop.mbox import mark
from preforkpop.maildrop.mbox.spool import UNAVAILABLE, Spool

_REPLACED_OFTEN: Final = 5


@contextlib.contextmanager
def held(place: Place, spool: Spool, notes: list[str]) -> Iterator[SpoolLock]:
    """Hold the spool's locks; what is at its name is what is open then. MaildropError."""
    mark.make(place.state, notes)
    released = True
    try:
        lock = _locked(place, spool, notes)
        try:
            yield lock
        finally:
            released = _release(lock, notes)
    finally:
        if released:
            mark.remove(place.state)


def status_between_writes(place: Place, spool: Spool, notes: list[str]) -> os.stat_result | None:
    """The status of the spool while nobody is writing to it; None when somebody seems to be.

    A write changes the time first and the size later, perhaps much later when the disk is busy.
    Under the lock no delivery agent is in between.
    """
    mark.make(place.state, notes)
    released = True
    lock = _lock(place, spool, 0)
    try:
        lock.acquire(spool.descriptor)
        try:
            return spool.fstat()
        finally:
            released = _release(lock, notes)
    except MaildropError:
        return None
    finally:
        if released:
            mark.remove(place.state)


def _locked(place: Place, spool: Spool, notes: list[str]) -> SpoolLock:
    """The locks on what is at the spool's name, also when there is nothing."""
    for _ in range(_REPLACED_OFTEN):
        lock = _lock(place, spool, place.lock_timeout)
        try:
            lock.acquire(spool.descriptor)
        except BaseException:
            notes.extend(lock.notes)
            raise
        try:
            if spool.is_in_place():
                return lock
            spool.open()
        except BaseException:
            _release(lock, notes)
            raise
        _release(lock, notes)
    text = f"{UNAVAILABLE}, try again later"
    raise MaildropError("SYS/TEMP", text, f"{spool.path}: another program replaces it all the time")


def _lock(place: Place, spool: Spool, timeout: float) -> SpoolLock:
    methods = _methods(place.locks, spool)
    return SpoolLock(place.path, methods, timeout, check_every=place.mail_lock_check)


def _release(lock: SpoolLock, notes: list[str]) -> bool:
    """Give the locks back; what was done under them is done, whether that works or not."""
    try:
        lock.release()
    except OSError as error:
        notes.append(f"the lock of the spool cannot be removed now: {error}")
        return False
    finally:
        notes.extend(lock.notes)
    return True


def _methods(configured: tuple[str, ...], spool: Spool) -> tuple[str, ...]:
    """The locks that can be had: fcntl(2) has no exclusive one for a file open for reading."""
    if spool.descriptor < 0:
        return tuple(method for method in configured if method == "dotlock")
    if not spool.writable:
        return tuple(method for method in configured if method != "fcntl")
    return configured


def beat_of(place: Place, lock: SpoolLock) -> Callable[[], None]:
    """A function to be called for each message and each block: keeps the lock, shows progress."""
    beats = 0

    def beat() -> None:
        nonlocal beats
        lock.tick()
        beats += 1
        if beats >= place.mail_lock_check:
            beats = 0
            place.progress()

    return beat
