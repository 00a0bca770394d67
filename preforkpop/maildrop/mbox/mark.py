"""The name ``journal`` in a user's state directory, and what its being there means.

Run by a worker as the mailbox's user. A session that is about to lock the spool makes an empty file
of that name and removes it when the lock is given up; an update puts its journal in that file's
place. So every login learns from one look at one name whether a session died with a lock on the
spool, or within an update.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Final

NAME: Final = "journal"
_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_temporary: Final = re.compile(r"(?:journal|index)\.[0-9a-f]{16}").fullmatch


def found(state: str) -> bool:
    """Whether a session left something behind."""
    return os.access(f"{state}/{NAME}", os.F_OK)


def is_journal(state: str) -> bool:
    """Whether it is more than a mark: the journal of an update."""
    try:
        return os.lstat(f"{state}/{NAME}").st_size > 0
    except FileNotFoundError:
        return False


def make(state: str, notes: list[str]) -> None:
    """Make the mark; where that cannot be done a note says so, and nothing is lost by it."""
    try:
        os.close(os.open(f"{state}/{NAME}", _MAKE, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        notes.append(
            f"{state} cannot be written to ({error.strerror}): logins are slow until it can"
        )


def remove(state: str) -> None:
    """Remove the mark, but never a journal."""
    with contextlib.suppress(OSError):
        if not is_journal(state):
            os.unlink(f"{state}/{NAME}")


def sweep(state: str) -> None:
    """Remove the temporary files of a session that died while it replaced a file."""
    with contextlib.suppress(OSError):
        for name in os.listdir(state):
            if _temporary(name):
                os.unlink(f"{state}/{name}")
