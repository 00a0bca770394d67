"""How many workers, and when to fork again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.master.settings import Pool
from preforkpop.supervision.policy import (
    LONGEST_DELAY,
    MAXIMUM_RATE,
    Backoff,
    Census,
    grow,
    too_many,
)

POOL = Pool(start_workers=8, minimum_spare=4, maximum_spare=16, maximum_workers=150)


def test_enough_spare_workers_need_no_more_and_start_the_rate_again() -> None:
    growth = grow(Census(total=20, idle=4), POOL, rate=16)
    assert (growth.fork, growth.rate) == (0, 1)


def test_missing_spare_workers_are_forked_at_once_several_at_a_time() -> None:
    assert grow(Census(total=20, idle=3), POOL, rate=1).fork == 7  # half way to maximum_spare


def test_growth_doubles_while_the_demand_lasts() -> None:
    rate, forked = 1, []
    for _ in range(4):
        growth = grow(Census(total=20, idle=0), POOL, rate)
        forked.append(growth.fork)
        rate = growth.rate
    assert forked == [10, 10, 10, 10]
    assert rate == 16
    assert grow(Census(total=20, idle=0), POOL, rate).fork == 16


def test_the_limit_is_told_only_when_all_are_busy() -> None:
    assert grow(Census(total=150, idle=0), POOL, 1).full
    assert not grow(Census(total=150, idle=2), POOL, 1).full
    assert grow(Census(total=149, idle=0), POOL, 8).fork == 1


@given(total=st.integers(0, 400), idle=st.integers(0, 400), rate=st.integers(1, MAXIMUM_RATE))
def test_growth_never_passes_a_limit(total: int, idle: int, rate: int) -> None:
    growth = grow(Census(total, min(idle, total)), POOL, rate)
    assert 0 <= growth.fork <= MAXIMUM_RATE
    assert growth.fork == 0 or total + growth.fork <= POOL.maximum_workers
    assert 1 <= growth.rate <= MAXIMUM_RATE


def test_one_leaves_when_there_are_too_many() -> None:
    assert too_many(Census(total=30, idle=17), POOL)
    assert not too_many(Census(total=30, idle=16), POOL)


def test_a_lowered_limit_takes_idle_workers_away_and_no_busy_one() -> None:
    assert too_many(Census(total=151, idle=1), POOL)
    assert not too_many(Census(total=151, idle=0), POOL)


def test_early_deaths_wait_longer_each_time_up_to_a_bound() -> None:
    backoff = Backoff()
    delays = []
    for _ in range(12):
        backoff.died(100.0, early=True)
        delays.append(backoff.delay(100.0))
    assert delays[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert delays[-1] == LONGEST_DELAY
    assert backoff.delay(100.0 + LONGEST_DELAY) == 0


def test_a_late_death_is_no_reason_to_wait() -> None:
    backoff = Backoff()
    backoff.died(100.0, early=False)
    assert backoff.delay(100.0) == 0


def test_work_ends_the_series() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.died(100.0, early=True)
    backoff.worked()
    backoff.died(200.0, early=True)
    assert backoff.delay(200.0) == pytest.approx(0.1)
