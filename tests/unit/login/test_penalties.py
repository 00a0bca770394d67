"""How long the answer to a refused login is held back."""

from __future__ import annotations

import pytest

from preforkpop.login import penalties
from preforkpop.login.penalties import MEMORY, Penalties


def test_each_failure_costs_twice_as_much_up_to_the_maximum() -> None:
    made = Penalties(2, 15)
    assert [made.failed("192.0.2.7", now) for now in range(5)] == [2, 4, 8, 15, 15]


def test_networks_do_not_pay_for_each_other() -> None:
    made = Penalties(2, 15)
    made.failed("192.0.2.7", 0)
    assert made.failed("192.0.2.8", 0) == 2
    made.failed("2001:db8::1", 0)
    assert made.failed("2001:db8::ffff", 0) == 4  # the same /64
    assert made.failed("2001:db8:0:1::1", 0) == 2


def test_failures_are_forgotten_after_an_hour_without_one() -> None:
    made = Penalties(2, 15)
    made.failed("192.0.2.7", 0)
    assert made.failed("192.0.2.7", MEMORY) == 4
    assert made.failed("192.0.2.7", 2 * MEMORY) == 8  # an hour after the last, not the first
    assert made.failed("192.0.2.7", 3 * MEMORY + 1) == 2


def test_no_delay_remembers_nothing() -> None:
    made = Penalties(0, 15)
    assert made.failed("192.0.2.7", 0) == 0
    assert len(made) == 0


def test_an_attack_of_any_length_is_no_overflow() -> None:
    made = Penalties(2, 15)
    for _ in range(2000):
        made.failed("192.0.2.7", 0)
    assert made.failed("192.0.2.7", 0) == 15


def test_memory_is_bounded_and_the_longest_quiet_is_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(penalties, "MAXIMUM_NETWORKS", 3)
    made = Penalties(2, 15)
    for last in range(3):
        made.failed(f"192.0.2.{last}", 0)
    made.failed("192.0.2.0", 1)
    made.failed("192.0.2.9", 1)  # forgets 192.0.2.1
    assert len(made) == 3
    assert made.failed("192.0.2.0", 1) == 8
    assert made.failed("192.0.2.1", 1) == 2
