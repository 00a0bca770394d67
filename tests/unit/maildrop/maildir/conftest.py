"""A Maildir with files in it, opened as a worker opens it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from preforkpop.maildrop.base import Place
from preforkpop.maildrop.maildir.renewal import NAME
from preforkpop.maildrop.maildir.store import Maildir, open_maildir
from preforkpop.maildrop.session_lock import SessionLock

LATER = 10_000_000_000  # nanoseconds: long enough for an index to be settled


def transmitted(stored: bytes) -> int:
    """Octets of a message as RFC 1939 section 11 counts them."""
    missing = bool(stored) and not stored.endswith(b"\n")
    return len(stored) + stored.count(b"\n") + 2 * missing


class Box:
    """A Maildir; ``open`` gives a maildrop and closes the one before."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "Maildir"
        self.state = directory / "state"
        self.state.mkdir(mode=0o700)
        for name in ("new", "cur", "tmp"):
            (self.path / name).mkdir(parents=True, mode=0o700)
        self.index = self.state / NAME
        self.progress = 0
        self._opened: Maildir | None = None

    def add(self, where: str, content: bytes = b"Subject: x\n\nbody\n") -> Path:
        """Deliver a file, ``where`` being "new/NAME" or "cur/NAME"."""
        path = self.path / where
        path.write_bytes(content)
        return path

    def place(self) -> Place:
        return Place(
            format="maildir",
            path=str(self.path),
            state=str(self.state),
            owner=os.geteuid(),
            mail_lock_check=10,
            progress=self.count_progress,
        )

    def count_progress(self) -> None:
        self.progress += 1

    def open(self, *, later: int = LATER) -> Maildir:
        """Open it when the last change is ``later`` nanoseconds ago."""
        self.close()
        session = SessionLock.take(str(self.state), "192.0.2.7", time.time())
        try:
            opened = open_maildir(self.place(), session, lambda: time.time_ns() + later)
        except BaseException:
            session.release()
            raise
        self._opened = opened
        return opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def files(self) -> list[str]:
        return sorted(
            f"{directory}/{entry.name}"
            for directory in ("cur", "new")
            for entry in (self.path / directory).iterdir()
        )


def contents(maildrop: Maildir) -> list[bytes]:
    return [b"".join(maildrop.chunks(number)) for number in range(1, maildrop.count + 1)]


def ids(maildrop: Maildir) -> list[bytes]:
    return [maildrop.unique_id(number) for number in range(1, maildrop.count + 1)]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.close()
