"""Repairing the maildrop of a session that died."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from preforkpop.maildrop.base import Place
from preforkpop.maildrop.locks.spool import SpoolLock
from preforkpop.maildrop.mbox import mark
from preforkpop.maildrop.open import open_maildrop
from preforkpop.maildrop.session_lock import last_maildrop
from preforkpop.system import process
from preforkpop.system.log import Log
from preforkpop.worker import state
from preforkpop.worker.repair import Repair
from preforkpop.worker.settings import Maildrop

SPOOL = b"From a@b Thu Jan  1 00:00:00 1998\nSubject: x\n\nbody\n"
UID = 4711


class Site:
    """A spool and a state directory of one user."""

    def __init__(self, path: Path) -> None:
        self.uid = UID if os.geteuid() == 0 else os.geteuid()
        self.gid = UID if os.geteuid() == 0 else os.getegid()
        self.state_dir = str(path / "state")
        self.spool = path / "mail" / "fred"
        (path / "state" / "users").mkdir(parents=True)
        self.spool.parent.mkdir()
        self.spool.write_bytes(SPOOL)
        path.chmod(0o755)
        self.spool.parent.chmod(0o1777)
        if os.geteuid() == 0:
            os.chown(self.spool, self.uid, self.gid)
        self.directory = state.ensure(self.state_dir, "fred", self.uid, self.gid)
        self.repair = Repair(self.state_dir, Maildrop(), ())

    def place(self) -> Place:
        return Place("mbox", str(self.spool), self.directory, self.uid)

    def as_user(self, run: object) -> int:
        """Run something in a child that is the user; its wait status."""

        def child() -> int:
            if os.geteuid() == 0:
                os.setgid(self.gid)
                os.setuid(self.uid)
            return int(run())  # type: ignore[operator]

        return os.waitpid(process.fork(child), 0)[1]

    def die_with_the_lock(self) -> int:
        """In a child: lock the spool as a session does, and be killed."""
        maildrop = open_maildrop(self.place())
        maildrop.close()
        mark.make(self.directory, [])
        lock = SpoolLock(str(self.spool), ("dotlock",), 5.0, check_every=500)
        lock.acquire(os.open(self.spool, os.O_RDWR))
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def lock_is_left(self) -> bool:
        return os.path.lexists(f"{self.spool}.lock")

    def carry_out(self) -> int:
        log = Log(None, "repair")
        return os.waitpid(process.fork(lambda: self.repair.run("fred", log)), 0)[1]


@pytest.fixture
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="preforkpop-") as name:  # tmp_path is root's alone
        yield Site(Path(name))


def test_the_lock_of_a_killed_session_is_given_back_at_once(site: Site) -> None:
    assert site.as_user(site.die_with_the_lock) == signal.SIGKILL
    assert site.lock_is_left()
    assert state.unfinished(site.state_dir) == ["fred"]
    assert site.carry_out() == 0
    assert not site.lock_is_left()
    assert state.unfinished(site.state_dir) == []
    assert site.spool.read_bytes() == SPOOL


def test_a_plan_changes_nothing(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.as_user(site.die_with_the_lock)

    def child() -> int:
        os.write(1, str(site.repair.plan("fred")).encode())
        return 0

    os.waitpid(process.fork(child), 0)
    assert "give back the locks of a session that died" in capfd.readouterr().out
    assert site.lock_is_left()


def test_a_maildrop_that_a_session_has_is_left_alone(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    told, tell = os.pipe()
    ends, end = os.pipe()

    def session() -> int:
        maildrop = open_maildrop(site.place())
        os.write(tell, b"open")
        os.read(ends, 1)
        maildrop.close()
        return 0

    def child() -> int:
        os.close(end)
        if os.geteuid() == 0:
            os.setgid(site.gid)
            os.setuid(site.uid)
        return session()

    pid = process.fork(child)
    os.close(tell)
    assert os.read(told, 4) == b"open"
    assert site.carry_out() == 0
    assert capfd.readouterr().err == ""
    for descriptor in (end, ends, told):
        os.close(descriptor)
    assert os.waitpid(pid, 0)[1] == 0


def test_the_last_session_tells_which_maildrop_it_was(site: Site) -> None:
    assert last_maildrop(site.directory) == ""
    assert site.carry_out() == 0
    site.as_user(site.die_with_the_lock)
    assert last_maildrop(site.directory) == str(site.spool)


@pytest.mark.parametrize("name", ["", ".", "..", "../users/fred", "nobody-here", "/etc"])
def test_names_from_shared_memory_lead_nowhere_else(site: Site, name: str) -> None:
    with pytest.raises(state.StateError):
        state.find(site.state_dir, name)


def test_a_link_in_place_of_a_users_directory_is_not_followed(site: Site) -> None:
    Path(site.state_dir, "users", "eve").symlink_to("fred")
    with pytest.raises(state.StateError, match="is not a user's directory"):
        state.find(site.state_dir, "eve")
