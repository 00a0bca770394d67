"""Workers that grow too large or are stuck."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from preforkpop.ipc.scoreboard import Scoreboard
from preforkpop.master.children import Child, Children
from preforkpop.master.pools import Kind, WorkerPool
from preforkpop.master.settings import Pool
from preforkpop.master.watchdog import GAP, Watchdog
from preforkpop.system.log import Log

LIMIT = 300.0
NOW = 10_000.0


class Site:
    """A pool of one worker that tells which signals it gets."""

    def __init__(self, memory: int = 2**40) -> None:
        self.log = Log(None, "master")
        self.board = Scoreboard(1)
        self.children = Children(lambda _line: None)
        self.told, self._tell = os.pipe()
        self.statuses: list[int] = []
        kind = Kind(
            "worker", self._work, self.board, 0, 1, self.children, self.log, dead=self._dead
        )
        settings = Pool(stuck_after=LIMIT, maximum_worker_memory=memory)
        self.pool = WorkerPool(kind, settings, retire=lambda: None)
        kind.bear(0, NOW)
        assert os.read(self.told, 1) == b"r"

    def _work(self, slot: int) -> int:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._caught)
        self.board.slot(slot).begin(os.getpid())
        os.write(self._tell, b"r")
        while True:
            signal.pause()

    def _caught(self, number: int, _frame: object) -> None:
        os.write(self._tell, b"%d" % (number == signal.SIGUSR2))

    def _dead(self, _slot: int, _child: Child, status: int) -> None:
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
    watchdog.look(site.pool, NOW + LIMIT)
    assert os.read(site.told, 1) == b"1"  # SIGUSR2
    assert "fred is stuck in RETR for 300 s" in capfd.readouterr().err
    watchdog.look(site.pool, NOW + LIMIT + GAP / 2)
    site.children.reap(NOW)
    assert not site.statuses
    watchdog.look(site.pool, NOW + LIMIT + GAP)
    site.until(lambda: bool(site.statuses))
    assert site.statuses == [signal.SIGKILL]


def test_progress_saves_a_worker_that_was_slow(site: Site) -> None:
    watchdog = Watchdog(site.log)
    site.busy_since(NOW)
    watchdog.look(site.pool, NOW + LIMIT)
    site.board.slot(0).progress(NOW + LIMIT + 1)
    watchdog.look(site.pool, NOW + LIMIT + GAP)
    site.children.reap(NOW)
    assert not site.statuses


def test_a_worker_that_waits_for_its_client_is_not_stuck(site: Site) -> None:
    watchdog = Watchdog(site.log)
    site.busy_since(NOW)
    site.board.slot(0).waiting()
    for later in (LIMIT, 2 * LIMIT, 3 * LIMIT):
        watchdog.look(site.pool, NOW + later)
    site.children.reap(NOW)
    assert not site.statuses


def test_a_worker_that_has_grown_leaves_after_its_session(
    capfd: pytest.CaptureFixture[str],
) -> None:
    site = Site(memory=1)
    site.busy_since(NOW)
    Watchdog(site.log).look(site.pool, NOW)
    assert os.read(site.told, 1) == b"0"  # SIGUSR1
    assert "leaves after its session (pool.maximum_worker_memory)" in capfd.readouterr().err
    site.end()


def test_a_pid_that_is_not_the_slots_is_left_alone(site: Site) -> None:
    site.busy_since(NOW)
    site.pool.kind.living[0] += 1
    Watchdog(site.log).look(site.pool, NOW + LIMIT)
    site.pool.kind.living[0] -= 1
    os.kill(site.pool.kind.living[0], signal.SIGUSR1)
    assert os.read(site.told, 1) == b"0"  # the first signal that came
