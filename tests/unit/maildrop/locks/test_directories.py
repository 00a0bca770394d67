"""Spool directories as sites have them, seen by a user who is not root."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.locks.dotlock import DotLock

pytestmark = pytest.mark.root

FRED = 61001
MAIL = 61008


@pytest.fixture
def directory() -> Iterator[Path]:
    """A spool directory that everybody can reach; pytest's are for its own user alone."""
    root = Path(tempfile.mkdtemp(prefix="preforkpop-locks-"))
    root.chmod(0o755)
    (root / "mail").mkdir()
    yield root / "mail"
    shutil.rmtree(root)


def as_fred(act: Callable[[], str], groups: list[int]) -> str:
    """What a function of a process that is fred's returns."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setresgid(FRED, FRED, FRED)
            os.setresuid(FRED, FRED, FRED)
            os.write(writing, act().encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        return pipe.read().decode()


def make_spool(directory: Path, gid: int, mode: int) -> Path:
    os.chown(directory, 0, gid)
    directory.chmod(mode)
    spool = directory / "fred"
    spool.touch(mode=0o660)
    os.chown(spool, FRED, gid)
    return spool


def lock_and_release(spool: Path) -> str:
    lock = DotLock(str(spool))
    try:
        obstacle = lock.attempt()
    except MaildropError as error:
        return error.detail
    if obstacle is not None:
        return obstacle.text
    held = Path(f"{spool}.lock").stat()
    lock.verify()
    lock.release()
    return f"locked {held.st_uid} {'left' if os.path.exists(f'{spool}.lock') else 'removed'}"


@pytest.mark.parametrize(
    ("gid", "mode", "groups"), [(MAIL, 0o2775, [MAIL]), (MAIL, 0o1777, []), (0, 0o1777, [])]
)
def test_a_user_can_lock(directory: Path, gid: int, mode: int, groups: list[int]) -> None:
    spool = make_spool(directory, gid, mode)
    assert as_fred(lambda: lock_and_release(spool), groups) == f"locked {FRED} removed"


@pytest.mark.parametrize(("mode", "groups"), [(0o2775, []), (0o755, [MAIL])])
def test_a_directory_that_takes_no_files_is_told_with_its_cure(
    directory: Path, mode: int, groups: list[int]
) -> None:
    spool = make_spool(directory, MAIL, mode)
    told = as_fred(lambda: lock_and_release(spool), groups)
    assert told.startswith(f"maillock error 'Unable to create lockfile' (2) on '{spool}'")
    for cure in (str(directory), "service.mail_group", "2775", "maildrop.locks"):
        assert cure in told


def test_a_stale_lock_of_another_user_is_removed_where_the_group_may(directory: Path) -> None:
    spool = make_spool(directory, MAIL, 0o2775)
    stale = Path(f"{spool}.lock")
    stale.touch(mode=0o600)
    os.utime(stale, (1, 1))
    assert "removed it" in as_fred(lambda: lock_and_release(spool), [MAIL])
    assert as_fred(lambda: lock_and_release(spool), [MAIL]) == f"locked {FRED} removed"


def test_a_stale_lock_of_another_user_in_a_sticky_directory_is_told(directory: Path) -> None:
    spool = make_spool(directory, 0, 0o1777)
    stale = Path(f"{spool}.lock")
    stale.touch(mode=0o600)
    os.utime(stale, (1, 1))
    told = as_fred(lambda: lock_and_release(spool), [])
    assert "'Other lock error' (5)" in told
    assert f"{stale} is stale and cannot be removed" in told
    assert stale.exists()
