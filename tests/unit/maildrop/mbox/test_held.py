"""A spool under its locks."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.locks.spool import SpoolLock
from preforkpop.maildrop.mbox import mark
from preforkpop.maildrop.mbox.held import held, status_between_writes
from preforkpop.maildrop.mbox.spool import Spool
from tests.unit.maildrop.mbox.conftest import STORED
from tests.unit.maildrop.mbox.helpers import Box, join


def lock_of(box: Box) -> Path:
    return Path(f"{box.path}.lock")


def test_locks_and_mark_are_there_while_it_is_held(box: Box) -> None:
    spool, notes = Spool(box.place()), list[str]()
    with held(box.place(), spool, notes):
        assert lock_of(box).exists()
        assert mark.found(str(box.state))
    assert box.left_over() == []
    assert notes == []
    spool.close()
    spool.close()


def test_they_are_given_back_after_an_error(box: Box) -> None:
    spool = Spool(box.place())
    with pytest.raises(ZeroDivisionError), held(box.place(), spool, []):
        raise ZeroDivisionError
    assert box.left_over() == []
    spool.close()


def test_what_is_held_is_what_is_at_the_name(box: Box) -> None:
    spool = Spool(box.place())
    box.path.unlink()
    box.write(join(STORED[:1]))
    assert not spool.is_in_place()
    with held(box.place(), spool, []):
        assert spool.is_in_place()
        assert spool.read(0, 10_000) == join(STORED[:1])
    spool.close()


def test_a_spool_that_has_gone(box: Box) -> None:
    spool = Spool(box.place())
    box.path.unlink()
    with held(box.place(), spool, []):
        assert spool.descriptor < 0
        assert spool.status is None
        assert lock_of(box).exists(), "against an agent that is about to make it"
    assert box.left_over() == []


def test_a_spool_that_is_replaced_all_the_time(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    acquire = SpoolLock.acquire

    def replacing(lock: SpoolLock, descriptor: int) -> None:
        acquire(lock, descriptor)
        box.path.rename(box.path.with_name("old"))
        box.write(join(STORED))

    monkeypatch.setattr(SpoolLock, "acquire", replacing)
    spool = Spool(box.place())
    with pytest.raises(MaildropError, match="replaces"), held(box.place(), spool, []):
        pytest.fail("held")
    assert box.left_over() == ["old"]
    spool.close()


def test_a_lock_that_cannot_be_given_back_is_noted_and_found_later(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error", path)

    spool, notes = Spool(box.place()), list[str]()
    with monkeypatch.context() as patch, held(box.place(), spool, notes):
        patch.setattr(os, "unlink", failing)
    spool.close()
    assert "lock" in notes[0]
    assert mark.found(str(box.state))


class TestBetweenWrites:
    def test_the_status_when_nobody_writes(self, box: Box) -> None:
        spool, notes = Spool(box.place()), list[str]()
        status = status_between_writes(box.place(), spool, notes)
        assert status is not None
        assert status.st_size == len(join(STORED))
        assert box.left_over() == []
        assert notes == []
        spool.close()

    def test_nothing_when_somebody_may_be_writing(self, box: Box) -> None:
        spool = Spool(box.place())
        lock_of(box).write_bytes(b"1\n")
        assert status_between_writes(box.place(), spool, []) is None
        assert box.left_over() == ["fred.lock"]
        spool.close()
