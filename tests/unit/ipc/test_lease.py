"""How the listener learns that a session has ended."""

from __future__ import annotations

import os
import select
import signal

import pytest

from preforkpop.ipc import channel, lease
from preforkpop.system.sockets import pair


def ended(watched: int, wait: float = 0) -> bool:
    """Whether the lease has ended, as an event loop that asks for no event sees it."""
    with select.epoll() as epoll:
        epoll.register(watched, 0)
        return bool(epoll.poll(wait))


def test_it_ends_when_its_holder_closes_it() -> None:
    watched, held = lease.grant()
    assert not ended(watched)
    os.close(held)
    assert ended(watched)
    os.close(watched)


def test_it_ends_with_the_last_of_its_holders() -> None:
    watched, held = lease.grant()
    other = os.dup(held)
    os.close(held)
    assert not ended(watched)
    os.close(other)
    assert ended(watched)
    os.close(watched)


def test_programs_do_not_inherit_it() -> None:
    ends = lease.grant()
    assert not any(map(os.get_inheritable, ends))
    for end in ends:
        os.close(end)


def test_it_lives_on_in_a_message_under_way() -> None:
    watched, held = lease.grant()
    sender, receiver = pair()
    with sender, receiver:
        channel.send(sender, b"x", (held,))
        os.close(held)
        assert not ended(watched)
        got = channel.receive(receiver, 1)
        assert got is not None
        assert not ended(watched)
        channel.close_all(got[1])
    assert ended(watched)
    os.close(watched)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_a_holder_that_is_killed(end: signal.Signals) -> None:
    watched, held = lease.grant()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            signal.pause()
    os.close(held)
    assert not ended(watched)
    os.kill(pid, end)
    assert ended(watched, wait=20)
    os.waitpid(pid, 0)
    os.close(watched)
