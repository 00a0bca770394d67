"""Births and deaths, with real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from preforkpop.ipc.scoreboard import FREE, IDLE, Scoreboard
from preforkpop.master.settings import Pool
from preforkpop.supervision.children import Child, Children
from preforkpop.supervision.pools import FixedPool, Kind, WorkerPool
from preforkpop.system.log import Log

POOL = Pool(start_workers=2, minimum_spare=2, maximum_spare=3, maximum_workers=4)


class Nursery:
    """Pools whose children wait in their slot until they are killed."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.log = Log(None, "test")
        self.children = Children(self.faults.append)
        self.board = Scoreboard(8)
        self.deaths: list[tuple[int, int]] = []

    def kind(self, run: Callable[[int], int], count: int = 8) -> Kind:
        return Kind("worker", run, self.board, 0, count, self.children, self.log, dead=self._dead)

    def _dead(self, slot: int, _child: Child, status: int) -> None:
        self.deaths.append((slot, status))

    def wait(self, number: int) -> int:
        """In a child: come to work and stay."""
        self.board.slot(number).begin(os.getpid())
        while True:
            signal.pause()

    def until(self, condition: Callable[[], bool]) -> None:
        """Reap until something is true."""
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline
            self.children.reap(time.monotonic())

    def idle(self, count: int) -> bool:
        return self.board.states(0, 8).count(IDLE) == count

    def end(self) -> None:
        self.children.signal(signal.SIGKILL, "worker")
        self.until(lambda: not len(self.children))


@pytest.fixture
def nursery() -> object:
    made = Nursery()
    yield made
    made.end()


def test_a_fixed_pool_replaces_who_dies(nursery: Nursery) -> None:
    pool = FixedPool(nursery.kind(nursery.wait, count=2))
    assert pool.refill(0.0) == 0
    nursery.until(lambda: nursery.idle(2))
    victim = pool.kind.living[0]
    os.kill(victim, signal.SIGKILL)
    nursery.until(lambda: 0 not in pool.kind.living)
    assert nursery.deaths == [(0, signal.SIGKILL)]
    assert nursery.board.state(0) == FREE
    assert pool.refill(0.0) == 0
    nursery.until(lambda: nursery.idle(2))
    assert pool.kind.living[0] != victim


def test_processes_that_die_at_once_make_no_fork_storm(
    nursery: Nursery, capfd: pytest.CaptureFixture[str]
) -> None:
    pool = FixedPool(nursery.kind(lambda _slot: 1, count=1))
    born = 0
    now = 0.0
    while now < 10.0:
        if not pool.refill(now) and pool.kind.living:
            born += 1
            while pool.kind.living:
                nursery.children.reap(now)
        now += 0.01
    assert born == 7  # at 0, 0.1, 0.3, 0.7, 1.5, 3.1 and 6.3 seconds
    assert "ended by exit 1" in capfd.readouterr().err


def test_a_fault_in_a_child_is_told(nursery: Nursery, capfd: pytest.CaptureFixture[str]) -> None:
    def broken(_slot: int) -> int:
        raise ValueError("of no use")

    pool = FixedPool(nursery.kind(broken, count=1))
    pool.refill(0.0)
    nursery.until(lambda: not pool.kind.living)
    assert "ended by exit 1" in capfd.readouterr().err


def test_a_closed_pool_is_not_refilled(nursery: Nursery) -> None:
    pool = FixedPool(nursery.kind(nursery.wait, count=1))
    pool.kind.closed = True
    pool.refill(0.0)
    assert not pool.kind.living


def test_workers_are_forked_ahead_of_demand_up_to_the_limit(nursery: Nursery) -> None:
    pool = WorkerPool(nursery.kind(nursery.wait), POOL, retire=lambda: None)
    pool.start(0.0)
    nursery.until(lambda: nursery.idle(2))
    now = 0.0
    for slot in (0, 1):
        nursery.board.slot(slot).session("u", "192.0.2.1", tls=False, now=now)
    pool.refill(now)
    nursery.until(lambda: nursery.idle(2))
    assert len(pool.kind.living) == 4
    for slot in (2, 3):
        nursery.board.slot(slot).session("u", "192.0.2.1", tls=False, now=now)
    pool.refill(now)
    assert len(pool.kind.living) == 4


def test_reaching_the_limit_is_told_once(
    nursery: Nursery, capfd: pytest.CaptureFixture[str]
) -> None:
    pool = WorkerPool(
        nursery.kind(nursery.wait),
        Pool(start_workers=1, minimum_spare=1, maximum_spare=1, maximum_workers=1),
        retire=lambda: None,
    )
    pool.start(0.0)
    nursery.until(lambda: nursery.idle(1))
    nursery.board.slot(0).session("u", "192.0.2.1", tls=False, now=0.0)
    for _ in range(5):
        pool.refill(0.0)
    assert capfd.readouterr().err.count("raise pool.maximum_workers") == 1


def test_one_idle_worker_is_asked_to_leave_when_there_are_too_many(nursery: Nursery) -> None:
    asked: list[None] = []
    pool = WorkerPool(nursery.kind(nursery.wait), POOL, retire=lambda: asked.append(None))
    for slot in range(4):
        pool.kind.bear(slot, 0.0)
    nursery.until(lambda: nursery.idle(4))
    pool.shrink()
    assert len(asked) == 1


def test_ttin_and_ttou_move_the_pool_by_one(nursery: Nursery) -> None:
    pool = WorkerPool(nursery.kind(nursery.wait), POOL, retire=lambda: None)
    pool.resize(1)
    assert (pool.settings.minimum_spare, pool.settings.maximum_workers) == (3, 5)
    for _ in range(10):
        pool.resize(-1)
    assert pool.settings.minimum_spare == 1
    for _ in range(100):
        pool.resize(1)
    assert pool.settings.maximum_workers == 8  # no more than there are slots
