"""What a maildrop is to the rest of the server: a snapshot of messages and one update.

Run by a worker, as the mailbox's own user (or as the account that owns all virtual mail).
``Maildrop`` is what the TRANSACTION state asks of a store, so the protocol package declares it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from preforkpop.pop3.transaction import Maildrop, StoreError

__all__ = ["Maildrop", "MaildropError", "OpenMaildrop", "Place", "StoreError"]


class OpenMaildrop(Maildrop, Protocol):
    """A maildrop as ``open.open_maildrop`` gives it to a worker."""

    notes: list[str]
    """What the administrator should know of (a damaged index that was made anew, a lock that was
    broken): a line each; nothing in them comes unescaped from outside."""


class MaildropError(StoreError):
    """A maildrop that cannot be opened, read or updated; what it carries is said at StoreError."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one user's mail is and how it is to be locked."""

    format: str  # "mbox" or "maildir"
    path: str
    state: str  # the user's own directory for lock, index and journal; exists, mode 0700
    owner: int  # uid that must own the spool
    peer: str = ""  # the client's address, for the [IN-USE] answer that another session gets
    locks: tuple[str, ...] = ("dotlock", "fcntl")
    lock_timeout: float = 30.0  # seconds
    mail_lock_check: int = 500  # messages between two looks at the clock
    uidl: str = "native"
    progress: Callable[[], None] = lambda: None
    """Called every ``mail_lock_check`` messages or more often while opening and updating."""
