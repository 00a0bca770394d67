"""How many workers, and when to fork again after a death. Pure: counts and times are parameters.

Decides for the master and the nursery; ``pools`` acts. The spare pool is kept as Apache's prefork
keeps it: below ``minimum_spare`` more are forked, twice as many each time the demand lasts, above
``maximum_spare`` one after another is asked to leave.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from preforkpop.master.settings import Pool

MAXIMUM_RATE = 32  # workers forked in one pass, as Apache's MAX_SPAWN_RATE
FIRST_DELAY, LONGEST_DELAY = 0.1, 30.0  # seconds between forks of a pool whose processes die early


@dataclass(frozen=True, slots=True)
class Census:
    """The workers of a pool at one moment."""

    total: int
    idle: int  # waiting for a session, or just starting


@dataclass(frozen=True, slots=True)
class Growth:
    """What is to be done now, and the rate for the next time."""

    fork: int
    rate: int
    full: bool = False  # all are busy, and maximum_workers does not allow more


def grow(census: Census, pool: Pool, rate: int) -> Growth:
    """How many workers to fork now; asked whenever one took a session or ended, and each second."""
    if census.idle >= pool.minimum_spare:
        return Growth(0, 1)
    middle = (pool.minimum_spare + pool.maximum_spare) // 2  # several at a time cost less each
    wanted = max(rate, middle - census.idle)
    wanted = min(wanted, max(pool.maximum_spare - census.idle, 1), MAXIMUM_RATE)
    possible = pool.maximum_workers - census.total
    if possible <= 0:
        return Growth(0, 1, full=census.idle == 0)
    return Growth(min(wanted, possible), min(2 * rate, MAXIMUM_RATE))


def too_many(census: Census, pool: Pool) -> bool:
    """Whether one idle worker is to leave; asked once a second."""
    return census.idle > pool.maximum_spare or (
        census.total > pool.maximum_workers and census.idle > 0
    )


def resized(pool: Pool, by: int, slots: int) -> Pool:
    """The pool with one worker more or fewer (TTIN, TTOU): spare ones, and the limit with them."""
    limit = pool.maximum_workers + by
    if pool.minimum_spare + by < 1 or not 1 <= limit <= slots:
        return pool
    return replace(
        pool,
        minimum_spare=pool.minimum_spare + by,
        maximum_spare=pool.maximum_spare + by,
        maximum_workers=limit,
    )


@dataclass(slots=True)
class Backoff:
    """Keeps a pool whose processes die before their first job from forking without end."""

    early: int = 0
    until: float = 0.0

    def died(self, now: float, *, early: bool) -> None:
        """A process of the pool has ended by a fault; ``early`` before it could work."""
        if not early:
            return
        self.until = now + min(FIRST_DELAY * 2**self.early, LONGEST_DELAY)
        self.early = min(self.early + 1, 16)

    def worked(self) -> None:
        """A process of the pool came to work."""
        self.early = 0

    def delay(self, now: float) -> float:
        """Seconds until the pool may fork again; 0 when it may."""
        return max(0.0, self.until - now)
