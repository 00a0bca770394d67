"""What each process is doing, as others see it."""

from __future__ import annotations

import os

from preforkpop.ipc.scoreboard import (
    BUSY,
    FREE,
    IDLE,
    RETIRING,
    STARTING,
    WAITING,
    Scoreboard,
)


def test_slots_are_free_until_they_are_reserved() -> None:
    board = Scoreboard(70)
    assert board.states(0, 70) == bytes((FREE,)) * 70
    board.reserve(69, 1.5)
    assert board.state(69) == STARTING
    entry = board.read(69)
    assert (entry.pid, entry.started, entry.progress) == (0, 1.5, 1.5)


def test_a_session_from_begin_to_end() -> None:
    board = Scoreboard(2)
    slot = board.slot(1)
    slot.begin(4711)
    assert board.state(1) == IDLE
    slot.session("fred", "192.0.2.7", tls=True, now=10.0)
    slot.working(b"RETR", 12, 11.0)
    entry = board.read(1)
    assert (entry.state, entry.pid, entry.tls) == (BUSY, 4711, True)
    assert (entry.user, entry.peer, entry.command, entry.message) == (
        "fred",
        "192.0.2.7",
        "RETR",
        12,
    )
    assert (entry.since, entry.progress) == (10.0, 11.0)
    slot.waiting()
    assert board.state(1) == WAITING
    slot.progress(12.0)
    assert board.read(1).progress == 12.0
    slot.idle(3)
    assert (board.state(1), board.read(1).sessions) == (IDLE, 3)
    slot.retiring()
    assert board.state(1) == RETIRING
    assert board.state(0) == FREE


def test_names_are_cut_and_never_reach_the_next_slot() -> None:
    board = Scoreboard(2)
    board.slot(1).session("next", "::1", tls=False, now=1.0)
    board.slot(0).session("ü" * 500, "x" * 500, tls=False, now=1.0)
    board.slot(0).working(b"C" * 500, 1, 1.0)
    assert board.read(0).user.startswith("ü" * 31)
    assert board.read(0).command == "C" * 8
    assert (board.read(1).user, board.read(1).peer) == ("next", "::1")


def test_counts() -> None:
    board = Scoreboard(1)
    slot = board.slot(0)
    slot.sessions(2**40)
    slot.failures(7)
    slot.clients(9)
    entry = board.read(0)
    assert (entry.sessions, entry.failures, entry.clients) == (2**40, 7, 9)


def test_clients_before_login_are_added_up() -> None:
    board = Scoreboard(5)
    for number in range(5):
        board.slot(number).clients(10**number)
    assert board.clients(0, 5) == 11111
    assert board.clients(1, 3) == 110
    assert board.clients(2, 2) == 0


def test_a_slot_that_is_given_back_remembers_nothing() -> None:
    board = Scoreboard(1)
    slot = board.slot(0)
    slot.begin(4711)
    slot.session("fred", "192.0.2.7", tls=True, now=10.0)
    board.clear(0)
    entry = board.read(0)
    assert (entry.state, entry.pid, entry.user, entry.sessions) == (FREE, 0, "", 0)


def test_what_a_child_writes_the_parent_reads() -> None:
    board = Scoreboard(1)
    pid = os.fork()
    if pid == 0:
        board.slot(0).begin(os.getpid())
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.read(0).pid == pid
