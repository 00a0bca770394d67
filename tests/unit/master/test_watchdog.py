"""Workers that grow too large or are stuck."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from preforkpop.ipc.scoreboard import Scoreboard
from preforkpop.master.settings import Pool
from preforkpop.master.watchdog import GAP, Watchdog
from preforkpop.supervision.children import Child, Children
from preforkpop.system import process
from preforkpop.system.log import Log

LIMIT = 300.0
NOW = 10_000.0


class Site:
    """A worker that tells which signals it gets."""

    def __init__(self, memory: int = 2**40, title: str = "worker, fred") -> None:
        self.title = title
        self.log = Log(None, "master")
        self.board = Scoreboard(1)
        self.children = Children(lambda _line: None)
        self.told, self._tell = os.pipe()
        self.statuses: list[int] = []
        self.settings = Pool(stuck_after=LIMIT, maximum_worker_memory=memory)
        self.board.reserve(0, NOW)
        self.children.bear("worker", self._work, self._ended, NOW)
        assert os.read(self.told, 1) == b"r"

    def look(self, watchdog: Watchdog, now: float) -> None:
        watchdog.look([self.board.read(0)], self.settings, now)

    def _work(self) -> int:
        process.title(self.title)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._caught)
        self.board.slot(0).begin(os.getpid())
        os.write(self._tell, b"r")
        while True:
            signal.pause()

    def _caught(self, number: int, _frame: object) -> None:
        os.write(self._tell, b"%d" % (number == signal.SIGUSR2))

    def _ended(self, _child: Child, status: int, _now: float) -> None:
        self.statuses.append(status)

    def busy_since(self, moment: float) -> None:
        slot = self.board.slot(0)
        slot.session("fred", "192.0.2.7", tls=False, now=moment)
        slot.working(b"RETR", 12, moment)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline
            self.children.reap(NOW)

    def end(self) -> None:
        self.children.signal(signal.SIGKILL, "worker")
        self.until(lambda: bool(self.statuses))
        os.close(self.told)
        os.close(self._tell)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.end()


def test_a_stuck_worker_shows_its_stack_and_is_killed_a_while_later(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    watchdog = Watchdog(site.log)
    site.busy_since(NOW)
    site.look(watchdog, NOW + LIMIT)
    assert os.read(site.told, 1) == b"1"  # SIGUSR2
    assert "fred is stuck in RETR for 300 s" in capfd.readouterr().err
    site.look(watchdog, NOW + LIMIT + GAP / 2)
    site.children.reap(NOW)
    assert not site.statuses
    site.look(watchdog, NOW + LIMIT + GAP)
    site.until(lambda: bool(site.statuses))
    assert site.statuses == [signal.SIGKILL]


def test_progress_saves_a_worker_that_was_slow(site: Site) -> None:
    watchdog = Watchdog(site.log)
    site.busy_since(NOW)
    site.look(watchdog, NOW + LIMIT)
    site.board.slot(0).progress(NOW + LIMIT + 1)
    site.look(watchdog, NOW + LIMIT + GAP)
    site.children.reap(NOW)
    assert not site.statuses


def test_a_worker_that_waits_for_its_client_is_not_stuck(site: Site) -> None:
    watchdog = Watchdog(site.log)
    site.busy_since(NOW)
    site.board.slot(0).waiting()
    for later in (LIMIT, 2 * LIMIT, 3 * LIMIT):
        site.look(watchdog, NOW + later)
    site.children.reap(NOW)
    assert not site.statuses


def test_a_worker_that_has_grown_leaves_after_its_session(
    capfd: pytest.CaptureFixture[str],
) -> None:
    site = Site(memory=1)
    site.busy_since(NOW)
    site.look(Watchdog(site.log), NOW)
    assert os.read(site.told, 1) == b"0"  # SIGUSR1
    assert "leaves after its session (pool.maximum_worker_memory)" in capfd.readouterr().err
    site.end()


def test_a_process_that_is_no_worker_is_left_alone() -> None:
    site = Site(title="auth")
    watchdog = Watchdog(site.log)
    site.busy_since(NOW)
    site.look(watchdog, NOW + LIMIT)
    site.look(watchdog, NOW + LIMIT + GAP)
    site.children.reap(NOW)
    assert not site.statuses
    site.end()


def test_a_pid_of_nobody_is_passed_over(site: Site) -> None:
    site.busy_since(NOW)
    entry = replace(site.board.read(0), pid=2**22 + 1)
    Watchdog(site.log).look([entry], site.settings, NOW + LIMIT)
