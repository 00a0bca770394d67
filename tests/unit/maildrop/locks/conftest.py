"""A spool to lock, and a clock that only moves when the test or a pause moves it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from preforkpop.maildrop.locks.spool import SpoolLock


class Clock:
    """Seconds; ``sleep`` moves it, and runs what the test wants to happen meanwhile."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self.during_pause: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        self.during_pause()


class Spool:
    """A spool file, open for reading and writing, and locks on it that use the clock."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.path = directory / "fred"
        self.path.touch()
        self.dotlock = directory / "fred.lock"
        self.clock = clock
        self.descriptor = os.open(self.path, os.O_RDWR)

    def lock(self, *methods: str, timeout: float = 30, check_every: int = 1) -> SpoolLock:
        return SpoolLock(
            str(self.path),
            methods,
            timeout,
            check_every=check_every,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def make_dotlock(self, *, age: float = 0, content: str = "1\n") -> None:
        """A lock of another program that was touched ``age`` seconds ago."""
        self.dotlock.write_text(content)
        changed = self.dotlock.stat().st_mtime - age
        os.utime(self.dotlock, (changed, changed))

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.path.parent.iterdir())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Iterator[Spool]:
    directory = tmp_path / "mail"
    directory.mkdir()
    made = Spool(directory, clock)
    yield made
    os.close(made.descriptor)
