"""Pools of processes: births and deaths of one kind.

Run by the master and the nursery (root when started as root). Theory of operation: a pool has a
range of slots in a scoreboard and forks a child for a free slot. A child writes into its slot what
it does; its parent reads the slots' states, counts, asks ``policy``, and acts:

    a signal, a wake-up by a worker, or a second has passed
        -> reap: a death gives its slot back; an early one is told to the pool's back-off
        -> refill: fixed pools have a child a slot, the worker pool what ``policy.grow`` says

A death is early when the process had not come to work. Early deaths make the pool wait, twice as
long each time, so that a broken machine is not melted by forks; anything else is simply replaced.

A pool that is closed forks nothing any more. Its children end by themselves when they see the end
of their input, and the pool is gone when the last has.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from preforkpop.ipc.scoreboard import FREE, IDLE, STARTING, Scoreboard
from preforkpop.master.settings import Pool as PoolSettings
from preforkpop.supervision.children import Child, Children
from preforkpop.supervision.policy import Backoff, Census, grow, resized, too_many
from preforkpop.system.log import Log
from preforkpop.system.process import death_text


@dataclass(slots=True)
class Kind:
    """What all pools of processes have in common."""

    role: str
    run: Callable[[int], int]  # in the child; takes the slot
    board: Scoreboard
    first_slot: int
    count: int  # slots
    children: Children
    log: Log
    dead: Callable[[int, Child, int], None] = lambda _slot, _child, _status: None
    closed: bool = False
    told: bool = False  # a child of it was told to end by SIGTERM, so that is no fault
    living: dict[int, int] = field(default_factory=dict)  # slot: pid
    backoff: Backoff = field(default_factory=Backoff)

    def bear(self, slot: int, now: float) -> None:
        """Fork a child for a free slot."""
        self.board.reserve(slot, now)
        child = self.children.bear(
            self.role,
            lambda: self.run(slot),
            lambda child, status, when: self.died(slot, child, status, when),
            now,
        )
        self.living[slot] = child.pid

    def died(self, slot: int, child: Child, status: int, now: float) -> None:
        """A child has ended: say so when that was a fault, give its slot back."""
        del self.living[slot]
        early = self.board.state(slot) == STARTING
        asked = self.closed or self.told
        told_to = asked and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM
        if status != 0 and not told_to:
            self.log.error(f"{self.role} process {child.pid} ended by {death_text(status)}")
            self.backoff.died(now, early=early)
        if not early:
            self.backoff.worked()
        self.dead(slot, child, status)
        self.board.clear(slot)

    def slots(self) -> range:
        """The pool's slots."""
        return range(self.first_slot, self.first_slot + self.count)

    def ready(self) -> bool:
        """Whether a process of the pool has come to work."""
        return any(self.board.state(slot) not in (FREE, STARTING) for slot in self.living)


class FixedPool:
    """One child for each slot, always."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def refill(self, now: float) -> float:
        """Fork what is missing; seconds until the next try, 0 when nothing is missing."""
        kind = self.kind
        if kind.closed or len(kind.living) == kind.count:
            return 0.0
        delay = kind.backoff.delay(now)
        if not delay:
            for slot in kind.slots():
                if slot not in kind.living:
                    kind.bear(slot, now)
        return delay


class WorkerPool:
    """Spare workers forked ahead of demand, within the configured bounds."""

    def __init__(self, kind: Kind, settings: PoolSettings, retire: Callable[[], None]) -> None:
        self.kind = kind
        self.settings = settings
        self._retire = retire
        self._rate = 1
        self._full = False

    def start(self, now: float) -> None:
        """Fork the first workers, beside those that live already."""
        self._bear(self.settings.start_workers - len(self.kind.living), now)

    def resize(self, by: int) -> None:
        """One worker more or fewer (TTIN, TTOU)."""
        self.settings = resized(self.settings, by, self.kind.count)

    def census(self) -> Census:
        """Count the workers."""
        kind = self.kind
        states = kind.board.states(kind.first_slot, kind.first_slot + kind.count)
        return Census(len(kind.living), states.count(IDLE) + states.count(STARTING))

    def refill(self, now: float) -> float:
        """Fork as many as the policy says; seconds until the next try, 0 when there is no need."""
        kind = self.kind
        if kind.closed:
            return 0.0
        delay = kind.backoff.delay(now)
        if delay:
            return delay
        growth = grow(self.census(), self.settings, self._rate)
        self._rate = growth.rate
        self._tell_full(growth.full)
        self._bear(growth.fork, now)
        return 0.0

    def _bear(self, count: int, now: float) -> None:
        """Fork so many, as far as there are free slots, the lowest first."""
        kind = self.kind
        free = (slot for slot in kind.slots() if slot not in kind.living)
        for slot, _ in zip(free, range(count), strict=False):
            kind.bear(slot, now)

    def shrink(self) -> None:
        """Ask one idle worker to leave when there are too many; once a second."""
        if not self.kind.closed and too_many(self.census(), self.settings):
            self._retire()

    def _tell_full(self, full: bool) -> None:
        """Say once that the limit is reached, and again only after it was not."""
        if full and not self._full:
            self.kind.log.warning(
                f"all {self.settings.maximum_workers} workers are busy; further clients wait:"
                " raise pool.maximum_workers"
            )
        self._full = full
