"""What the next session makes of one that died. Every moment of an update is tried in
tests/faults; here is what an administrator sees of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.mbox import index, journal, mark, recovery
from preforkpop.maildrop.mbox import update as update_module
from preforkpop.maildrop.mbox.update import Update
from tests.unit.maildrop.mbox.conftest import STORED
from tests.unit.maildrop.mbox.helpers import Box, join, message, retrieve_all

KEPT = [STORED[0], *STORED[2:4], *STORED[5:]]


class Died(BaseException):
    """The process is gone."""


def die(box: Box, patch: Callable[[pytest.MonkeyPatch], None]) -> None:
    """A session that removes messages 2 and 5 and dies where ``patch`` says."""
    maildrop = box.open()
    with pytest.MonkeyPatch.context() as context:
        patch(context)
        with pytest.raises(Died):
            maildrop.update(frozenset({2, 5}))
    maildrop.close()


def raise_died(*_arguments: object, **_keywords: object) -> None:
    raise Died


def before_the_moves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(update_module, "write", raise_died)


def before_the_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal.Journal, "begin_cutting", raise_died)


def within_the_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Update, "_truncate", raise_died)


def behind_the_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Update, "finish", raise_died)


MOMENTS = [before_the_moves, before_the_cut, within_the_cut, behind_the_cut]


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_update_is_completed_before_anything_is_served(
    box: Box, moment: Callable[[pytest.MonkeyPatch], None]
) -> None:
    ids = box.unique_ids()
    die(box, moment)
    assert mark.is_journal(str(box.state))
    with box.session() as maildrop:
        assert retrieve_all(maildrop) == KEPT
        assert len(maildrop.notes) == 1
        assert str(box.path) in maildrop.notes[0]
    assert box.read() == join(KEPT)
    assert box.unique_ids() == [ids[0], *ids[2:4], *ids[5:]]
    assert box.left_over() == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_mail_that_came_before_the_recovery_is_kept(
    box: Box, moment: Callable[[pytest.MonkeyPatch], None]
) -> None:
    die(box, moment)
    box.deliver(message(7), message(8))
    assert box.contents() == [*KEPT, message(7), message(8)]
    assert box.read() == join([*KEPT, message(7), message(8)])


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    box: Box, moment: Callable[[pytest.MonkeyPatch], None]
) -> None:
    die(box, moment)
    before = box.read()
    (line,) = recovery.plan(box.place())
    assert str(box.path) in line
    assert "complete an update" in line
    assert str(len(join([STORED[1], STORED[4]]))) in line
    assert box.read() == before
    assert mark.is_journal(str(box.state))
    box.contents()
    assert recovery.plan(box.place()) == []


def test_the_lock_of_a_dead_session_is_given_back(box: Box) -> None:
    """It died while it held the spool and had changed nothing."""
    box.contents()
    pid = os.fork()
    if pid == 0:
        maildrop = box.open()
        update_module.settle = lambda *_arguments: os._exit(0)  # type: ignore[assignment]
        maildrop.update(frozenset({1}))
    os.waitpid(pid, 0)
    assert box.left_over() == ["fred.lock", "journal"]
    (line,) = recovery.plan(box.place())
    assert "locks" in line
    assert box.contents() == STORED
    assert box.left_over() == []


def test_temporary_files_of_a_dead_session_are_removed(box: Box) -> None:
    for name in ("journal.0123456789abcdef", "index.0123456789abcdef"):
        (box.state / name).write_bytes(b"x")
    (box.state / "other").write_bytes(b"x")
    (box.state / mark.NAME).touch()
    box.contents()
    assert box.left_over() == ["other"]


def test_recovery_that_fails_serves_nothing(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_arguments: object) -> None:
        raise OSError(5, "Input/output error")

    die(box, before_the_moves)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        with pytest.raises(MaildropError) as caught:
            box.open()
    assert caught.value.code == "SYS/TEMP"
    assert str(box.path) in caught.value.detail
    box.open_lock_is_free()
    assert box.contents() == KEPT


class TestASpoolThatSomebodyElseRewrote:
    """The journal is kept for the administrator, the spool is left as it is."""

    @pytest.mark.parametrize("moment", MOMENTS[:2])
    @pytest.mark.parametrize(
        "octets",
        [
            join(STORED[1:3]),
            join([message(9), *STORED, message(10, b"x" * 500)]),
            join(STORED[::-1]),
        ],
    )
    def test_in_place(
        self, box: Box, octets: bytes, moment: Callable[[pytest.MonkeyPatch], None]
    ) -> None:
        die(box, moment)
        box.write(octets)
        with box.session() as maildrop:
            assert len(maildrop.notes) == 1
            aside = next(box.state.glob("journal.aside.*"))
            assert str(aside) in maildrop.notes[0]
        assert box.read() == octets
        assert box.left_over() == [aside.name]
        assert STORED[2] in aside.read_bytes()

    @pytest.mark.parametrize("moment", MOMENTS)
    def test_by_another_file(self, box: Box, moment: Callable[[pytest.MonkeyPatch], None]) -> None:
        die(box, moment)
        octets = join([message(9), message(10)])
        old = box.path.rename(box.path.with_name("old"))
        box.write(octets)
        assert box.contents() == [message(9), message(10)]
        assert box.read() == octets
        old.unlink()

    @pytest.mark.parametrize("moment", MOMENTS)
    def test_by_nothing(self, box: Box, moment: Callable[[pytest.MonkeyPatch], None]) -> None:
        die(box, moment)
        box.path.unlink()
        assert box.contents() == []
        assert not box.path.exists()


@pytest.mark.parametrize("damage", ["head", "plan", "window", "cut", "garbage", "link", "fifo"])
def test_a_journal_that_cannot_be_used_is_put_aside(box: Box, damage: str) -> None:
    die(box, before_the_moves)
    path = box.state / mark.NAME
    octets = bytearray(path.read_bytes())
    match damage:
        case "head":
            octets[20] ^= 1
        case "plan":
            octets[1030] ^= 1
        case "window":
            octets[-100] ^= 1
        case "cut":
            del octets[-200:]
        case "garbage":
            octets[:] = b"\xff" * len(octets)
    path.write_bytes(octets)
    if damage in ("link", "fifo"):
        path.rename(box.state / "old")
        os.mkfifo(path) if damage == "fifo" else path.symlink_to(box.state / "old")
    with box.session() as maildrop:
        assert retrieve_all(maildrop) == STORED
        if damage != "fifo":  # which is as empty as a mark
            (note,) = maildrop.notes
            assert "aside" in note
    assert box.read() == join(STORED)
    assert not os.path.lexists(path)


def test_a_dry_run_on_a_journal_that_cannot_be_used(box: Box) -> None:
    (box.state / mark.NAME).write_bytes(b"garbage")
    (line,) = recovery.plan(box.place())
    assert "aside" in line


def test_ids_that_are_recorded_nowhere_else_are_kept_in_the_journal(
    empty: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of two copies was removed and there is no room for a new index."""

    def full(*_arguments: object, **_keywords: object) -> None:
        raise OSError(28, "No space left on device")

    copy = message(1)
    empty.write(join([copy, copy]))
    ids = empty.unique_ids()
    with monkeypatch.context() as patch:
        patch.setattr(index, "replace_file", full)
        with empty.session() as maildrop:
            maildrop.update(frozenset({1}))
        assert empty.unique_ids() == ids[1:]
        empty.deliver(message(2))
        assert empty.unique_ids()[:1] == ids[1:]
    assert empty.unique_ids()[:1] == ids[1:]
    assert empty.left_over() == []
    assert empty.contents() == [copy, message(2)]


def test_a_journal_that_cannot_be_removed_does_no_harm(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_arguments: object, **_keywords: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "discard", failing)
        with box.session() as maildrop:
            maildrop.update(frozenset({2, 5}))
            assert "journal" in maildrop.notes[0]
        box.deliver(message(7))
        assert box.contents() == [*KEPT, message(7)]
        with box.session() as maildrop:
            maildrop.update(frozenset({1}))
        assert box.contents() == [*KEPT[1:], message(7)]
    box.write(join([message(9)]))
    assert box.contents() == [message(9)]
    assert box.left_over() == []


def test_recovery_of_what_is_in_order(box: Box) -> None:
    notes: list[str] = []
    assert recovery.recover(box.place(), notes) is None
    assert notes == []
    assert box.left_over() == []
    assert Path(box.path).read_bytes() == join(STORED)
