"""Sessions that remove messages, and are killed, while a delivery agent adds others.

Every message is numbered. In the end each one has been removed by a session that got through, or is
still there, once; what a session that was killed wanted to remove may be either.
"""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from preforkpop.maildrop.locks.spool import SpoolLock
from preforkpop.maildrop.mbox.mailbox import open_mbox
from preforkpop.maildrop.session_lock import SessionLock
from tests.unit.maildrop.mbox.helpers import Box, join, message, retrieve, retrieve_all

CAMPAIGN = bool(os.environ.get("PREFORKPOP_CAMPAIGN"))
DELIVERIES = 20_000 if CAMPAIGN else 1000
SESSIONS = 40  # at least
_number = re.compile(rb"\AMessage-ID: <(\d+)@").match


def number_of(stored: bytes) -> int:
    found = _number(stored)
    assert found is not None
    assert stored == delivered(int(found[1])), "a damaged message"
    return int(found[1])


def delivered(number: int) -> bytes:
    return message(number, b"This is line %d.\n" % number * (number % 90))


def forked(run: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            run()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    return pid


def deliver_all(box: Box) -> None:
    """The delivery agent."""
    for number in range(DELIVERIES):
        descriptor = os.open(box.path, os.O_RDWR | os.O_APPEND)
        lock = SpoolLock(str(box.path), ("dotlock", "fcntl"), 60, check_every=1)
        lock.acquire(descriptor)
        for part in re.findall(rb"(?s).{1,1000}", join([delivered(number)])):
            os.write(descriptor, part)
        lock.release()
        os.close(descriptor)


def session(box: Box, seed: int, told: int, beats: int) -> None:
    """A session that says in a byte each that it goes on, and what it is about to remove."""
    choose = random.Random(seed)
    place = replace(
        box.place(),
        lock_timeout=60,
        mail_lock_check=1,
        progress=lambda: void(os.write(beats, b".")),
    )
    maildrop = open_mbox(place, SessionLock.take(place.state, "", 0))
    numbers = [number_of(retrieve(maildrop, one)) for one in range(1, maildrop.count + 1)]
    share = choose.choice([0.05, 0.2, 0.5, 1])
    chosen = [one for one in range(1, maildrop.count + 1) if choose.random() < share]
    os.write(told, b" ".join(b"%d" % numbers[one - 1] for one in chosen) + b"\n")
    maildrop.update(frozenset(chosen))
    maildrop.close()


def void(_value: object) -> None:
    return


def serve(box: Box, seed: int) -> tuple[set[int], bool]:
    """Run a session, kill it after some beats; what it wanted to remove, whether it got through."""
    told, beats = os.pipe(), os.pipe()
    pid = forked(lambda: session(box, seed, told[1], beats[1]))
    os.close(told[1])
    os.close(beats[1])
    left = random.Random(seed).choice([1, 5, 20, 60, 150, *[1 << 30] * 4])
    while left > 0 and (more := os.read(beats[0], min(left, 4096))):
        left -= len(more)
    if left <= 0:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL)
    wanted = b""
    while more := os.read(told[0], 65536):
        wanted += more
    os.close(told[0])
    os.close(beats[0])
    return set(map(int, wanted.split())), status == 0


def test_nothing_is_lost_and_nothing_is_there_twice(quick_path: Path) -> None:
    box = Box(quick_path, b"")
    agent = forked(lambda: deliver_all(box))
    removed: set[int] = set()
    uncertain: set[int] = set()
    seed = sessions = killed = 0
    delivering = True
    while delivering or sessions < SESSIONS:
        pid, status = os.waitpid(agent, os.WNOHANG) if delivering else (0, 0)
        delivering = delivering and not pid
        assert status == 0
        seed += 1
        wanted, through = serve(box, seed)
        assert not wanted & removed, "a removed message came back"
        sessions += 1
        killed += not through
        if through:
            removed |= wanted
        else:
            uncertain |= wanted
    with box.session() as maildrop:
        there = [number_of(stored) for stored in retrieve_all(maildrop)]
    assert there == sorted(set(there))
    assert not removed & set(there)
    assert set(there) | removed | uncertain == set(range(DELIVERIES))
    assert 0 < killed < sessions
    assert box.left_over() == []
