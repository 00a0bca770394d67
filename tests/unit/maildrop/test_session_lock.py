"""One session for each maildrop, and what the one that is turned away hears."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.session_lock import NAME, SessionLock

NOW = 1795442853.7


def take(state: Path, peer: str = "192.0.2.7") -> SessionLock:
    return SessionLock.take(str(state), peer, NOW)


def refusal(state: Path) -> MaildropError:
    with pytest.raises(MaildropError) as caught:
        take(state)
    return caught.value


def test_a_second_session_hears_since_when_and_from_where(tmp_path: Path) -> None:
    lock = take(tmp_path)
    error = refusal(tmp_path)
    since = time.strftime("%H:%M:%S", time.localtime(NOW))
    assert error.code == "IN-USE"
    assert error.text == f"Maildrop is locked by another session since {since} from 192.0.2.7"
    assert f"process {os.getpid()} since {since} from 192.0.2.7" in error.detail
    assert str(tmp_path) in error.detail
    assert str(tmp_path) not in error.text
    lock.release()
    take(tmp_path).release()


def test_the_file_stays_and_is_the_users_alone(tmp_path: Path) -> None:
    take(tmp_path).release()
    inode = (tmp_path / NAME).stat().st_ino
    lock = take(tmp_path)
    assert (tmp_path / NAME).stat().st_ino == inode
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    lock.release()
    lock.release()


def test_a_shorter_address_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    take(tmp_path, "2001:db8:1234:5678:9abc:def0:1234:5678").release()
    lock = take(tmp_path, "192.0.2.7")
    assert refusal(tmp_path).text.endswith(" from 192.0.2.7")
    lock.release()


def test_a_session_on_standard_input_has_no_address(tmp_path: Path) -> None:
    lock = take(tmp_path, "")
    assert " from " not in refusal(tmp_path).text
    lock.release()


def test_kill_9_frees_the_maildrop(tmp_path: Path) -> None:
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        held = take(tmp_path)
        os.write(done, b"y")
        signal.pause()
        held.release()
        os._exit(0)
    try:
        assert os.read(ready, 1) == b"y"
        assert f"process {child} " in refusal(tmp_path).detail
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(done)
    take(tmp_path).release()


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"x",
        b"\0" * 128,
        b"1 2",
        b"a b c",
        b"1 -5 c",
        b"1 " + b"9" * 100 + b" c",
        b"1 2 \x1b[m",
    ],
)
def test_a_record_that_makes_no_sense_is_left_out(tmp_path: Path, record: bytes) -> None:
    lock = take(tmp_path)
    (tmp_path / NAME).write_bytes(record)
    error = refusal(tmp_path)
    assert error.code == "IN-USE"
    assert error.text.isprintable()
    lock.release()


@pytest.mark.parametrize("kind", ["symlink", "directory", "fifo", "missing"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    state = tmp_path / "state"
    target = tmp_path / "target"
    if kind != "missing":
        state.mkdir()
    if kind == "symlink":
        (state / NAME).symlink_to(target)
    elif kind == "directory":
        (state / NAME).mkdir()
    elif kind == "fifo":
        os.mkfifo(state / NAME)
    error = refusal(state)
    assert error.code == "SYS/TEMP"
    assert str(state / NAME) in error.detail
    assert not target.exists()


@pytest.mark.root
def test_a_file_of_another_owner_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    os.chown(tmp_path / NAME, 65534, 65534)
    assert refusal(tmp_path).code == "SYS/TEMP"
