"""All locks or none, in time; the dot-lock is kept alive, and its loss is noticed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.locks.errors import LockLost
from preforkpop.maildrop.locks.spool import LONGEST_PAUSE, REFRESH_AFTER
from tests.unit.maildrop.locks.conftest import Clock, Spool

ALL = ("dotlock", "fcntl", "flock")


@pytest.fixture
def other(spool: Spool) -> Iterator[int]:
    """Another program's descriptor of the spool."""
    descriptor = os.open(spool.path, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def locked_by_others(spool: Spool) -> list[str]:
    """The locks that keep another program out."""
    held = []
    if spool.dotlock.exists():
        held.append("dotlock")
    child = os.fork()
    if child == 0:  # record locks do not exclude the process that has them
        descriptor = os.open(spool.path, os.O_RDWR)
        found = 0
        for bit, lock in enumerate((fcntl.lockf, fcntl.flock)):
            try:
                lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                found |= 1 << bit
        os._exit(found)
    found = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return held + [name for bit, name in enumerate(("fcntl", "flock")) if found & 1 << bit]


@pytest.mark.parametrize(
    "methods", [("dotlock",), ("fcntl",), ("flock",), ("fcntl", "dotlock"), ALL, ()]
)
def test_what_is_configured_is_locked_until_released(
    spool: Spool, methods: tuple[str, ...]
) -> None:
    lock = spool.lock(*methods)
    lock.acquire(spool.descriptor)
    assert set(locked_by_others(spool)) == set(methods)
    lock.verify()
    lock.release()
    assert locked_by_others(spool) == []
    lock.acquire(spool.descriptor)
    lock.release()
    lock.release()


def test_closing_another_descriptor_of_the_spool_does_not_lose_the_record_lock(
    spool: Spool,
) -> None:
    lock = spool.lock("fcntl")
    lock.acquire(spool.descriptor)
    os.close(os.open(spool.path, os.O_RDONLY))
    assert locked_by_others(spool) == ["fcntl"]
    lock.release()


@pytest.mark.parametrize("method", ["fcntl", "flock"])
def test_a_kernel_lock_of_another_program_is_waited_for(
    spool: Spool, clock: Clock, other: int, method: str
) -> None:
    kernel = fcntl.lockf if method == "fcntl" else fcntl.flock
    kernel(other, fcntl.LOCK_EX)
    waited: list[list[str]] = []

    def look() -> None:
        waited.append(spool.names())
        if clock.now > 1005:
            kernel(other, fcntl.LOCK_UN)

    clock.during_pause = look
    lock = spool.lock("dotlock", method)
    lock.acquire(spool.descriptor)
    assert spool.names() == ["fred", "fred.lock"]
    assert all(names == ["fred"] for names in waited), "nobody is kept out by a waiting session"
    lock.release()


def test_waiting_is_bounded_and_pauses_grow(spool: Spool, clock: Clock) -> None:
    spool.make_dotlock()
    with pytest.raises(MaildropError) as caught:
        spool.lock(*ALL, timeout=30).acquire(spool.descriptor)
    assert clock.now == pytest.approx(1030)
    assert clock.pauses[:3] == [0.01, 0.02, 0.04]
    assert max(clock.pauses) == LONGEST_PAUSE
    assert caught.value.code == "SYS/TEMP"
    assert caught.value.detail.startswith(
        f"maillock error 'Max tries exceeded' (4) on '{spool.path}': {spool.dotlock} of uid "
    )
    assert "maildrop.lock_timeout" in caught.value.detail
    assert str(spool.path) not in caught.value.text
    assert spool.names() == ["fred", "fred.lock"]


def test_no_timeout_is_one_attempt(spool: Spool, clock: Clock) -> None:
    spool.make_dotlock()
    with pytest.raises(MaildropError):
        spool.lock("dotlock", timeout=0).acquire(spool.descriptor)
    assert clock.pauses == []


def test_nothing_is_held_after_a_failure(spool: Spool, other: int) -> None:
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(MaildropError) as caught:
        spool.lock(*ALL).acquire(spool.descriptor)
    assert "the flock lock" in caught.value.detail
    assert locked_by_others(spool) == ["flock"]


def test_nothing_is_held_when_locking_is_impossible(spool: Spool) -> None:
    reading = os.open(spool.path, os.O_RDONLY)
    try:
        with pytest.raises(MaildropError) as caught:
            spool.lock("dotlock", "fcntl").acquire(reading)
    finally:
        os.close(reading)
    assert "(5)" in caught.value.detail
    assert locked_by_others(spool) == []


@pytest.mark.parametrize("timeout", [0, 30])
def test_a_stale_lock_is_broken_after_a_pause_and_told(
    spool: Spool, clock: Clock, timeout: float
) -> None:
    spool.make_dotlock(age=400)
    lock = spool.lock("dotlock", timeout=timeout)
    lock.acquire(spool.descriptor)
    assert clock.pauses == [0.01], "others that found it stale must be done with removing it"
    assert len(lock.notes) == 1
    assert str(spool.dotlock) in lock.notes[0]
    lock.release()
    assert spool.names() == ["fred"]


def test_a_lock_that_becomes_stale_while_we_wait_is_broken(spool: Spool, clock: Clock) -> None:
    spool.make_dotlock(age=280)

    def grow_old() -> None:
        if spool.dotlock.exists():
            changed = spool.dotlock.stat().st_mtime - clock.pauses[-1]
            os.utime(spool.dotlock, (changed, changed))

    clock.during_pause = grow_old
    lock = spool.lock("dotlock", timeout=60)
    lock.acquire(spool.descriptor)
    assert 1019 < clock.now < 1023
    lock.release()


def make_old(spool: Spool) -> None:
    os.utime(spool.dotlock, (1, 1))


def is_young(spool: Spool) -> bool:
    return spool.dotlock.stat().st_mtime > 1


def test_the_dot_lock_is_refreshed_when_it_is_60_seconds_old(spool: Spool, clock: Clock) -> None:
    lock = spool.lock(*ALL, check_every=1)
    lock.acquire(spool.descriptor)
    make_old(spool)
    clock.now += 59
    lock.tick()
    assert not is_young(spool)
    clock.now += 1
    lock.tick()
    assert is_young(spool)
    make_old(spool)
    clock.now += 59
    lock.tick()
    assert not is_young(spool)
    lock.release()


def test_a_look_refreshes_when_it_is_due_whatever_the_count(spool: Spool, clock: Clock) -> None:
    lock = spool.lock("dotlock", check_every=500)
    lock.acquire(spool.descriptor)
    make_old(spool)
    lock.look()
    assert not is_young(spool)
    clock.now += 60
    lock.look()
    assert is_young(spool)
    spool.dotlock.unlink()
    with pytest.raises(LockLost):
        lock.look()
    lock.release()


def test_the_clock_is_looked_at_every_so_many_messages(spool: Spool, clock: Clock) -> None:
    looks = 0

    def counting() -> float:
        nonlocal looks
        looks += 1
        return clock.now

    lock = spool.lock("dotlock", check_every=500)
    lock._clock = counting
    lock.acquire(spool.descriptor)
    looks = 0
    for _ in range(1499):
        lock.tick()
    assert looks == 2
    lock.tick()
    assert looks == 3
    lock.release()


def test_losing_the_lock_is_noticed_at_the_next_look(spool: Spool) -> None:
    lock = spool.lock("dotlock", "fcntl", check_every=3)
    lock.acquire(spool.descriptor)
    spool.dotlock.unlink()
    lock.tick()
    lock.tick()
    with pytest.raises(LockLost):
        lock.tick()
    with pytest.raises(LockLost):
        lock.verify()
    lock.release()
    assert any(str(spool.dotlock) in note for note in lock.notes)
    assert locked_by_others(spool) == []


def test_the_lock_of_who_took_ours_is_left_alone(spool: Spool, clock: Clock) -> None:
    lock = spool.lock("dotlock")
    lock.acquire(spool.descriptor)
    spool.dotlock.unlink()
    spool.make_dotlock(content="77\n")
    clock.now += 100
    with pytest.raises(LockLost):
        lock.tick()
    lock.release()
    assert spool.dotlock.read_text() == "77\n"


def test_without_a_dot_lock_there_is_nothing_to_lose(spool: Spool, clock: Clock) -> None:
    lock = spool.lock("fcntl", check_every=1)
    lock.acquire(spool.descriptor)
    clock.now += 1000
    lock.tick()
    lock.verify()
    lock.release()


@given(
    steps=st.lists(st.floats(min_value=0, max_value=90), max_size=40),
    check_every=st.integers(min_value=1, max_value=7),
)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_at_every_look_the_dot_lock_was_touched_within_a_minute(
    spool: Spool, clock: Clock, steps: list[float], check_every: int
) -> None:
    lock = spool.lock("dotlock", check_every=check_every)
    lock.acquire(spool.descriptor)
    touched = clock.now
    for message, seconds in enumerate(steps, 1):
        clock.now += seconds
        make_old(spool)
        lock.tick()
        if is_young(spool):
            assert message % check_every == 0
            touched = clock.now
        elif message % check_every == 0:
            assert clock.now - touched < REFRESH_AFTER
    lock.release()
    assert spool.names() == ["fred"]
