"""The dot-lock among the programs that deliver mail: dotlockfile (liblockfile) and procmail's
lockfile, each keeping us out and kept out by us."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.locks.errors import LockLost
from preforkpop.maildrop.locks.spool import SpoolLock
from tests.unit.maildrop.locks.conftest import Spool

pytestmark = pytest.mark.peer("dotlockfile", "lockfile")

TAKE = {
    "dotlockfile": ["dotlockfile", "-l", "-r", "0"],
    "dotlockfile with pids": ["dotlockfile", "-l", "-p", "-r", "0"],
    "lockfile": ["lockfile", "-r", "0"],
}
BREAK = {
    "dotlockfile": ["dotlockfile", "-l", "-r", "3", "-i", "1"],
    "lockfile": ["lockfile", "-1", "-r", "3", "-l", "300", "-s", "0"],
}


def run(command: list[str], spool: Spool) -> bool:
    """Whether the other program got what it wanted."""
    done = subprocess.run([*command, str(spool.dotlock)], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("program", TAKE)
def test_the_other_program_is_kept_out_while_we_hold_the_lock(spool: Spool, program: str) -> None:
    lock = spool.lock("dotlock")
    lock.acquire(spool.descriptor)
    assert not run(TAKE[program], spool)
    lock.verify()
    lock.release()
    assert run(TAKE[program], spool)


@pytest.mark.parametrize("program", TAKE)
def test_we_are_kept_out_while_the_other_program_holds_the_lock(spool: Spool, program: str) -> None:
    assert run(TAKE[program], spool)
    with pytest.raises(MaildropError) as caught:
        spool.lock("dotlock", timeout=5).acquire(spool.descriptor)
    assert "(4)" in caught.value.detail
    assert spool.dotlock.exists()
    spool.clock.during_pause = lambda: spool.dotlock.unlink(missing_ok=True)
    lock = spool.lock("dotlock", timeout=5)
    lock.acquire(spool.descriptor)
    lock.release()


@pytest.mark.parametrize("program", TAKE)
def test_the_other_programs_lock_is_broken_when_it_is_stale(spool: Spool, program: str) -> None:
    assert run(TAKE[program], spool)
    os.utime(spool.dotlock, (spool.dotlock.stat().st_mtime - 301,) * 2)
    lock = spool.lock("dotlock")
    lock.acquire(spool.descriptor)
    assert not run(TAKE[program], spool)
    lock.release()


@pytest.mark.parametrize("program", BREAK)
def test_a_lock_that_we_did_not_refresh_is_broken_and_we_notice(spool: Spool, program: str) -> None:
    lock = spool.lock("dotlock", "fcntl")
    lock.acquire(spool.descriptor)
    long_ago = spool.dotlock.stat().st_mtime - 301
    os.utime(spool.dotlock, (long_ago, long_ago))
    assert run(BREAK[program], spool)
    with pytest.raises(LockLost):
        lock.tick()
    lock.release()
    assert spool.dotlock.exists(), "it is theirs now"


@pytest.mark.parametrize("program", BREAK)
def test_a_lock_that_we_refreshed_is_not_broken(spool: Spool, program: str) -> None:
    lock = spool.lock("dotlock")
    lock.acquire(spool.descriptor)
    long_ago = spool.dotlock.stat().st_mtime - 301
    os.utime(spool.dotlock, (long_ago, long_ago))
    spool.clock.now += 60
    lock.tick()
    command = [*BREAK[program]]
    command[command.index("-r") + 1] = "0"
    assert not run(command, spool)
    lock.verify()
    lock.release()


def test_dotlockfile_checks_the_pid_in_our_lock(spool: Spool) -> None:
    """With -p a lock is valid while its maker lives, however old it is."""
    lock = spool.lock("dotlock")
    lock.acquire(spool.descriptor)
    long_ago = spool.dotlock.stat().st_mtime - 301
    os.utime(spool.dotlock, (long_ago, long_ago))
    assert not run(["dotlockfile", "-l", "-p", "-r", "0"], spool)
    lock.release()


def pause(_seconds: float) -> None:
    """Long enough for the others that found the lock stale, short enough for a test."""
    time.sleep(0.001)


def count_up(spool: Spool, times: int) -> None:
    """Add one to the number in the spool, each time under the lock."""
    for _ in range(times):
        lock = SpoolLock(str(spool.path), ("dotlock",), 60, check_every=1, sleep=pause)
        lock.acquire(spool.descriptor)
        number = int(os.pread(spool.descriptor, 20, 0) or b"0")
        time.sleep(0)
        os.pwrite(spool.descriptor, b"%020d" % (number + 1), 0)
        lock.release()


def test_many_processes_that_find_a_stale_lock_still_exclude_each_other(spool: Spool) -> None:
    spool.make_dotlock(age=400)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                count_up(spool, 50)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert int(spool.path.read_bytes()) == 200
    assert spool.names() == ["fred"]
