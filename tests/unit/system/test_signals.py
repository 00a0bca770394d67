"""Signals as octets, and what children do with them."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator

import pytest

from preforkpop.system import process
from preforkpop.system.signals import SignalPipe, as_child

WATCHED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


@pytest.fixture
def pipe() -> Iterator[SignalPipe]:
    before = {number: signal.getsignal(number) for number in WATCHED}
    made = SignalPipe(WATCHED)
    yield made
    made.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_come_in_their_order(pipe: SignalPipe) -> None:
    assert pipe.take() == []
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP):
        os.kill(os.getpid(), number)
    assert pipe.take() == [signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP]
    assert pipe.take() == []


def test_a_signal_ends_a_poll(pipe: SignalPipe) -> None:
    poller = select.poll()
    poller.register(pipe.fileno(), select.POLLIN)
    assert not poller.poll(0)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert poller.poll(20_000) == [(pipe.fileno(), select.POLLIN)]


def test_a_storm_of_signals_blocks_nobody(pipe: SignalPipe) -> None:
    for _ in range(70_000):  # more than a pipe holds
        os.kill(os.getpid(), signal.SIGUSR1)
    assert set(pipe.take()) == {signal.SIGUSR1}


def test_programs_do_not_inherit_the_pipe(pipe: SignalPipe) -> None:
    assert not os.get_inheritable(pipe.fileno())


def test_a_child_that_closed_it_writes_nothing_into_the_parents(pipe: SignalPipe) -> None:
    def run() -> int:
        pipe.close()
        os.kill(os.getpid(), signal.SIGUSR1)
        return 0

    os.waitpid(process.fork(run), 0)
    assert pipe.take() == []


def test_children_leave_it_to_the_master_what_a_terminal_says() -> None:
    def run() -> int:
        as_child()
        for number in (
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGQUIT,
            signal.SIGPIPE,
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGTTIN,
            signal.SIGTTOU,
        ):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    _pid, status = os.waitpid(process.fork(run), 0)
    assert process.death_text(status) == "signal SIGTERM"
