"""The UPDATE state: messages are removed, all of them, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.locks.spool import SpoolLock
from preforkpop.maildrop.mbox import index, journal, mark
from preforkpop.maildrop.mbox import update as update_module
from preforkpop.maildrop.mbox.mailbox import Mbox
from tests.unit.maildrop.mbox.conftest import STORED
from tests.unit.maildrop.mbox.helpers import FROM, Box, join, message, messages, retrieve_all

ALL_SETS = [set(some) for size in range(1, 7) for some in combinations(range(1, 7), size)]


def without(stored: list[bytes], deleted: set[int]) -> list[bytes]:
    return [one for number, one in enumerate(stored, 1) if number not in deleted]


def update(box: Box, *numbers: int) -> list[str]:
    with box.session() as maildrop:
        maildrop.update(frozenset(numbers))
        return maildrop.notes


@pytest.fixture(params=[40, 300, 1 << 24])
def window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Octets that move at once: in many windows, in some, in one."""
    monkeypatch.setattr(journal, "WINDOW", request.param)
    monkeypatch.setattr(update_module, "PIECE", min(request.param, 64))
    size: int = request.param
    return size


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock's tick is always over."""
    monkeypatch.setattr(index, "settled", lambda status, now: True)


def test_mail_that_comes_while_the_cut_is_being_recorded_is_not_cut(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is an fsync: on a slow disk an agent may take our lock for a dead one's meanwhile."""
    begin_cutting = journal.Journal.begin_cutting
    mail = [message(101), message(102)]

    def slow(self: journal.Journal) -> None:
        begin_cutting(self)
        if mail:
            box.deliver(mail.pop(0))

    monkeypatch.setattr(journal.Journal, "begin_cutting", slow)
    late = list(mail)
    update(box, 1, 3)
    assert not mail
    assert box.contents() == [*without(STORED, {1, 3}), *late]
    assert box.left_over() == []


class TestRemoval:
    @pytest.mark.parametrize("deleted", ALL_SETS)
    def test_any_messages(self, box: Box, window: int, deleted: set[int]) -> None:
        ids, inode = box.unique_ids(), box.path.stat().st_ino
        assert update(box, *deleted) == []
        assert box.read() == join(without(STORED, deleted))
        assert box.path.stat().st_ino == inode
        assert box.left_over() == []
        assert box.contents() == without(STORED, deleted)
        assert box.unique_ids() == [
            one for number, one in enumerate(ids, 1) if number not in deleted
        ]

    def test_nothing_deleted_writes_nothing(self, box: Box, settled: None) -> None:
        box.contents()
        before = box.path.stat(), (box.state / index.NAME).stat()
        assert update(box) == []
        after = box.path.stat(), (box.state / index.NAME).stat()
        for one, other in zip(before, after, strict=True):
            assert (one.st_mtime_ns, one.st_ctime_ns, one.st_ino) == (
                other.st_mtime_ns,
                other.st_ctime_ns,
                other.st_ino,
            )

    def test_without_quit_nothing_is_removed(self, box: Box) -> None:
        with box.session() as maildrop:
            retrieve_all(maildrop)
        assert box.read() == join(STORED)

    def test_the_next_login_reads_nothing_again(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        update(box, 2)
        known = index.load(str(box.state))
        assert known is not None
        assert known.describes(box.path.stat())

    def test_all_is_removed_and_the_index_with_it(self, box: Box) -> None:
        update(box, 1, 2, 3, 4, 5, 6)
        assert box.read() == b""
        assert sorted(os.listdir(box.state)) == ["session"]

    def test_a_last_message_without_line_end_stays_as_it_is(self, empty: Box, window: int) -> None:
        octets = join([message(1), message(2)]) + FROM + b"A: b\n\nno end"
        empty.write(octets)
        update(empty, 1)
        assert empty.read() == octets[len(join([message(1)])) :]

    def test_a_message_larger_than_a_window(self, empty: Box, window: int) -> None:
        stored = [message(1), message(2, b"x" * 999 + b"\n"), message(3)]
        empty.write(join(stored))
        update(empty, 1)
        assert empty.contents() == stored[1:]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        st.lists(messages, min_size=1, max_size=6),
        st.sets(st.integers(0, 5)),
        st.lists(messages, max_size=2),
        st.integers(30, 400),
        st.integers(0, 2),
    )
    def test_any_messages_of_any_content(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        stored: list[bytes],
        chosen: set[int],
        added: list[bytes],
        size: int,
        cut: int,
    ) -> None:
        box = Box(tmp_path_factory.mktemp("box"), join([*stored[:-1], stored[-1] + b"end\n"]))
        os.truncate(box.path, box.path.stat().st_size - cut)
        stored = box.contents()
        deleted = {number for number in chosen if 1 <= number <= len(stored)}
        ids = box.unique_ids()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(journal, "WINDOW", size)
            with box.session() as maildrop:
                if added:
                    with box.path.open("ab") as file:
                        file.write(b"\n\n"[:cut])
                    box.deliver(*added)
                maildrop.update(frozenset(deleted))
        found = [one.removesuffix(b"\n") for one in box.contents()]
        expected = without([*stored, *added], deleted)
        assert found == [one.removesuffix(b"\n") for one in expected]
        kept = [one for number, one in enumerate(ids, 1) if number not in deleted]
        assert box.unique_ids()[: len(kept)] == kept
        assert box.left_over() == []


class TestMailThatIsAdded:
    @pytest.mark.parametrize("deleted", [{1}, {6}, {2, 4}, {1, 2, 3, 4, 5, 6}, {5, 6}])
    def test_mail_that_came_during_the_session_is_kept(
        self, box: Box, window: int, deleted: set[int]
    ) -> None:
        with box.session() as maildrop:
            box.deliver(message(7), message(8))
            maildrop.update(frozenset(deleted))
        expected = [*without(STORED, deleted), message(7), message(8)]
        assert box.read() == join(expected)
        assert box.contents() == expected

    def test_mail_that_an_agent_ran_into_the_removed_message(self, empty: Box) -> None:
        empty.write(join([message(1)]) + FROM + b"A: b\n\nx\n")
        with empty.session() as maildrop:
            with empty.path.open("ab") as file:
                file.write(join([message(7)]))
            maildrop.update(frozenset({2}))
        assert empty.contents() == [message(1), message(7)]

    def test_a_blank_line_that_an_agent_put_in_between_goes_with_the_message(
        self, empty: Box
    ) -> None:
        empty.write(join([message(1)]) + FROM + b"A: b\n\nx\n")
        ids = empty.unique_ids()
        with empty.session() as maildrop:
            with empty.path.open("ab") as file:
                file.write(b"\n" + join([message(7)]))
            maildrop.update(frozenset({2}))
        assert empty.read() == join([message(1), message(7)])
        assert empty.unique_ids()[0] == ids[0]

    def test_mail_that_comes_during_the_update_from_a_program_that_takes_no_lock(
        self, box: Box, window: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fdatasync = os.fdatasync
        calls = 0

        def delivering(descriptor: int) -> None:
            nonlocal calls
            fdatasync(descriptor)
            calls += 1
            if calls <= 2:
                box.deliver(message(10 + calls))

        with box.session() as maildrop, monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", delivering)
            maildrop.update(frozenset({2}))
        # the second comes behind the last look at the size where all moves at once
        many = calls > 2
        assert box.contents() == [*without(STORED, {2}), message(11), *[message(12)] * many]
        assert many or window > 300


class TestOtherPrograms:
    def test_messages_are_found_again_by_their_content(self, box: Box, window: int) -> None:
        with box.session() as maildrop:
            box.write(join([message(9), *STORED[2:5][::-1], STORED[1]]), when=5)
            maildrop.update(frozenset({1, 2, 3}))
        assert box.contents() == [message(9), STORED[4], STORED[3]]

    def test_in_a_spool_that_was_replaced(self, box: Box, window: int) -> None:
        with box.session() as maildrop:
            box.path.rename(box.path.with_name("old"))
            box.write(join([STORED[0], STORED[5], STORED[3]]))
            maildrop.update(frozenset({4, 5}))
        assert box.contents() == [STORED[0], STORED[5]]
        assert box.path.with_name("old").read_bytes() == join(STORED)

    def test_flags_that_were_set_meanwhile_stay(self, box: Box) -> None:
        flagged = STORED[1].replace(b"\n\n", b"\nStatus: RO\n\n", 1)
        with box.session() as maildrop:
            box.write(join([STORED[0], flagged, STORED[2]]), when=5)
            maildrop.update(frozenset({1, 3}))
        assert box.contents() == [flagged]

    def test_a_message_that_was_edited_is_another_message(self, box: Box) -> None:
        edited = STORED[1] + b"more\n"
        with box.session() as maildrop:
            box.write(join([STORED[0], edited]), when=5)
            maildrop.update(frozenset({1, 2}))
        assert box.contents() == [edited]

    def test_a_spool_that_has_gone(self, box: Box) -> None:
        with box.session() as maildrop:
            box.path.unlink()
            maildrop.update(frozenset({1}))
        assert not box.path.exists()
        assert box.left_over() == []

    def test_a_spool_that_is_no_mbox_any_more(self, box: Box) -> None:
        with box.session() as maildrop:
            box.write(b"garbage" * 1000)
            with pytest.raises(MaildropError) as caught:
                maildrop.update(frozenset({1}))
        assert caught.value.code == "SYS/PERM"
        assert box.read() == b"garbage" * 1000
        assert box.left_over() == []

    def test_a_link_in_the_place_of_the_spool(self, box: Box) -> None:
        other = box.directory / "other"
        with box.session() as maildrop:
            box.path.rename(other)
            box.path.symlink_to(other)
            with pytest.raises(MaildropError) as caught:
                maildrop.update(frozenset({1}))
        assert caught.value.code == "SYS/PERM"
        assert other.read_bytes() == join(STORED)

    def test_an_index_that_was_wrong_removes_nothing_else(self, box: Box, settled: None) -> None:
        """Another program moved messages and left size and last message as they were."""
        longer, shorter = message(2, b"longer\n" * 9), message(3, b"")
        box.write(join([STORED[0], longer, shorter, *STORED[3:]]))
        box.unique_ids()
        box.write(join([STORED[0], shorter, longer, *STORED[3:]]))
        known = index.load(str(box.state))
        assert known is not None
        index.store(
            str(box.state), index.Index(known.table, index.packed(box.path.stat()), certain=True)
        )
        update(box, 2)
        assert box.contents() == [STORED[0], shorter, *STORED[3:]]


class TestLocks:
    def test_a_lock_that_cannot_be_had(self, box: Box) -> None:
        lock = Path(f"{box.path}.lock")
        with box.session() as maildrop:
            lock.write_bytes(b"1\n")
            with pytest.raises(MaildropError) as caught:
                maildrop.update(frozenset({1}))
        assert caught.value.code == "SYS/TEMP"
        assert box.read() == join(STORED)
        lock.unlink()
        assert box.left_over() == []

    @pytest.fixture
    def lost_at(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
        """The n-th look at the lock finds that it was taken away."""
        turns: list[int] = []
        tick, verify = SpoolLock.tick, SpoolLock.verify

        def look(lock: SpoolLock) -> None:
            if turns:
                turns[0] -= 1
                if turns[0] == 0:
                    path = Path(f"{lock._path}.lock")
                    path.unlink()
                    path.write_bytes(b"1\n")
            verify(lock)

        def ticking(lock: SpoolLock) -> None:
            tick(lock)
            look(lock)

        monkeypatch.setattr(SpoolLock, "tick", ticking)
        monkeypatch.setattr(SpoolLock, "verify", look)
        yield turns

    def test_an_update_stops_wherever_the_lock_is_lost(
        self, box: Box, lost_at: list[int], window: int
    ) -> None:
        """Whoever took it may write to the spool; what was begun is completed later."""
        for turn in range(1, 200):
            box.write(join(STORED))
            box.unique_ids()
            with box.session() as maildrop:
                lost_at[:] = [turn]
                done = self.updated(maildrop)
                lost_at.clear()
            if done:
                break
            box.deliver(message(7))
            Path(f"{box.path}.lock").unlink()
            left = box.contents()
            assert left in ([*STORED, message(7)], [*without(STORED, {2}), message(7)])
            assert box.left_over() == []
        else:
            pytest.fail("the update never got through")
        assert turn > 8

    def updated(self, maildrop: Mbox) -> bool:
        try:
            maildrop.update(frozenset({2}))
        except MaildropError as error:
            assert error.code == "SYS/TEMP"
            return False
        return True


class TestErrors:
    def test_a_spool_that_may_only_be_read(self, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
        opening = os.open

        def readable(path: str, flags: int, mode: int = 0o777) -> int:
            if path == str(box.path) and flags & os.O_RDWR:
                raise PermissionError(13, "Permission denied")
            return opening(path, flags, mode)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", readable)
            with box.session() as maildrop:
                assert retrieve_all(maildrop) == STORED
                with pytest.raises(MaildropError) as caught:
                    maildrop.update(frozenset({1}))
        assert "nothing was removed" in caught.value.detail
        assert box.contents() == STORED
        assert box.left_over() == []

    def test_a_journal_that_cannot_be_written(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_arguments: object, **_keywords: object) -> None:
            raise OSError(28, "No space left on device")

        with box.session() as maildrop, monkeypatch.context() as patch:
            patch.setattr(journal, "replace_file", full)
            with pytest.raises(MaildropError) as caught:
                maildrop.update(frozenset({1}))
        assert caught.value.text == "the disk is full"
        assert "nothing was removed" in caught.value.detail
        assert box.read() == join(STORED)
        assert box.left_over() == []

    def test_a_full_disk_does_not_keep_anybody_from_removing_all(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_arguments: object, **_keywords: object) -> None:
            raise OSError(28, "No space left on device")

        with box.session() as maildrop, monkeypatch.context() as patch:
            patch.setattr(journal, "replace_file", full)
            patch.setattr(index, "replace_file", full)
            maildrop.update(frozenset({4, 5, 6}))
        assert box.contents() == STORED[:3]
        with box.session() as maildrop, monkeypatch.context() as patch:
            patch.setattr(journal, "replace_file", full)
            maildrop.update(frozenset({1, 2, 3}))
        assert box.read() == b""

    def test_an_error_behind_the_commit_leaves_the_rest_to_the_next_login(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(*_arguments: object) -> None:
            raise OSError(5, "Input/output error")

        ids = box.unique_ids()
        with box.session() as maildrop, monkeypatch.context() as patch:
            patch.setattr(os, "ftruncate", failing)
            with pytest.raises(MaildropError) as caught:
                maildrop.update(frozenset({1}))
        assert "next login" in caught.value.detail
        assert mark.is_journal(str(box.state))
        assert box.contents() == STORED[1:]
        assert box.unique_ids() == ids[1:]
        assert box.left_over() == []

    def test_the_journal_takes_no_more_room_than_two_windows(
        self, empty: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal, "WINDOW", 100_000)
        empty.write(join([message(number, b"x" * 9999 + b"\n") for number in range(100)]))
        sizes = []
        fdatasync = os.fdatasync

        def measuring(descriptor: int) -> None:
            sizes.append((empty.state / mark.NAME).stat().st_size)
            fdatasync(descriptor)

        with empty.session() as maildrop, monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", measuring)
            maildrop.update(frozenset({1}))
        assert max(sizes) < 230_000
        assert len(sizes) > 10


def test_progress_is_shown(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    place = box.place()
    object.__setattr__(place, "progress", lambda: shown.append(1))
    object.__setattr__(place, "mail_lock_check", 2)
    monkeypatch.setattr(box, "place", lambda: place)
    with box.session() as maildrop:
        opened = len(shown)
        maildrop.update(frozenset({1}))
    assert opened >= 3
    assert len(shown) > opened
