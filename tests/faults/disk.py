"""A disk that can lose power: records what is written, and gives the states it may be in then.

What was written is certain to be there only behind an fsync of the file (and, for names, of the
directory). Before that any part of it may be there and any other part not, whatever came first, as
the disk's and the kernel's caches like it. That is more than ext4 or xfs would ever do.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from preforkpop.maildrop.mbox import index, journal
from preforkpop.system import durable

SECTOR = 64  # octets that are written whole; small, so that small mailboxes are torn too


@dataclass
class File:
    """One file: what is there for certain, and what was done to it since."""

    octets: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Offset and octets of a write; a size and None for a truncation."""

    def sync(self) -> None:
        self.octets = apply(self.octets, self.pending)
        self.pending.clear()

    def copy(self) -> File:
        return File(self.octets, list(self.pending))


def apply(octets: bytes, changes: Iterable[tuple[int, bytes | None]]) -> bytes:
    content = bytearray(octets)
    for place, written in changes:
        if written is None:
            del content[place:]
            content.extend(bytes(place - len(content)))
        else:
            content.extend(bytes(max(0, place - len(content))))
            content[place : place + len(written)] = written
    return bytes(content)


@dataclass(frozen=True)
class Names:
    """What the names in the state directory are; None: no such file."""

    journal: int | None
    index: int | None


@dataclass
class Moment:
    """What a power cut at one moment may leave: files by number, and the names there may be."""

    files: dict[int, File]
    names: list[Names]
    spool: int


@dataclass(frozen=True)
class State:
    """What a power cut left."""

    spool: bytes
    journal: bytes | None
    index: bytes | None


class Recorder:
    """Follows the writes of an update in this process."""

    def __init__(self, spool: Path, state: Path) -> None:
        self._state = state
        self._files: dict[int, File] = {}
        self._inodes: dict[int, int] = {}
        self._spool = self._number(os.stat(spool), spool.read_bytes())
        names = Names(self._named(state / "journal"), self._named(state / "index"))
        self._names = [names]
        self.moments: list[Moment] = []

    def moment(self) -> None:
        """A power cut may happen here."""
        files = {number: file.copy() for number, file in self._files.items()}
        self.moments.append(Moment(files, list(self._names), self._spool))

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Follow what is done until ``patch`` is undone."""
        real_pwrite, real_truncate, real_unlink = os.pwrite, os.ftruncate, os.unlink

        def pwrite(descriptor: int, octets: bytes, offset: int) -> int:
            done = real_pwrite(descriptor, octets, offset)
            file = self._of(descriptor)
            if file is not None:
                file.pending.append((offset, bytes(octets[:done])))
                self.moment()
            return done

        def ftruncate(descriptor: int, size: int) -> None:
            real_truncate(descriptor, size)
            file = self._of(descriptor)
            assert file is not None
            file.pending.append((size, None))
            self.moment()

        def sync(descriptor: int) -> None:
            file = self._of(descriptor)
            if file is not None:
                file.sync()
                self.moment()

        def unlink(path: str) -> None:
            real_unlink(path)
            if path == f"{self._state}/journal":
                self._rename(journal=None)
            elif path == f"{self._state}/index":
                self._rename(index=None)

        patch.setattr(os, "pwrite", pwrite)
        patch.setattr(os, "ftruncate", ftruncate)
        patch.setattr(os, "unlink", unlink)
        patch.setattr(os, "fsync", sync)
        patch.setattr(os, "fdatasync", sync)
        patch.setattr(journal, "replace_file", self._replacing)
        patch.setattr(index, "replace_file", self._replacing)

    def _replacing(self, path: str, parts: Iterable[bytes], *, sync: bool) -> os.stat_result:
        octets = b"".join(parts)
        status = durable.replace_file(path, [octets], sync=False)
        number = self._number(status, octets if sync else b"")
        if not sync:
            self._files[number].pending.append((0, octets))
        if path.endswith("/journal"):
            self._rename(journal=number)
        else:
            self._rename(index=number)
        if sync:
            del self._names[:-1]
            self.moment()
        return status

    def _rename(self, **changed: int | None) -> None:
        """A name means another file: from here on for the program, on the disk perhaps."""
        last = self._names[-1]
        known = {"journal": last.journal, "index": last.index} | changed
        self._names.append(Names(**known))
        self.moment()

    def _number(self, status: os.stat_result, octets: bytes) -> int:
        number = len(self._files)
        self._files[number] = File(octets)
        self._inodes[status.st_ino] = number
        return number

    def _named(self, path: Path) -> int | None:
        if not path.exists():
            return None
        return self._number(path.stat(), path.read_bytes())

    def _of(self, descriptor: int) -> File | None:
        number = self._inodes.get(os.fstat(descriptor).st_ino)
        return None if number is None else self._files[number]


def states(moment: Moment, choose: random.Random, turns: int) -> Iterator[State]:
    """What a power cut at a moment may leave: nothing that is uncertain, all of it, some of it."""
    yield _state(moment, moment.names[0], choose, 0)
    yield _state(moment, moment.names[-1], choose, 1)
    for _ in range(turns):
        yield _state(moment, choose.choice(moment.names), choose, choose.random())


def _state(moment: Moment, names: Names, choose: random.Random, share: float) -> State:
    def octets(number: int | None) -> bytes | None:
        if number is None:
            return None
        file = moment.files[number]
        done = [part for change in file.pending for part in _some(change, choose, share)]
        return apply(file.octets, done)

    spool = octets(moment.spool)
    assert spool is not None
    return State(spool, octets(names.journal), octets(names.index))


def _some(
    change: tuple[int, bytes | None], choose: random.Random, share: float
) -> Iterator[tuple[int, bytes | None]]:
    place, written = change
    if written is None:
        if choose.random() < share:
            yield change
        return
    for first in range(0, len(written), SECTOR):
        if choose.random() < share:
            yield place + first, written[first : first + SECTOR]
