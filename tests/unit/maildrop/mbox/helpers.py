"""Mailboxes made of messages, a slow parser to compare with, and maildrops opened on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from preforkpop.maildrop.base import Place
from preforkpop.maildrop.mbox.mailbox import Mbox, open_mbox
from preforkpop.maildrop.mbox.separator import is_separator
from preforkpop.maildrop.session_lock import SessionLock

FROM = b"From alice@example.org Wed Dec  2 05:53:22 1992\n"
LONG_AGO = 1_000_000_000  # seconds; a spool changed then is settled


@dataclass(frozen=True)
class Parsed:
    """What a slow parser that goes line by line finds."""

    separator: bytes
    content: bytes


def parse(octets: bytes) -> list[Parsed] | None:
    """The messages of an mbox, or None when it is none."""
    lines = octets.splitlines(keepends=True) if b"\r" not in octets else _lines(octets)
    if not lines:
        return []
    if not is_separator(lines[0].removesuffix(b"\n")):
        return None
    groups: list[list[bytes]] = []
    before = b"\n"
    for line in lines:
        if before == b"\n" and is_separator(line.removesuffix(b"\n")):
            groups.append([])
        groups[-1].append(line)
        before = line
    found = []
    for group in groups:
        if len(group) > 1 and group[-1] == b"\n":
            group.pop()
        found.append(Parsed(group[0], b"".join(group[1:])))
    return found


def _lines(octets: bytes) -> list[bytes]:
    parts = octets.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def join(messages: list[bytes]) -> bytes:
    """An mbox as a delivery agent writes it."""
    return b"".join(FROM + message + b"\n" for message in messages)


def transmitted_octets(stored: bytes) -> int:
    """Octets with CRLF line ends and a last line end, without dot-stuffing."""
    missing = bool(stored) and not stored.endswith(b"\n")
    return len(stored) + stored.count(b"\n") + 2 * missing


def message(number: int, body: bytes = b"", *, extra: bytes = b"") -> bytes:
    """A message that differs from others by its number."""
    head = b"Message-ID: <%d@example.org>\nSubject: number %d\n" % (number, number)
    return head + extra + b"\n" + (body or b"This is message %d.\n" % number)


header_lines = st.sampled_from(
    [
        b"Subject: a\n",
        b"\tfolded\n",
        b"Status: RO\n",
        b"x-uidl: abc\n",
        b"X-UIDL: def\r\n",
        b"From me to you\n",
        b"no colon\n",
        b"\r\n",
    ]
)
body_lines = st.sampled_from(
    [
        b"text\n",
        b"\n",
        b".\n",
        b"\r\n",
        b">From x Wed Dec  2 05:53:22 1992\n",
        b"From nobody, no date\n",
        b"X-UIDL: no header\n",
        b"\0\xff\n",
        b"x" * 1100 + b"\n",
        b"a\rb\n",
    ]
)
messages = st.builds(
    lambda head, body, blank: b"".join(head) + b"\n" * blank + b"".join(body),
    st.lists(header_lines, max_size=4),
    st.lists(body_lines, max_size=6),
    st.integers(0, 3),
)
"""Messages with complete lines and no From_ line with a date."""

fragments = st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\n\n",
            b"From ",
            FROM,
            FROM[:-1],
            b"From x Wed Dec  2 05:53 1992\n",
            b"From " + b"y" * 1100 + b" Wed Dec  2 05:53:22 1992\n",
            b"From " + b"y" * 990 + b" Wed Dec  2 05:53:22 1992\n",
            b"A: b\n",
            b"\r\n",
            b"\n\r\n",
            b"x",
            b"X-UIDL: abc\n",
            b"Status: O\n",
            b"z" * 700,
            b"\0",
        ]
    ),
    max_size=24,
).map(b"".join)
"""Octets in which a wrong parser would find or miss a From_ line."""


class Box:
    """A spool and a state directory, and sessions on them."""

    def __init__(self, directory: Path, octets: bytes | None = None) -> None:
        self.directory = directory
        self.path = directory / "spool" / "fred"
        self.state = directory / "state"
        self.path.parent.mkdir()
        self.state.mkdir(mode=0o700)
        self.locks: tuple[str, ...] = ("dotlock", "fcntl")
        if octets is not None:
            self.write(octets)

    def place(self) -> Place:
        return Place(
            "mbox", str(self.path), str(self.state), os.geteuid(), locks=self.locks, lock_timeout=0
        )

    def write(self, octets: bytes, *, when: int = LONG_AGO) -> None:
        """Write the spool as if that had been done some time ago; it keeps its inode."""
        self.path.touch()
        self.path.write_bytes(octets)
        os.utime(self.path, (when, when))

    def deliver(self, *stored: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(join(list(stored)))

    def read(self) -> bytes:
        return self.path.read_bytes()

    def open(self) -> Mbox:
        """Begin a session."""
        session = SessionLock.take(str(self.state), "192.0.2.7", 0)
        try:
            return open_mbox(self.place(), session)
        except BaseException:
            session.release()
            raise

    def open_lock_is_free(self) -> None:
        """Assert that no session lock is held."""
        SessionLock.take(str(self.state), "", 0).release()

    @contextmanager
    def session(self) -> Iterator[Mbox]:
        maildrop = self.open()
        try:
            yield maildrop
        finally:
            maildrop.close()

    def contents(self) -> list[bytes]:
        """The messages, as a new session gives them."""
        with self.session() as maildrop:
            return retrieve_all(maildrop)

    def unique_ids(self) -> list[bytes]:
        with self.session() as maildrop:
            return [maildrop.unique_id(number) for number in range(1, maildrop.count + 1)]

    def read_after_login(self) -> bytes:
        """The spool as the next session leaves it."""
        with self.session():
            pass
        return self.read()

    def left_over(self) -> list[str]:
        """Files that no session should leave behind."""
        state = [name for name in os.listdir(self.state) if name not in ("session", "index")]
        spool = [name for name in os.listdir(self.path.parent) if name != self.path.name]
        return sorted(state + spool)


def retrieve(maildrop: Mbox, number: int) -> bytes:
    return b"".join(maildrop.chunks(number))


def retrieve_all(maildrop: Mbox) -> list[bytes]:
    return [retrieve(maildrop, number) for number in range(1, maildrop.count + 1)]
