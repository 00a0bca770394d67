"""The dot-lock: what other programs see of it, when it is stale, when it is no longer ours."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.locks import dotlock
from preforkpop.maildrop.locks.dotlock import DotLock
from preforkpop.maildrop.locks.errors import LockLost
from tests.unit.maildrop.locks.conftest import Spool


def take(spool: Spool) -> DotLock:
    lock = DotLock(str(spool.path))
    assert lock.attempt() is None
    return lock


def obstacle(spool: Spool) -> str:
    found = DotLock(str(spool.path)).attempt()
    assert found is not None
    return found.text


def test_a_lock_is_a_file_beside_the_spool_with_the_pid_on_its_first_line(spool: Spool) -> None:
    lock = take(spool)
    assert spool.names() == ["fred", "fred.lock"]
    assert spool.dotlock.read_bytes().split(b"\n")[0] == b"%d" % os.getpid()
    assert spool.dotlock.stat().st_mode & 0o777 == 0o600
    assert lock.release()
    assert spool.names() == ["fred"]


def test_the_content_fits_into_the_buffer_of_liblockfile(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 4194303)  # the largest pid of Linux
    lock = take(spool)
    assert len(spool.dotlock.read_bytes()) <= 15
    lock.release()


def test_a_held_lock_is_an_obstacle_to_everybody(spool: Spool) -> None:
    lock = take(spool)
    assert "is held" in obstacle(spool)
    assert spool.names() == ["fred", "fred.lock"]
    lock.release()
    take(spool).release()


def test_a_lock_that_was_touched_within_300_seconds_is_held(spool: Spool) -> None:
    spool.make_dotlock(age=290)
    assert "is held" in obstacle(spool)
    assert spool.dotlock.exists()


def test_a_lock_of_the_future_is_held(spool: Spool) -> None:
    spool.make_dotlock(age=-4000)
    assert "is held" in obstacle(spool)


def test_a_lock_that_nobody_touched_for_300_seconds_is_removed_first_and_taken_later(
    spool: Spool,
) -> None:
    spool.make_dotlock(age=302)
    lock = DotLock(str(spool.path))
    found = lock.attempt()
    assert found is not None
    assert found.removed
    assert spool.names() == ["fred"]
    assert lock.attempt() is None
    lock.release()


def test_staleness_is_judged_by_the_clock_of_the_file_system(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose clock is an hour ahead of the file server's breaks nobody's lock."""
    monkeypatch.setattr("time.time", lambda: os.stat(spool.path).st_mtime + 3600)
    spool.make_dotlock(age=10)
    assert "is held" in obstacle(spool)


def test_a_lock_of_a_dead_pid_is_held_as_the_pid_may_be_of_another_host(spool: Spool) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    spool.make_dotlock(content=f"{dead.pid}\n")
    assert "is held" in obstacle(spool)


def test_a_lock_of_ours_is_removed_as_soon_as_its_maker_is_dead(spool: Spool) -> None:
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        taken = DotLock(str(spool.path)).attempt() is None
        os.write(done, b"y" if taken else b"n")
        signal.pause()
        os._exit(0)
    try:
        assert os.read(ready, 1) == b"y"
        assert "is held" in obstacle(spool)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(done)
    assert "dead" in obstacle(spool)
    take(spool).release()


def test_a_lock_from_before_the_last_boot_waits_for_its_time(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.make_dotlock(content="77\n0000000")
    assert dotlock.mark() != b"0000000"
    assert "is held" in obstacle(spool)


@pytest.mark.parametrize("kind", ["symlink", "directory", "fifo"])
def test_what_is_no_file_is_never_followed_nor_removed(spool: Spool, kind: str) -> None:
    other = spool.path.parent / "other"
    other.write_text("precious")
    if kind == "symlink":
        spool.dotlock.symlink_to(other)
    elif kind == "directory":
        spool.dotlock.mkdir()
    else:
        os.mkfifo(spool.dotlock)
    with pytest.raises(MaildropError) as caught:
        DotLock(str(spool.path)).attempt()
    assert "'Other lock error' (5)" in caught.value.detail
    assert str(spool.dotlock) in caught.value.detail
    assert other.read_text() == "precious"
    assert os.path.lexists(spool.dotlock)


def test_a_dangling_symlink_creates_nothing(spool: Spool) -> None:
    target = spool.path.parent / "target"
    spool.dotlock.symlink_to(target)
    with pytest.raises(MaildropError):
        DotLock(str(spool.path)).attempt()
    assert not target.exists()


def test_a_lock_that_another_program_removed_is_lost(spool: Spool) -> None:
    lock = take(spool)
    lock.verify()
    spool.dotlock.unlink()
    with pytest.raises(LockLost) as caught:
        lock.verify()
    assert caught.value.code == "SYS/TEMP"
    assert str(spool.dotlock) in caught.value.detail
    with pytest.raises(LockLost):
        lock.refresh()
    assert not lock.release()


def test_a_lock_that_another_program_made_anew_is_lost_and_left_alone(spool: Spool) -> None:
    lock = take(spool)
    content = spool.dotlock.read_text()
    spool.dotlock.unlink()
    spool.dotlock.write_text(content)
    with pytest.raises(LockLost):
        lock.verify()
    assert not lock.release()
    assert spool.dotlock.read_text() == content


def test_refreshing_makes_the_lock_young(spool: Spool) -> None:
    lock = take(spool)
    os.utime(spool.dotlock, (1, 1))
    before = spool.path.parent / "before"
    before.touch()
    lock.refresh()
    assert spool.dotlock.stat().st_mtime_ns >= before.stat().st_mtime_ns
    lock.release()


def test_giving_up_twice_removes_nobodys_lock(spool: Spool) -> None:
    lock = take(spool)
    lock.release()
    spool.make_dotlock()
    assert lock.release()
    assert spool.dotlock.exists()


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(MaildropError) as caught:
        DotLock(str(tmp_path / "none" / "fred")).attempt()
    assert "'Unable to create lockfile' (2)" in caught.value.detail
    assert str(tmp_path / "none") in caught.value.detail
    assert str(tmp_path) not in caught.value.text


def test_a_name_that_is_too_long_has_its_number(tmp_path: Path) -> None:
    with pytest.raises(MaildropError) as caught:
        DotLock(str(tmp_path / ("n" * 254))).attempt()
    assert "'User name too long' (1)" in caught.value.detail


class Refusing:
    """Stands in for a call of os that fails for some arguments."""

    def __init__(self, real: Any, number: int, refused: Any) -> None:
        self.real = real
        self.number = number
        self.refused = refused

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.refused(*arguments, **named):
            raise OSError(self.number, os.strerror(self.number))
        return self.real(*arguments, **named)


@pytest.fixture
def no_nameless_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS."""
    nameless = os.O_TMPFILE
    monkeypatch.setattr(
        os,
        "open",
        Refusing(os.open, errno.EOPNOTSUPP, lambda _path, flags, *_: flags & nameless == nameless),
    )


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on FAT and some FUSE file systems."""
    monkeypatch.setattr(os, "link", Refusing(os.link, errno.EPERM, lambda *_, **__: True))


@pytest.mark.usefixtures("no_nameless_files")
def test_where_files_need_a_name_the_temporary_one_goes(spool: Spool) -> None:
    lock = take(spool)
    assert spool.names() == ["fred", "fred.lock"]
    assert spool.dotlock.stat().st_nlink == 1
    assert "is held" in obstacle(spool)
    assert spool.names() == ["fred", "fred.lock"]
    lock.verify()
    lock.release()
    assert spool.names() == ["fred"]


@pytest.mark.usefixtures("no_nameless_files")
def test_a_link_that_was_made_although_it_failed_counts(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS: the answer is lost, the client asks again and hears that the name exists."""
    real = os.link

    def link(source: str, target: str, **named: Any) -> None:
        real(source, target, **named)
        raise FileExistsError(errno.EEXIST, "again")

    monkeypatch.setattr(os, "link", link)
    lock = take(spool)
    lock.verify()
    lock.release()
    assert spool.names() == ["fred"]


@pytest.mark.usefixtures("no_nameless_files", "no_links")
def test_without_links_the_lock_is_created_exclusively(spool: Spool) -> None:
    lock = take(spool)
    assert spool.names() == ["fred", "fred.lock"]
    assert spool.dotlock.read_text().startswith(f"{os.getpid()}\n")
    lock.verify()
    assert "is held" in obstacle(spool)
    lock.release()
    assert spool.names() == ["fred"]


def test_a_full_disk_keeps_nobody_from_locking(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", Refusing(os.write, errno.EDQUOT, lambda *_: True))
    lock = take(spool)
    lock.verify()
    assert "is held" in obstacle(spool)
    lock.release()


@pytest.mark.parametrize("fixture", [None, "no_nameless_files", "no_links"])
def test_a_failing_disk_leaves_nothing_behind(
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    fixture: str | None,
) -> None:
    if fixture:
        request.getfixturevalue(fixture)
    monkeypatch.setattr(os, "write", Refusing(os.write, errno.EIO, lambda *_: True))
    with pytest.raises(MaildropError) as caught:
        DotLock(str(spool.path)).attempt()
    assert "'Unable to write pid into lockfile' (3)" in caught.value.detail
    assert spool.names() == ["fred"]
