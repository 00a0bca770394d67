"""Sessions on an mbox, from opening it to closing it."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.mbox import index, mailbox
from preforkpop.maildrop.mbox.mailbox import PIECE
from tests.unit.maildrop.mbox.conftest import STORED
from tests.unit.maildrop.mbox.helpers import (
    FROM,
    LONG_AGO,
    Box,
    join,
    message,
    messages,
    retrieve,
    retrieve_all,
    transmitted_octets,
)


def refused(box: Box) -> MaildropError:
    """The error with which a login ends; nothing may have been touched."""
    with pytest.raises(MaildropError) as caught:
        box.open()
    box.open_lock_is_free()
    return caught.value


class TestOpening:
    def test_what_is_there(self, box: Box) -> None:
        with box.session() as maildrop:
            assert maildrop.count == len(STORED)
            assert retrieve_all(maildrop) == STORED
            sizes = [maildrop.size(number) for number in range(1, 7)]
            assert sizes == [transmitted_octets(stored) for stored in STORED]
            assert maildrop.octets == sum(sizes)
            assert maildrop.scan_listings().splitlines()[2] == b"3 %d" % sizes[2]
            assert maildrop.unique_id_listings().splitlines()[2] == b"3 " + maildrop.unique_id(3)
            assert maildrop.notes == []
        assert box.left_over() == []

    def test_no_spool_is_an_empty_maildrop(self, empty: Box) -> None:
        with empty.session() as maildrop:
            assert (maildrop.count, maildrop.octets) == (0, 0)
            assert maildrop.scan_listings() == maildrop.unique_id_listings() == b""
            maildrop.update(frozenset())
        assert not empty.path.exists()
        assert empty.left_over() == []

    def test_an_empty_spool_is_an_empty_maildrop(self, empty: Box) -> None:
        empty.write(b"")
        assert empty.contents() == []
        assert os.listdir(empty.state) == ["session"]

    def test_no_spool_directory(self, empty: Box) -> None:
        empty.path.parent.rmdir()
        error = refused(empty)
        assert error.code == "SYS/TEMP"
        assert str(empty.path.parent) in error.detail

    def test_no_mbox(self, empty: Box) -> None:
        octets = b"rom x Wed Dec  2 05:53:22 1992\n\nx\n"
        empty.write(octets)
        error = refused(empty)
        assert error.code == "SYS/PERM"
        assert str(empty.path) in error.detail
        assert "first line" in error.detail
        assert empty.read() == octets
        assert empty.left_over() == []

    @pytest.mark.parametrize("kind", ["directory", "fifo", "link", "dangling", "hard link"])
    def test_what_is_no_file_of_the_user_is_refused_and_not_touched(
        self, empty: Box, kind: str
    ) -> None:
        other = empty.directory / "other"
        other.write_bytes(join(STORED))
        match kind:
            case "directory":
                empty.path.mkdir()
            case "fifo":
                os.mkfifo(empty.path)
            case "link":
                empty.path.symlink_to(other)
            case "dangling":
                empty.path.symlink_to("/nonexistent")
            case "hard link":
                os.link(other, empty.path)
        before = os.lstat(empty.path)
        error = refused(empty)
        assert error.code == "SYS/PERM"
        assert error.detail.startswith(f"{empty.path}: it ")
        assert str(empty.path) not in error.text
        after = os.lstat(empty.path)
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert other.read_bytes() == join(STORED)

    @pytest.mark.root
    def test_a_file_of_another_owner(self, box: Box) -> None:
        os.chown(box.path, 12345, -1)
        error = refused(box)
        assert error.code == "SYS/PERM"
        assert "uid 12345" in error.detail

    @pytest.mark.parametrize("ready", [False, True])
    def test_the_state_directory_cannot_be_written(
        self, box: Box, monkeypatch: pytest.MonkeyPatch, *, ready: bool
    ) -> None:
        if ready:
            box.contents()
        os.utime(box.path, (LONG_AGO, LONG_AGO + 1))
        ids = box.unique_ids()
        box.path.write_bytes(box.read())

        def full(*_arguments: object, **_keywords: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(index, "replace_file", full)
        with box.session() as maildrop:
            assert retrieve_all(maildrop) == STORED
            assert [maildrop.unique_id(number) for number in range(1, 7)] == ids
            assert len(maildrop.notes) == 1
            assert "No space left" in maildrop.notes[0]


class TestIndex:
    """A session reads what was added since the one before, and nothing else."""

    def reads(self, box: Box, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
        """Offset and size of every read of the spool in the next session."""
        spool, found = os.stat(box.path), []
        pread = os.pread

        def spying(descriptor: int, size: int, offset: int) -> bytes:
            if os.path.samestat(os.fstat(descriptor), spool):
                found.append((offset, size))
            return pread(descriptor, size, offset)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", spying)
            with box.session() as maildrop:
                maildrop.scan_listings()
                maildrop.unique_id_listings()
                maildrop.update(frozenset())
        return found

    def settle(self, box: Box) -> None:
        """Make the spool old enough to be trusted, and have it indexed."""
        os.utime(box.path, (LONG_AGO, LONG_AGO))
        with box.session():
            pass
        with box.session():
            pass

    def test_a_poll_of_an_unchanged_spool_reads_only_the_index(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.settle(box)
        monkeypatch.setattr(index, "settled", lambda status, now: True)
        with box.session():
            pass
        before = (box.state / index.NAME).stat()
        assert self.reads(box, monkeypatch) == []
        assert (box.state / index.NAME).stat().st_mtime_ns == before.st_mtime_ns
        assert box.left_over() == []

    def test_a_poll_takes_no_lock(self, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(index, "settled", lambda status, now: True)
        ids = box.unique_ids()
        lock = Path(f"{box.path}.lock")
        lock.write_bytes(b"1\n")
        assert box.unique_ids() == ids
        assert box.contents() == STORED
        box.deliver(message(7))
        assert "lock" in refused(box).text
        lock.unlink()

    def test_only_the_last_message_and_what_was_added_is_read(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(index, "settled", lambda status, now: True)
        ids = box.unique_ids()
        last = box.read().rindex(FROM)
        box.deliver(message(7), message(8))
        assert min(offset for offset, _ in self.reads(box, monkeypatch)) == last - 2
        assert box.contents() == [*STORED, message(7), message(8)]
        assert box.unique_ids()[:6] == ids

    def test_an_index_that_may_be_stale_is_checked(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(index, "settled", lambda status, now: False)
        ids = box.unique_ids()
        last = box.read().rindex(FROM)
        assert min(offset for offset, _ in self.reads(box, monkeypatch)) == last - 2
        assert box.unique_ids() == ids

    @pytest.mark.parametrize("damage", ["missing", "cut", "garbage", "old"])
    def test_without_a_good_index_everything_is_the_same(self, box: Box, damage: str) -> None:
        path = box.state / index.NAME
        ids = box.unique_ids()
        match damage:
            case "missing":
                path.unlink()
            case "cut":
                os.truncate(path, 100)
            case "garbage":
                path.write_bytes(b"\xff" * 5000)
            case "old":
                old = path.read_bytes()
                box.deliver(message(7))
                box.unique_ids()
                path.write_bytes(old)
        with box.session() as maildrop:
            assert retrieve_all(maildrop)[:6] == STORED
            assert [maildrop.unique_id(number) for number in range(1, 7)] == ids
            damaged = damage in ("cut", "garbage")
            assert len(maildrop.notes) == damaged
            assert not damaged or str(path) in maildrop.notes[0]
        with box.session() as maildrop:
            assert maildrop.notes == []

    def test_a_foreign_change_keeps_the_ids_of_what_is_left(self, box: Box) -> None:
        ids = box.unique_ids()
        flagged = STORED[4].replace(b"\n\n", b"\nStatus: RO\nX-UID: 4\n\n", 1)
        box.write(join([message(9), STORED[5], STORED[1], flagged]))
        now = box.unique_ids()
        assert now[1:] == [ids[5], ids[1], ids[4]]
        assert now[0] not in ids

    def test_the_ids_of_copies_are_kept_over_deletions_and_a_change(self, empty: Box) -> None:
        copy = message(1)
        empty.write(join([copy, copy, copy]))
        ids = empty.unique_ids()
        assert len(set(ids)) == 3
        with empty.session() as maildrop:
            maildrop.update(frozenset({1}))
        assert empty.unique_ids() == ids[1:]
        empty.deliver(copy)
        assert empty.unique_ids()[:2] == ids[1:]
        assert len(set(empty.unique_ids()) | set(ids)) == 4

    def test_mail_that_an_agent_adds_to_an_unfinished_last_line(self, empty: Box) -> None:
        empty.write(FROM + b"A: b\n\nno line end")
        ids = empty.unique_ids()
        with empty.path.open("ab") as file:
            file.write(b"\n\n" + FROM + b"C: d\n\nx\n\n")
        with empty.session() as maildrop:
            assert retrieve_all(maildrop) == [b"A: b\n\nno line end\n", b"C: d\n\nx\n"]
            assert maildrop.unique_id(1) == ids[0]
            assert maildrop.octets == sum(map(transmitted_octets, retrieve_all(maildrop)))

    def test_mail_that_runs_into_the_last_message_makes_it_another_message(
        self, empty: Box
    ) -> None:
        """Without a blank line in between, no reader sees two messages."""
        empty.write(FROM + b"A: b\n\nx\n")
        ids = empty.unique_ids()
        with empty.path.open("ab") as file:
            file.write(FROM + b"C: d\n\ny\n\n")
        assert empty.contents() == [b"A: b\n\nx\n" + FROM + b"C: d\n\ny\n"]
        assert empty.unique_ids() != ids

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.lists(st.lists(messages, max_size=3), min_size=1, max_size=4))
    def test_deliveries_between_sessions_make_no_difference(
        self, tmp_path_factory: pytest.TempPathFactory, rounds: list[list[bytes]]
    ) -> None:
        """An index that grew says what a scan of the whole spool says."""
        box = Box(tmp_path_factory.mktemp("box"))
        for stored in rounds:
            box.path.touch()
            box.deliver(*stored)
            with box.session() as maildrop:
                listings = maildrop.scan_listings(), maildrop.unique_id_listings()
        (box.state / index.NAME).unlink(missing_ok=True)
        with box.session() as maildrop:
            assert listings == (maildrop.scan_listings(), maildrop.unique_id_listings())


class TestReading:
    @pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
    def test_a_message_comes_in_pieces_of_bounded_size(self, empty: Box, size: int) -> None:
        stored = b"A: b\n\n" + b"x" * (size - 7) + b"\n"
        empty.write(join([stored, message(2)]))
        with empty.session() as maildrop:
            pieces = list(maildrop.chunks(1))
            assert b"".join(pieces) == stored
            assert len(pieces) == -(-size // PIECE)
            assert max(map(len, pieces)) <= PIECE

    def test_a_large_message_takes_no_memory(self, empty: Box) -> None:
        empty.write(join([b"A: b\n\n" + b"x" * 50_000_000 + b"\n"]))
        with empty.session() as maildrop:
            tracemalloc.start()
            assert sum(map(len, maildrop.chunks(1))) == 50_000_007
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 4 * PIECE

    def test_mail_that_is_added_does_not_disturb(self, box: Box) -> None:
        with box.session() as maildrop:
            assert retrieve(maildrop, 1) == STORED[0]
            box.deliver(message(7))
            assert retrieve_all(maildrop) == STORED
            box.deliver(message(8))
            assert retrieve_all(maildrop) == STORED
            assert maildrop.count == 6
            maildrop.update(frozenset())
        assert box.contents() == [*STORED, message(7), message(8)]

    def test_an_agent_that_has_begun_to_write_does_not_disturb(self, box: Box) -> None:
        """A write changes the time first and the size later; the agent holds the lock then."""
        lock = Path(f"{box.path}.lock")
        with box.session() as maildrop:
            lock.write_bytes(b"1\n")
            os.utime(box.path, (LONG_AGO, LONG_AGO + 1))
            assert retrieve_all(maildrop) == STORED
            box.deliver(message(7))
            assert retrieve_all(maildrop) == STORED
            lock.unlink()
            assert retrieve_all(maildrop) == STORED
            assert box.left_over() == []

    @pytest.mark.parametrize(
        "octets",
        [
            b"",
            join(STORED[:3]),
            join(STORED[1:]),
            join([*STORED[:2], STORED[2].replace(b"message 3", b"message X"), *STORED[3:]]),
            join([*STORED[::-1]]),
            join([*STORED[1:], message(7), message(8)]),
            b"x" * 5000,
            b"\0" * len(join(STORED)),
        ],
    )
    @pytest.mark.parametrize("replaced", [False, True])
    def test_any_other_change_is_noticed_before_a_wrong_octet_is_sent(
        self, box: Box, octets: bytes, *, replaced: bool
    ) -> None:
        with box.session() as maildrop:
            if replaced:
                box.path.unlink()
            box.write(octets, when=LONG_AGO + 5)
            for number in range(1, 7):
                try:
                    assert retrieve(maildrop, number) == STORED[number - 1]
                except MaildropError as error:
                    assert error.code == "SYS/TEMP"
                    assert str(box.path) in error.detail
                else:
                    # the spool may still begin with the same messages
                    assert octets.startswith(join(STORED[:number]))
                    assert len(octets) > len(join(STORED))

    def test_a_spool_that_is_cut_while_a_message_is_sent(self, empty: Box) -> None:
        empty.write(join([b"A: b\n\n" + b"x" * 3 * PIECE + b"\n"]))
        with empty.session() as maildrop:
            pieces = maildrop.chunks(1)
            next(pieces)
            os.truncate(empty.path, 2 * PIECE)
            with pytest.raises(MaildropError):
                list(pieces)

    def test_an_index_that_was_wrong_is_made_anew(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A program that moves messages and leaves size and last message as they were."""
        monkeypatch.setattr(index, "settled", lambda status, now: True)
        ids = box.unique_ids()
        longer, shorter = message(2, b"longer\n" * 9), message(3, b"")
        moved = [STORED[0], longer, shorter, *STORED[3:]]
        box.write(join(moved))
        box.unique_ids()
        box.write(join([STORED[0], shorter, longer, *STORED[3:]]))
        status = index.packed(box.path.stat())
        known = index.load(str(box.state))
        assert known is not None
        index.store(str(box.state), index.Index(known.table, status, certain=True))
        with box.session() as maildrop:
            with pytest.raises(MaildropError):
                retrieve(maildrop, 2)
            assert retrieve(maildrop, 1) == STORED[0]
        assert box.contents() == [STORED[0], shorter, longer, *STORED[3:]]
        assert box.unique_ids()[0] == ids[0]

    def test_closing_twice(self, box: Box) -> None:
        maildrop = box.open()
        maildrop.close()
        maildrop.close()
        box.contents()


def test_one_session_at_a_time(box: Box) -> None:
    with box.session():
        with pytest.raises(MaildropError) as caught:
            box.open()
        assert caught.value.code == "IN-USE"
    assert box.contents() == STORED


def test_pieces_hold_a_whole_header() -> None:
    """A message is recognized by its first piece."""
    assert mailbox.PIECE >= mailbox.header.LIMIT
